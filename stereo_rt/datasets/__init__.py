"""Pairs with ground truth, as public datasets and our own tools lay them out: to evaluate on, and for a user's own training.

Real ground truth never trains a network that ships here: those learn from rendered scenes and from the labels of our own
teachers alone, so that what `stereo-rt eval` says of them on real scenes is zero-shot.

One module a layout, each with find(folder) and LOOKS_FOR; labelled.py: what they give.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from ..errors import SourceError, UsageError
from . import eth3d, instereo2k, kitti, middlebury, ours, sceneflow
from .labelled import Labelled, Sample

__all__ = ["LAYOUTS", "Labelled", "Sample", "open_dataset"]

LAYOUTS = {
    "ours": ours,
    "sceneflow": sceneflow,
    "instereo2k": instereo2k,
    "kitti": kitti,
    "middlebury": middlebury,
    "eth3d": eth3d,
}


def open_dataset(text: str | Path) -> list[Labelled]:
    """Every labelled pair of a FOLDER, whose layout is recognised by what it holds, or of LAYOUT:FOLDER.

    Where there are scenes of our own layout, others beside them are passed over. Raises SourceError: there is no such folder,
    or nothing in it that a layout asks for; UsageError: no such layout, or pairs of several public ones.
    """
    name, colon, rest = str(text).partition(":")
    if not colon or Path(text).exists():
        name, rest = "", str(text)
    elif name not in LAYOUTS:
        near = difflib.get_close_matches(name, LAYOUTS, n=1)
        hint = f"did you mean '{near[0]}:'?" if near else f"there are {', '.join(LAYOUTS)}"
        raise UsageError(f"{text}: there is no layout of datasets named '{name}'; {hint}")
    folder, tried = Path(rest), {name: LAYOUTS[name]} if name else LAYOUTS
    try:
        if not folder.is_dir():
            raise SourceError(f"{folder}: is no folder; pass the folder that a dataset was unpacked to")
        found = _pairs_by_layout(folder, tried)
    except OSError as e:
        raise SourceError(f"{folder}: cannot be read ({e.strerror or e}); check its permissions") from None
    if not found:
        wanted = "; ".join(f"{name}: {layout.LOOKS_FOR}" for name, layout in tried.items())
        raise SourceError(f"{folder}: holds no labelled pairs in a layout that is known ({wanted})")
    if len(found) > 1:
        counts = ", ".join(f"{len(pairs)} of {name}" for name, pairs in found.items())
        first = next(iter(found))
        raise UsageError(f"{folder}: holds pairs in several layouts ({counts}); choose one, such as {first}:{folder}")
    (pairs,) = found.values()
    return [replace(pair, dataset=folder) for pair in pairs]


def _pairs_by_layout(folder: Path, tried: Mapping[str, ModuleType]) -> dict[str, list[Labelled]]:
    """By layout, without those that an earlier one has too: ETH3D's scenes may look like Middlebury's."""
    found: dict[str, list[Labelled]] = {}
    for name, layout in tried.items():
        pairs = layout.find(folder)
        if {pair.name for pair in pairs} - {pair.name for known in found.values() for pair in known}:
            found[name] = pairs
        if "ours" in found:
            break
    return found
