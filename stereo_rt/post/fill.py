"""Hole filling along rows, from the background."""

from __future__ import annotations

import numpy as np


def fill_rows(disparity_px: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W) float32: known pixels as they are; others take the smaller disparity of the nearest known ones left and right.

    What one eye cannot see lies behind its neighbours, hence the smaller disparity (the background interpolation of
    KITTI's stereo kit). NaN remains in rows where nothing is known.
    """
    height, width = disparity_px.shape
    columns = np.arange(width, dtype=np.intp)
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, width)[:, ::-1], axis=1)[:, ::-1]
    values = np.full((height, width + 2), np.nan, np.float32)
    values[:, 1:-1] = np.where(known, disparity_px, np.float32(np.nan))
    return np.fmin(np.take_along_axis(values, left + 1, axis=1), np.take_along_axis(values, right + 1, axis=1))
