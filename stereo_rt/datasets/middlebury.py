"""Middlebury: rooms and still lifes, measured with structured light.

2014, 2021, MiddEval3   SCENE/{im0,im1}.png, disp0.pfm or disp0GT.pfm, px; disp1 for the right eye;
                        mask0nocc.png, 255 where both eyes see the point
2005, 2006              SCENE/{view1,view5,disp1,disp5}.png, or SCENE/Illum1/Exp0/{view1,view5}.png;
                        grey levels are px at full size (1110 rows), px * 2 at half and px * 3 at third size, 0: not known
2003                    SCENE/{im2,im6,disp2,disp6}.png, or .ppm and .pgm; px at full size (1800x1500), px * 2 at half and
                        px * 4 at quarter size
2001                    the same names; px * 8. Tsukuba and Map, which have other names and scales, are not read
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

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

LOOKS_FOR = (
    "folders with im0.png, im1.png and disp0.pfm or disp0GT.pfm (2014, MiddEval3), view1.png and disp1.png (2006), or im2.png "
    "and disp2.png (2003)"
)
FULL_ROWS = 1110
FULL_2003 = (1800, 1500)
ROWS_2001, SCALE_2001 = range(380, 384), 8
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
    for image, truth in (("png", "png"), ("ppm", "pgm")):
        for scene in folders_with(folder, (f"disp2.{truth}", f"im2.{image}"), depth=3):
            found[scene] = Labelled(below(folder, scene), partial(_read_2003, scene, image, truth))
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
    return _sample(left, right, scene / "disp1.png", scene / "disp5.png", scale)


def _read_2003(scene: Path, image: str, truth: str) -> Sample:
    """image, truth: the ends of the files' names."""
    left, right = (read_colour(scene / f"im{n}.{image}") for n in (2, 6))
    height, width = left.shape[:2]
    sizes = {(FULL_2003[0] // scale, FULL_2003[1] // scale): scale for scale in (1, 2, 4)}
    scale = sizes.get((width, height), SCALE_2001 if height in ROWS_2001 else None)
    if scale is None:
        raise SourceError(
            f"{scene}: has images of {width}x{height}, and only those of 2003 (1800x1500, its half, its quarter) and of 2001 "
            "(380 to 383 rows) say how disparity is stored; get the original images"
        )
    return _sample(left, right, scene / f"disp2.{truth}", scene / f"disp6.{truth}", scale)


def _sample(left: np.ndarray, right: np.ndarray, truth: Path, other: Path, scale: int) -> Sample:
    """truth, other: the files of the left and the right eye, grey levels of px * scale; the second may lack."""
    truth_px = read_scaled(truth, scale)
    occluded = occluded_by(truth_px, read_scaled(other, scale)) if other.exists() else None
    return Sample(left, right, truth_px, occluded)
