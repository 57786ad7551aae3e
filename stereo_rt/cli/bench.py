"""`stereo-rt bench`: frames per second and latency, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..bench import BenchReport
    from ..config import Config


@loop_command
def bench(
    source: Annotated[str, typer.Argument(metavar="[SOURCE]", help="Frames to hold in memory.")] = "synthetic://room?raw=1",
    frames: Annotated[int, typer.Option("--frames", min=10, help="Frames to measure in each part.")] = 100,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Camera rate of the live part, in Hz.")] = 30.0,
    against: Annotated[list[str] | None, typer.Option("--against", help="Another backend, same run; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
    *,
    cfg: Config,
) -> None:
    """Measure the loop: each stage alone, flat out, and at a camera's rate."""
    import json

    from ..atomic import write_bytes
    from ..bench import run_bench

    report = run_bench(source, cfg, frames=frames, rate_hz=rate, against=against or (), progress=_progress)
    _print(report)
    if json_file is not None:
        write_bytes(json_file, json.dumps(report.as_dict(), indent=1).encode())


def _progress(text: str) -> None:
    typer.echo(text, err=True)


def _print(report: BenchReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    m = report.machine
    console.print(f"{m['cpu']}, {m['cores']} cores; frames {report.frame_size[0]}x{report.frame_size[1]} from {report.source}")
    for run in report.runs:
        grid = f"{run.grid[0]}x{run.grid[1]}"
        table = Table("ms", "p50", "p90", "p95", "p99", "max", title=f"{run.matcher} on {run.backend}, grid {grid}")
        rows = [(f"{n} alone", f) for n, f in run.alone_ms.items()]
        rows += [(f"{n} in the loop", f) for n, f in run.flat_out.stage_ms.items()]
        rows += [(f"frame age at {run.live_rate_hz:g} Hz", run.live.age_ms)]
        for name, figures in rows:
            table.add_row(name, *(f"{figures[k]:.2f}" for k in ("p50", "p90", "p95", "p99", "max")))
        console.print(table)
        console.print(
            f"flat out {run.flat_out.fps:.1f} fps, {run.efficiency:.2f} of its slowest stage alone; "
            f"live {run.live.fps:.1f} fps, {run.live.drops} dropped, age p99 {run.periods_p99:.2f} periods; "
            f"the HUD said {run.live.hud_fps:.1f} fps and {run.live.hud_age_p99_ms:.1f} ms p99"
        )
    first, *others = report.runs
    for other in others:
        ratio = first.alone_ms["match"]["p50"] / other.alone_ms["match"]["p50"]
        console.print(f"matching: {first.matcher} takes {ratio:.2f} times as long as {other.matcher}")
    console.print(f"peak memory {report.peak_memory_mb:.0f} MB")
