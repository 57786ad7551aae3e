"""The values that travel through the loop: StereoFrame -> Disparity -> DepthResult. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .geometry import RectifiedRig


@dataclass(frozen=True, eq=False)
class StereoFrame:
    """One pair of images as a source delivered it.

    left, right: (H, W, 3) uint8 BGR or (H, W) uint8 grey, equal in size.
    index: position in the source, counting frames that were lost on the way.
    stamp_ns: time of capture on a monotonic clock, or a recording's own time stamp.
    skew_ns: how much later the right image was taken than the left (0 where unknown or in hardware sync).
    arrived_ns: `time.monotonic_ns()` when the frame reached this program, or, where the driver tells, was taken; frame age is
        measured from here.
    """

    left: np.ndarray
    right: np.ndarray
    index: int
    stamp_ns: int
    skew_ns: int = 0
    arrived_ns: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of one eye."""
        return self.left.shape[1], self.left.shape[0]


@dataclass(frozen=True, eq=False)
class Disparity:
    """What a matcher returns, on the grid of the images it was given.

    disparity_px: (H, W) float32, x_right = x_left - d; NaN where there is no estimate.
    confidence: (H, W) float32 in [0, 1], higher is better.
    """

    disparity_px: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True, eq=False)
class DepthResult:
    """One finished frame: the unmasked disparity, what to believe of it, and the geometry of its own grid.

    disparity_px: (H, W) float32, NaN where there is no estimate; not masked.
    confidence: (H, W) float32 in [0, 1].
    mask: (H, W) bool, True where post-processing keeps the pixel.
    rig: geometry of this grid.
    left: (H, W, 3) or (H, W) uint8, the rectified left image on the same grid.
    stage_ms: milliseconds spent in each stage, by name.
    filled: (H, W) bool, True where hole filling invented the value; None when filling is off. There the confidence is 0.
    mono: (H, W) float32 relative inverse depth of the left image, where a monocular network looked at it; else None.
    """

    disparity_px: np.ndarray
    confidence: np.ndarray
    mask: np.ndarray
    rig: RectifiedRig
    left: np.ndarray
    index: int
    stamp_ns: int
    skew_ns: int = 0
    arrived_ns: int = 0
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    filled: np.ndarray | None = None
    mono: np.ndarray | None = None

    @cached_property
    def valid(self) -> np.ndarray:
        """(H, W) bool: kept by the mask and in front of the cameras."""
        with np.errstate(invalid="ignore"):
            return self.mask & (self.disparity_px + self.rig.doffs_px > 0)

    @cached_property
    def depth_m(self) -> np.ndarray:
        """(H, W) float32 depth along the optical axis in metres, NaN where not valid."""
        return np.where(self.valid, self.rig.depth_m(self.disparity_px), np.float32(np.nan))
