"""Pairs with ground truth, as public datasets and our own tools lay them out: to evaluate on, and for a user's own training.

Real ground truth never trains a network that ships here: those learn from rendered scenes and from the labels of our own
teachers alone, so that what `stereo-rt eval` says of them on real scenes is zero-shot.

One module a layout, each with find(folder) and LOOKS_FOR; labelled.py: what they give.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

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

    Raises SourceError: there is no such folder, or nothing in it that a layout asks for; UsageError: no such layout.
    """
    name, colon, rest = str(text).partition(":")
    if not colon or Path(text).exists():
        name, rest = "", str(text)
    elif name not in LAYOUTS:
        near = difflib.get_close_matches(name, LAYOUTS, n=1)
        hint = f"did you mean '{near[0]}:'?" if near else f"there are {', '.join(LAYOUTS)}"
        raise UsageError(f"{text}: there is no layout of datasets named '{name}'; {hint}")
    folder, tried = Path(rest), {name: LAYOUTS[name]} if name else LAYOUTS
    if not folder.is_dir():
        raise SourceError(f"{folder}: is no folder; pass the folder that a dataset was unpacked to")
    for layout in tried.values():
        if found := layout.find(folder):
            return [replace(pair, set=_set_of(pair.name, folder)) for pair in found]
    wanted = "; ".join(f"{name}: {layout.LOOKS_FOR}" for name, layout in tried.items())
    raise SourceError(f"{folder}: holds no labelled pairs in a layout that is known ({wanted})")


def _set_of(name: str, folder: Path) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else folder.resolve().name
