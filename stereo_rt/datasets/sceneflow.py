"""Scene Flow: FlyingThings3D, Monkaa and Driving, rendered (Mayer et al., "A Large Dataset to Train Convolutional Networks
for Disparity, Optical Flow, and Scene Flow Estimation").

    [DATASET/]frames_cleanpass/.../left/0006.png      and frames_finalpass; the names may end in _webp, the files in .webp
    [DATASET/]frames_cleanpass/.../right/0006.png
    [DATASET/]disparity/.../left/0006.pfm             and right/, px
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from ..sinks.files import read_pfm
from .labelled import Labelled, Sample, below, occluded_by, read_colour

LOOKS_FOR = "frames_cleanpass or frames_finalpass beside disparity/.../left/*.pfm"
_PASS = re.compile(r"frames_(clean|final)pass(_webp)?")


def find(folder: Path) -> list[Labelled]:
    """Every left image that has a disparity, in both passes; of a folder inside of a pass, those below it."""
    folder = folder.resolve()  # "." has no parents
    within = [p for p in (folder, *folder.parents) if _PASS.fullmatch(p.name)]
    below_it = [p for level in ("", "*/", "*/*/") for p in sorted(folder.glob(f"{level}frames_*"))]
    passes = within or [p for p in below_it if _PASS.fullmatch(p.name)]
    found = []
    for frames in passes:
        for left in sorted((folder if within else frames).rglob("left/*.*")):
            truth = frames.parent / "disparity" / left.relative_to(frames).with_suffix(".pfm")
            if truth.exists():
                found.append(Labelled(below(folder, left.with_suffix("")), partial(_read, left, truth)))
    return found


def _read(left: Path, truth: Path) -> Sample:
    right = left.parent.with_name("right") / left.name
    # Some copies of the set store disparities with a minus sign.
    truth_px, other = np.abs(read_pfm(truth)), truth.parent.with_name("right") / truth.name
    occluded = occluded_by(truth_px, np.abs(read_pfm(other))) if other.exists() else None
    return Sample(read_colour(left), read_colour(right), truth_px, occluded)
