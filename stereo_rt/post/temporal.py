"""Smoothing over time: an exponential mean in disparity that lets go where the scene moved."""

from __future__ import annotations

import numpy as np


class Smoother:
    """Holds the mean of the frames so far. One thread calls.

    Disparity, not depth, is averaged: its noise has the same size everywhere in the image.
    """

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._index = 0
        self._stamp_ns = 0

    def reset(self) -> None:
        self._mean = None

    def __call__(
        self, disparity_px: np.ndarray, index: int, stamp_ns: int, weight: float, step_px: float, gap_ms: float
    ) -> np.ndarray:
        """weight * mean + (1 - weight) * new where the two differ by at most step_px, the new value elsewhere.

        disparity_px: (H, W) float32; NaN stays NaN. Starts anew after a gap of more than gap_ms, when time or index
        run backwards, and when the size changes.
        """
        past, elapsed_ms = self._mean, (stamp_ns - self._stamp_ns) / 1e6
        if past is None or past.shape != disparity_px.shape or index <= self._index or not 0 <= elapsed_ms <= gap_ms:
            smooth = disparity_px
        else:
            change = disparity_px - past
            with np.errstate(invalid="ignore"):
                near = np.abs(change) <= np.float32(step_px)
            smooth = np.where(near, disparity_px - np.float32(weight) * change, disparity_px)
        self._mean, self._index, self._stamp_ns = smooth, index, stamp_ns
        return smooth
