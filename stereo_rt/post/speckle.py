"""Speckle removal: small islands of disparity that hang together with nothing around them."""

from __future__ import annotations

import cv2
import numpy as np

_HOLE = -32768


def speckles(disparity_px: np.ndarray, kept: np.ndarray, size_px: int, step_px: float) -> np.ndarray:
    """(H, W) bool, True on kept pixels in connected areas of fewer than size_px pixels.

    Neighbours (in x or y) hang together when both are kept and differ by at most step_px. OpenCV's filter works on
    int16, so disparities are rounded to 1/16 px, or coarser where the largest would not fit.
    """
    if size_px < 2 or not kept.any():
        return np.zeros(kept.shape, bool)
    scale = min(16.0, 32000 / max(float(np.abs(disparity_px[kept]).max()), 1e-6))
    fixed = np.where(kept, np.rint(disparity_px * np.float32(scale)), _HOLE).astype(np.int16)
    cv2.filterSpeckles(fixed, _HOLE, size_px - 1, max(round(step_px * scale), 1))
    return kept & (fixed == _HOLE)
