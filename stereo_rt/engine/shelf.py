"""What lies in the cache of engines: which of it can be used here, and what is of no use to anybody any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..atomic import sweep
from ..errors import OutputError, StereoError
from ..matchers.models import find_model, shipped_models
from .build import differences
from .cache import EngineCache, Entry
from .flavour import TITLES, Flavour, available, load
from .gpu import Gpu
from .key import Wanted

OURS = ("*.engine", "*.json", "*.jit", "*.cache", "*.onnx")
"""All that is ever kept there; each engine's files share its name."""


@dataclass(frozen=True)
class Judged:
    """why_not: why the engine cannot be used here, '' when it can. spent: nor anywhere else, as far as can be told."""

    entry: Entry
    why_not: str
    spent: bool


def look(cache: EngineCache, gpu: Gpu | None) -> list[Judged]:
    """Every engine in the cache, oldest first. gpu: the one that is here."""
    flavours = _loaded()
    return [_judged(entry, flavours, gpu) for entry in cache.entries()]


def prune(cache: EngineCache, *, everything: bool = False) -> tuple[int, int]:
    """Remove what cannot be used any more: damaged engines, those of other versions or networks, and leftovers.

    everything: all else as well. Waits for a build in progress. Returns (files, bytes). Raises OutputError.
    """
    if not cache.root.is_dir():
        return 0, 0
    with cache.lock(lambda: None):
        kept = set() if everything else {j.entry.engine.stem for j in look(cache, None) if not j.spent}
        if not everything:
            kept |= {cache.timing_file(entry.sidecar.key).stem for entry in cache.entries() if entry.engine.stem in kept}
            kept |= {file.stem for file in cache.root.glob("*.onnx")}
        spent = [file for pattern in OURS for file in cache.root.glob(pattern) if file.stem not in kept]
        before = _size(cache.root)
        for file in spent:
            try:
                file.unlink()
            except OSError as e:
                raise OutputError(f"{file}: cannot be removed ({e.strerror}); see who owns the folder") from None
        sweep(cache.root)
        after = _size(cache.root)
    return before[0] - after[0], before[1] - after[1]


def give_way(cache: EngineCache, single: Entry, gpu: Gpu | None) -> list[Entry]:
    """Remove the engines in FP16 that would be taken before this one in FP32 (build.py: find_engine), and return them.

    They are of the same network, flavour and version, and for `gpu`, the one that is here, or for the same GPUs elsewhere.
    Raises OutputError.
    """
    key = single.sidecar.key
    here = gpu if gpu and key.runs_on(gpu) else None
    wanted = Wanted(key.onnx_sha256, key.flavour, key.version, here, "fp16")
    before = [e for e in cache.entries() if not wanted.differences(e.sidecar.key)]
    gone = [e for e in before if here or e.sidecar.key.machine == key.machine]
    for entry in gone:
        cache.remove(entry)
    return gone


def _judged(entry: Entry, flavours: dict[str, Flavour], gpu: Gpu | None) -> Judged:
    key = entry.sidecar.key
    if damage := entry.damage():
        return Judged(entry, damage, spent=True)
    if (flavour := flavours.get(key.flavour)) is None:
        return Judged(entry, f"{TITLES.get(key.flavour, key.flavour)} is not installed here", spent=False)
    table = shipped_models()
    network = table[entry.sidecar.model]["sha256"] if entry.sidecar.model in table else key.onnx_sha256
    wanted = Wanted(network, flavour.name, flavour.version, None)
    if spent := wanted.differences(key) or _prepared_otherwise(entry, wanted):
        return Judged(entry, " and ".join(spent), spent=True)
    if gpu is None:
        return Judged(entry, "no GPU here", spent=False)
    return Judged(entry, "" if key.runs_on(gpu) else f"it is for {key.machine}", spent=False)


def _prepared_otherwise(entry: Entry, wanted: Wanted) -> list[str]:
    """Whether another version of stereo_rt fed the builder; nothing where the network's file is gone, or onnx is."""
    try:
        model = find_model(entry.sidecar.model)
        return differences(entry.sidecar.key, wanted, model) if model.sha256 == wanted.onnx_sha256 else []
    except StereoError:
        return []


def _loaded() -> dict[str, Flavour]:
    found = {}
    for name in available():
        try:
            found[name] = load(name)
        except StereoError:  # installed, and broken: as good as absent here
            continue
    return found


def _size(folder: Path) -> tuple[int, int]:
    files = [file for file in folder.iterdir() if file.is_file() and file.name != ".lock"]
    return len(files), sum(file.stat().st_size for file in files)
