"""Hole filling along rows, from the background."""

from __future__ import annotations

import numpy as np


def fill_rows(disparity_px: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W) float32: known pixels as they are; others take the smaller disparity of the nearest known ones left and right.

    What one eye cannot see lies behind its neighbours, hence the smaller disparity (the background interpolation of
    KITTI's stereo kit). NaN remains in rows where nothing is known.
    """
    width = disparity_px.shape[1]
    holes, known_at = np.flatnonzero(~known), np.flatnonzero(known)
    after = np.searchsorted(known_at, holes)

    def value(place: np.ndarray, exists: np.ndarray) -> np.ndarray:
        """Of the known pixel at that place of known_at, where it is in the hole's row; NaN elsewhere."""
        source = known_at[np.where(exists, place, 0)] if len(known_at) else holes
        same_row = source // width == holes // width
        return np.where(exists & same_row, disparity_px.reshape(-1)[source], np.float32(np.nan))

    filled = np.array(disparity_px, np.float32, order="C")
    filled.reshape(-1)[holes] = np.fmin(value(after - 1, after > 0), value(after, after < len(known_at)))
    return filled
