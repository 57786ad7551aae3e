"""Middlebury: rooms and still lifes, measured with structured light.

2014, 2021, MiddEval3   SCENE/{im0,im1}.png, disp0.pfm or disp0GT.pfm, px; disp1 for the right eye;
                        mask0nocc.png, 255 where both eyes see the point
2005, 2006              SCENE/{view1,view5,disp1,disp5}.png, or SCENE/Illum1/Exp0/{view1,view5}.png;
                        grey levels are px at full size (1110 rows), px * 2 at half and px * 3 at third size, 0: not known
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..errors import SourceError
from .labelled import (
    Labelled,
    Sample,
    below,
    folders_with,
    hidden_by,
    occluded_by,
    read_colour,
    read_positive_pfm,
    read_scaled,
)

LOOKS_FOR = "folders with im0.png, im1.png and disp0.pfm or disp0GT.pfm (2014, MiddEval3), or view1.png and disp1.png (2006)"
FULL_ROWS = 1110
TRUTHS = (("disp0.pfm", "disp1.pfm"), ("disp0GT.pfm", "disp1GT.pfm"))


def find(folder: Path) -> list[Labelled]:
    found = {}
    for truth, other in TRUTHS:
        for scene in folders_with(folder, (truth, "im0.png"), depth=3):
            files = scene / truth, scene / other
            found[scene] = Labelled(below(folder, scene), partial(read_modern, scene, *files))
    for scene in folders_with(folder, ("disp1.png",), depth=3):
        for left in sorted([*scene.glob("view1.png"), *scene.glob("Illum*/Exp*/view1.png")]):
            found[left.parent] = Labelled(below(folder, left.parent), partial(_read_2006, left.parent, scene))
    return [found[place] for place in sorted(found)]


def read_modern(scene: Path, truth: Path, other: Path) -> Sample:
    """A scene with im0.png and im1.png. truth, other: the PFM files of the left and the right eye; the second may lack."""
    truth_px, mask = read_positive_pfm(truth), truth.with_name("mask0nocc.png")
    occluded = None
    if mask.exists():
        occluded = hidden_by(truth_px, read_colour(mask)[..., 0] == 255)
    elif other.exists():
        occluded = occluded_by(truth_px, read_positive_pfm(other))
    return Sample(read_colour(scene / "im0.png"), read_colour(scene / "im1.png"), truth_px, occluded)


def _read_2006(images: Path, scene: Path) -> Sample:
    left, right = (read_colour(images / f"view{n}.png") for n in (1, 5))
    scale = round(FULL_ROWS / left.shape[0])
    if scale not in (1, 2, 3) or abs(left.shape[0] * scale - FULL_ROWS) > scale:
        raise SourceError(
            f"{images}: has {left.shape[0]} rows, and only full, half and third size (1110, 555, 370) say how disparity is "
            "stored; get the original images"
        )
    truth_px, other = read_scaled(scene / "disp1.png", scale), scene / "disp5.png"
    occluded = occluded_by(truth_px, read_scaled(other, scale)) if other.exists() else None
    return Sample(left, right, truth_px, occluded)
