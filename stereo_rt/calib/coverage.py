"""Coverage: how much of an eye's image the board's points have reached, and where."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from .detect import Detection

CELLS = (10, 8)
"""(columns, rows) of the map."""
FINE = 16
"""Samples along each side of a cell."""


def coverage_map(detections: Iterable[Detection]) -> np.ndarray:
    """(8, 10) float64: the share of each cell of the image that lies within the convex hull of some detection's points.

    Between its outermost points a board constrains the lens; beyond them the model only extrapolates.
    """
    seen = np.zeros((CELLS[1] * FINE, CELLS[0] * FINE), np.uint8)
    for detection in detections:
        # Pixel centres are whole numbers, so an image spans from -0.5 to size - 0.5; so do the samples.
        scaled = (detection.corners_px + 0.5) / detection.size * seen.shape[::-1] - 0.5
        hull = cv2.convexHull(np.rint(scaled).astype(np.int32))
        cv2.fillConvexPoly(seen, hull, 1)
    return seen.reshape(CELLS[1], FINE, CELLS[0], FINE).mean(axis=(1, 3))


def coverage(detections: Iterable[Detection]) -> float:
    """The share of the image area, in [0, 1], within the hull of some detection: the mean of coverage_map."""
    return float(coverage_map(detections).mean())
