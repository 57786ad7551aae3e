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


def seen_area(detections: Iterable[Detection]) -> np.ndarray:
    """(128, 160) bool: the samples of the image that lie within the convex hull of some detection's points.

    Between its outermost points a board constrains the lens; beyond them the model only extrapolates.
    """
    seen = np.zeros((CELLS[1] * FINE, CELLS[0] * FINE), np.uint8)
    for detection in detections:
        # Pixel centres are whole numbers, so an image spans from -0.5 to size - 0.5; so do the samples.
        scaled = (detection.corners_px + 0.5) / detection.size * seen.shape[::-1] - 0.5
        cv2.fillConvexPoly(seen, cv2.convexHull(np.rint(scaled).astype(np.int32)), 1)
    return seen.astype(bool)


def coverage_map(detections: Iterable[Detection]) -> np.ndarray:
    """(8, 10) float64: the share of seen_area in each cell of the image."""
    return seen_area(detections).reshape(CELLS[1], FINE, CELLS[0], FINE).mean(axis=(1, 3))


def coverage(detections: Iterable[Detection]) -> float:
    """The share of the image area, in [0, 1], within the hull of some detection: the mean of seen_area."""
    return float(seen_area(detections).mean())
