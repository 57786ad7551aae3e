"""The left-right check: a pixel is kept when both eyes agree on its disparity."""

from __future__ import annotations

import numpy as np

from ..frames import Disparity
from ..matchers.base import Matcher


def mirrored(matcher: Matcher, left: np.ndarray, right: np.ndarray) -> Disparity:
    """The disparity seen from the right eye (positive, on the right grid), by any matcher that refers to the left one.

    The two images exchanged and flipped left to right are again a pair whose first image refers.
    """
    seen = matcher(np.ascontiguousarray(right[:, ::-1]), np.ascontiguousarray(left[:, ::-1]))
    return Disparity(np.ascontiguousarray(seen.disparity_px[:, ::-1]), np.ascontiguousarray(seen.confidence[:, ::-1]))


def disagreement_px(left_px: np.ndarray, right_px: np.ndarray) -> np.ndarray:
    """(H, W) float32 |d_l(x) - d_r(x - d_l)|, d_r at the nearest pixel.

    left_px, right_px: (H, W) disparities on the left and the right grid. NaN where either is NaN or the partner lies
    outside the right image, since nobody can confirm it.
    """
    width = left_px.shape[1]
    with np.errstate(invalid="ignore"):
        partner = np.rint(np.arange(width, dtype=np.float32) - left_px)
        seen = (partner >= 0) & (partner < width)
        columns = np.where(seen, partner, 0).astype(np.intp)
        apart = np.abs(left_px - np.take_along_axis(right_px, columns, axis=1))
    return np.where(seen, apart, np.float32(np.nan))


def consistent(left_px: np.ndarray, right_px: np.ndarray, tolerance_px: float) -> np.ndarray:
    """(H, W) bool, True where the eyes differ by at most tolerance_px; False where nobody can confirm the estimate."""
    with np.errstate(invalid="ignore"):
        return disagreement_px(left_px, right_px) <= tolerance_px
