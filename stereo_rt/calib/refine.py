"""A rig whose right eye is turned back to where natural features show it, tried on frames that had no part in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import CheckFailed
from .check import Offsets, check, is_good, offsets
from .drift import spread, turned
from .gather import Gathered
from .rectify import rectifying_rotations
from .rig import StereoRig

BLOCKS = 10
"""Of consecutive looks, fitted and held out by turns: neighbours show the same things."""
BETTER = 0.7
"""Held-out offsets must shrink to this share at least."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The new rig, and the vertical offsets on the held-out frames by the old rig and by the new one."""

    rig: StereoRig
    before: Offsets
    after: Offsets

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"before": self.before.as_dict(), "after": self.after.as_dict()}


def refine(rig: StereoRig, gathered: Gathered) -> Refined:
    """Fit the turn to every second block of frames and try it on the others.

    Raises CheckFailed when there are too few frames, or the held-out ones are not clearly better for it; CalibrationError
    when either half has too few matches.
    """
    if len(gathered.looks) < 4:
        raise CheckFailed(f"{len(gathered.looks)} pairs are too few to refine on some and try it on others; give at least 4")
    block = np.arange(len(gathered.looks)) * min(BLOCKS, len(gathered.looks)) // len(gathered.looks)
    fitted, held_out = (
        check(replace(gathered, looks=tuple(gathered.looks[n] for n in np.flatnonzero(block % 2 == k)))) for k in (0, 1)
    )
    others = spread(np.concatenate([gathered.looks[n] for n in np.flatnonzero(block % 2)]), gathered.grid.size)
    fits = held_out.drift.fits
    after = offsets(turned(others, gathered.grid, fitted.drift.correction), gathered.grid.size, fits)
    if not (
        is_good(after) and after.rms_px < BETTER * held_out.now.rms_px and after.median_px < BETTER * held_out.now.median_px
    ):
        raise CheckFailed(
            f"refining does not clearly help: on frames it did not use, rows are {held_out.now.rms_px:.2f} px off before and "
            f"{after.rms_px:.2f} after, so nothing is written; keep the calibration, or calibrate with a board"
        )
    return Refined(turned_rig(rig, fitted.drift.correction), held_out.now, after)


def turned_rig(rig: StereoRig, correction: np.ndarray) -> StereoRig:
    """The rig whose right rays, rectified by the old one, are to be turned by correction, (3, 3); centres stay in place.

    With the old rectifying rotations, a far point has R_left x_left = C R_right x_right, whence R = (C R_right)^T R_left.
    """
    R_left, R_right = rectifying_rotations(rig.R_right_left, rig.T_right_left_m)
    R = (correction @ R_right).T @ R_left
    T = R @ rig.R_right_left.T @ rig.T_right_left_m
    return replace(rig, R_right_left=R, T_right_left_m=T, name=f"{rig.name}, refined from natural features", verdict="usable")
