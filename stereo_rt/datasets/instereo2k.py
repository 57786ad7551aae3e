"""InStereo2K: rooms, measured with structured light (Bao et al., "InStereo2K: a large real dataset for stereo matching in
indoor scenes").

    train/part1/000000/{left,right,left_disp,right_disp}.png     test/000040/{...}.png
    *_disp.png: 16 bit, px * 100, 0 where it is not known
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .labelled import Labelled, Sample, below, folders_with, occluded_by, read_colour, read_scaled

LOOKS_FOR = "folders with left.png, right.png and left_disp.png"
SCALE = 100


def find(folder: Path) -> list[Labelled]:
    scenes = folders_with(folder, ("left_disp.png", "left.png"), depth=3)
    return [Labelled(below(folder, scene), partial(_read, scene)) for scene in scenes]


def _read(scene: Path) -> Sample:
    truth_px, other = read_scaled(scene / "left_disp.png", SCALE), scene / "right_disp.png"
    occluded = occluded_by(truth_px, read_scaled(other, SCALE)) if other.exists() else None
    return Sample(read_colour(scene / "left.png"), read_colour(scene / "right.png"), truth_px, occluded)
