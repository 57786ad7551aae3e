"""Which pixels of a disparity map to keep: edges where foreground and background blend, and the depth range."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import RectifiedRig

RELATIVE_STEP = 0.02
"""A step must also exceed this share of the larger disparity: near surfaces slope steeply without being edges."""


def edges(disparity_px: np.ndarray, radius_px: int, step_px: float) -> np.ndarray:
    """(H, W) bool, True within radius_px of a jump in disparity, on both of its sides.

    A jump lies between two neighbours (in x or y) when the smaller is less than the larger one's floor, which is step_px
    and at least RELATIVE_STEP of its value below it; NaN is no jump. Around jumps networks return values in between,
    which would fly in space between foreground and background.
    """
    found: np.ndarray = np.zeros(disparity_px.shape, np.uint8)
    if radius_px < 1:
        return found.view(bool)
    # The maps as one row each: neighbours in x are 1 apart and those in y a whole row, and every pass runs at full speed.
    width = disparity_px.shape[1]
    d, mark = disparity_px.ravel(), found.ravel().view(bool)
    floor = d * np.float32(1 - RELATIVE_STEP)
    np.minimum(floor, d - np.float32(step_px), out=floor)
    for apart, along_rows in ((1, True), (width, False)):
        jump = d[:-apart] < floor[apart:]
        jump |= d[apart:] < floor[:-apart]
        if along_rows:
            jump[width - 1 :: width] = False  # the end of a row and the start of the next
        mark[:-apart] |= jump
        mark[apart:] |= jump
    if radius_px > 1:
        found = cv2.dilate(found, np.ones((2 * radius_px - 1,) * 2, np.uint8))
    return found.view(bool)


def in_range(disparity_px: np.ndarray, rig: RectifiedRig, range_m: tuple[float, float]) -> np.ndarray:
    """(H, W) bool, True where range_m[0] <= depth <= range_m[1] (metres), and always in front of the cameras.

    Compared in disparity, which spares a division a pixel. Without a calibration there are no metres to compare.
    """
    near, far = range_m
    scale = rig.fx_px * rig.baseline_m
    with np.errstate(invalid="ignore"):
        kept = disparity_px > np.float32(-rig.doffs_px)
        if rig.metric and np.isfinite(far):
            kept &= disparity_px >= np.float32(scale / far - rig.doffs_px)
        if rig.metric and near > 0:
            kept &= disparity_px <= np.float32(scale / near - rig.doffs_px)
    return kept
