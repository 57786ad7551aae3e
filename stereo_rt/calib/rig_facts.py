"""A rig's numbers in plain words, each with its unit and what to expect of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import CalibrationError
from . import lens
from .boards import Board
from .rectify import rectify_rig
from .rig import CameraModel, StereoRig

MODELS = {
    "pinhole": "pinhole, 5 distortion coefficients",
    "rational": "rational, 8 distortion coefficients",
    "fisheye": "fisheye (equidistant), 4 distortion coefficients",
}


class Fact(NamedTuple):
    """One line of a table: what it is, its value with the unit, and what that tells."""

    name: str
    value: str
    meaning: str = ""


def rig_facts(rig: StereoRig, model: str, board: Board) -> list[Fact]:
    """What a newcomer wants to know of a rig that was solved with `model` from views of `board`."""
    eyes = (rig.left, rig.right)
    facts = [
        Fact("Images", "{}×{} px left, {}×{} px right".format(*rig.left.size, *rig.right.size), "Use the rig at this aspect."),
        Fact("Lens model", MODELS[model]),
        Fact(
            "Focal length",
            _both(f"{eye.K[0, 0]:.1f} px" for eye in eyes),
            "Two lenses of one kind differ by a percent or two.",
        ),
        Fact(
            "Field of view",
            _both(_view_deg(eye) for eye in eyes),
            "Across and down (? beyond what the lens model can say). Compare with the data sheet.",
        ),
        Fact(
            "Optical centre",
            _both("{:+.1f}, {:+.1f} px".format(*(eye.K[:2, 2] - (np.array(eye.size) - 1) / 2)) for eye in eyes),
            "From the middle of the image, to the right and down. A few percent of the width are usual.",
        ),
        Fact("Baseline", length(rig.baseline_m, board), "Between the eyes. Measure it: that checks the square size."),
        Fact("Where the right eye sits", _place(rig, board), "Seen from the left eye."),
        Fact("Where the right eye looks", _turn(rig), "Against the left eye. Mounted in parallel, about a degree at most."),
    ]
    try:
        rectified = rectify_rig(rig).rig
    except CalibrationError as e:
        return [*facts, Fact("Rectified", "not possible", str(e))]
    across = 2 * np.degrees(np.arctan(rectified.width / 2 / rectified.fx_px))
    facts.append(Fact("Rectified", f"{rectified.fx_px:.1f} px focal length, {across:.0f}° across", "What both eyes see."))
    near = 10.0 ** np.round(np.log10(10 * rig.baseline_m))
    pixels = ", ".join(f"{rectified.fx_px * rig.baseline_m / z:.1f} px at {length(z, board)}" for z in (near, 10 * near))
    facts.append(Fact("Disparity", pixels, "Focal length times baseline over depth: what the matcher finds."))
    return facts


def length(value_m: float, board: Board) -> str:
    """A length in metres, or in mm below one; in squares where the board's square is 1, its size unknown."""
    if board.unit != "m":
        return f"{value_m:.3g} {board.unit}"
    return f"{1000 * value_m:.1f} mm" if value_m < 1 else f"{value_m:.4g} m"


def _both(values: Iterable[str]) -> str:
    return "{} left, {} right".format(*values)


def _view_deg(camera: CameraModel) -> str:
    """The angles between the outermost pixels of the middle row and column, by way of the optical axis."""
    (cx, cy), (width, height) = camera.K[:2, 2], camera.size
    ends = np.array([[-0.5, cy], [width - 0.5, cy], [cx, -0.5], [cx, height - 0.5]])
    z = lens.unproject(camera, ends)[:, 2]
    angles = np.degrees(np.arccos(np.clip(z, -1, 1)))
    return "×".join(f"{a:.0f}°" if np.isfinite(a) else "?" for a in (angles[:2].sum(), angles[2:].sum()))


def _place(rig: StereoRig, board: Board) -> str:
    x, y, z = (-rig.R_right_left.T @ rig.T_right_left_m).ravel()
    words = ((x, "to the right", "to the left"), (y, "down", "up"), (z, "ahead", "behind"))
    return ", ".join(f"{length(abs(v), board)} {plus if v > 0 else minus}" for v, plus, minus in words)


def _turn(rig: StereoRig) -> str:
    # The columns of R^T are the right eye's axes in the left eye's frame (x right, y down, z ahead).
    about = np.degrees(cv2.Rodrigues(rig.R_right_left.T)[0].ravel())
    words = (("upwards", "downwards"), ("to the right (outwards)", "to the left (inwards)"), ("clockwise", "anticlockwise"))
    return ", ".join(f"{abs(a):.2f}° {plus if a > 0 else minus}" for a, (plus, minus) in zip(about, words, strict=True))
