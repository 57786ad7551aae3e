"""Point clouds: what was measured and is valid of a result, as coloured points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..frames import DepthResult


@dataclass(frozen=True, eq=False)
class Cloud:
    """points_m: (N, 3) float32 in the left camera's frame (x right, y down, z forward). colors_rgb: (N, 3) uint8."""

    points_m: np.ndarray
    colors_rgb: np.ndarray


def cloud_of(result: DepthResult) -> Cloud:
    """The points of a result's valid pixels, row by row, in the colours of the left image; a cloud has no mask to mark
    filled ones with, so it is without them."""
    valid = result.valid & np.isfinite(result.depth_m)
    if result.filled is not None:
        valid &= ~result.filled
    conversion = cv2.COLOR_GRAY2RGB if result.left.ndim == 2 else cv2.COLOR_BGR2RGB
    return Cloud(result.rig.points_m(result.disparity_px)[valid], cv2.cvtColor(result.left, conversion)[valid])
