"""What `stereo-rt build` shows of the cache of engines: the list, and what is inside one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import ModelError

if TYPE_CHECKING:
    from ..engine.cache import EngineCache, Entry
    from ..engine.gpu import Gpu


def summary(entry: Entry) -> str:
    side = entry.sidecar
    width, height = side.key.size
    parity = f"parity {side.parity}" if side.parity else "parity not run, it waits for the GPU"
    return (
        f"{entry.engine}: {side.key.precision}, {width}x{height}, {_megabytes(entry)} MB, "
        f"for {side.key.machine}; {side.layers.fp16} layers in FP16, {side.layers.fp32} in FP32; {parity}"
    )


def show_list(cache: EngineCache, here: Gpu | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..engine.flavour import TITLES
    from ..engine.shelf import look

    console = Console()
    table = Table("network", "built by", "for", "MB", "parity", "usable here", show_lines=True)
    rows = look(cache, here)
    for row in rows:
        side, key = row.entry.sidecar, row.entry.sidecar.key
        table.add_row(
            f"{Path(side.model).stem}\n{key.size[0]}x{key.size[1]} {key.precision}",
            f"{TITLES.get(key.flavour, key.flavour)}\n{key.version}, {_age(side.built_at)}",
            key.gpu or " ".join(f"sm{t.replace('.', '')}" for t in key.targets),
            _megabytes(row.entry),
            f"p99 {side.parity.p99_px:.3f} px" if side.parity else "not run",
            f"no: {row.why_not}" if row.why_not else "yes",
        )
    console.print(table if rows else "no engines yet; build one with: stereo-rt build student_s")
    console.print(f"in {cache.root}; this is {here or 'a machine without GPU'}", soft_wrap=True)


def prune(cache: EngineCache, *, everything: bool) -> None:
    from ..engine import shelf

    files, size = shelf.prune(cache, everything=everything)
    typer.echo(f"{cache.root}: removed {files} files, {size / 1e6:.1f} MB")


def inspect(cache: EngineCache, name: str, here: Gpu | None) -> None:
    from ..engine.shelf import look
    from ..matchers.models import find_model

    network = find_model(name)
    rows = [row for row in look(cache, here) if row.entry.sidecar.key.onnx_sha256 == network.sha256]
    if not rows:
        raise ModelError(f"there is no engine of {name} yet; build it with: stereo-rt build {name}")
    for row in rows:
        typer.echo(_described(row.entry))
        typer.echo(f"  not usable here: {row.why_not}" if row.why_not else _loaded(row.entry, name))


def _described(entry: Entry) -> str:
    from collections import Counter

    side, layers, memory = entry.sidecar, entry.sidecar.layers, entry.sidecar.memory_bytes
    kinds = Counter(island.split()[0].lower().replace("_", " ") for island in layers.islands)
    tensors = [f"{t.name} {t.dtype} {'x'.join(map(str, t.shape))}" for t in (*side.inputs, *side.outputs)]
    lines = [
        summary(entry),
        f"  built {side.built_at} in {side.build_s:.1f} s by {side.key.flavour} {side.key.version}",
        f"  tensors: {', '.join(tensors)}; {side.normalisation}",
        f"  memory: {', '.join(f'{kind} {size / 1e6:.1f} MB' for kind, size in memory.items()) or 'not known'}",
        f"  plugins: {', '.join(layers.plugins) or 'none'}",
        f"  matrix layers in FP32: {', '.join(layers.single_matrix) or 'none'}",
        f"  FP32 islands: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}",
        *(f"    {island}" for island in layers.islands),
    ]
    return "\n".join(lines)


def _loaded(entry: Entry, name: str) -> str:
    """What only the engine itself tells, on its GPU."""
    from ..engine.flavour import load

    try:
        engine = load(entry.sidecar.key.flavour).open(entry.engine.read_bytes(), name)
    except ModelError as e:
        return f"  not loaded: {e}"
    memory = getattr(engine, "device_memory_size_v2", None) or engine.device_memory_size
    return f"  loaded: {engine.num_layers} fused layers, {memory / 1e6:.1f} MB for activations on the GPU"


def _megabytes(entry: Entry) -> str:
    return f"{entry.engine.stat().st_size / 1e6:.1f}" if entry.engine.is_file() else "-"


def _age(built_at: str) -> str:
    from datetime import datetime, timezone

    minutes = (datetime.now(timezone.utc) - datetime.fromisoformat(built_at)).total_seconds() / 60
    for unit, length in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * length:
            return f"{minutes / length:.0f} {unit} ago"
    return f"{minutes:.0f} min ago"
