"""RectifiedRig: the geometry of one pixel grid. Disparity <-> depth <-> points, scaling, and the error model.

Frames: camera axes are x right, y down, z forward, origin at the left eye. Pixel centres are at integers,
so a grid of width W spans [-0.5, W - 0.5]; scaling by s maps x to (x + 0.5) * s - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .errors import CalibrationError, EyesSwapped

DISPARITY_SIGMA_PX = 0.5
"""Standard deviation of a trusted disparity on a 640-pixel-wide grid, used where no better figure is known."""


@dataclass(frozen=True)
class RectifiedRig:
    """A rectified pair on a grid of width x height pixels.

    fx_px: focal length of both eyes (square pixels). cx_px, cy_px: principal point of the left eye.
    doffs_px: cx_right - cx_left, so that z = fx * baseline / (d + doffs).
    baseline_m: distance between the eyes, > 0.
    Raises CalibrationError for a geometry that cannot be. `uncalibrated` makes one that knows its size only.
    """

    width: int
    height: int
    fx_px: float
    cx_px: float
    cy_px: float
    baseline_m: float
    doffs_px: float = 0.0

    def __post_init__(self) -> None:
        values = (self.fx_px, self.cx_px, self.cy_px, self.baseline_m, self.doffs_px)
        if not all(np.isfinite(v) for v in (values if self.metric else (self.cx_px, self.cy_px, self.doffs_px))):
            raise CalibrationError(f"the rectified geometry holds a number that is not finite: {values}; calibrate again")
        if self.width < 1 or self.height < 1:
            raise CalibrationError(f"a grid of {self.width}x{self.height} pixels is empty; check image_size in the calibration")
        if self.fx_px <= 0:
            raise CalibrationError(f"the focal length is {self.fx_px:g} px and must be positive; check the calibration")
        if self.baseline_m <= 0:
            raise EyesSwapped(
                f"the baseline is {self.baseline_m:g} m and must be positive; the eyes look swapped in this calibration: "
                "exchange its two cameras"
            )

    @classmethod
    def uncalibrated(cls, width: int, height: int) -> RectifiedRig:
        """A rectified pair whose focal length and baseline nobody told: disparity means something, metres do not.

        Its depths are NaN everywhere, and `metric` is False.
        """
        return cls(width, height, fx_px=np.nan, cx_px=(width - 1) / 2, cy_px=(height - 1) / 2, baseline_m=np.nan)

    @property
    def metric(self) -> bool:
        """False when there is no calibration behind this grid."""
        return not (np.isnan(self.fx_px) and np.isnan(self.baseline_m))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def depth_m(self, disparity_px: np.ndarray) -> np.ndarray:
        """Depth fx * B / (d + doffs) in metres; NaN where d is NaN or d + doffs <= 0. Same shape, float32."""
        shifted = np.asarray(disparity_px, np.float32) + np.float32(self.doffs_px)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = np.float32(self.fx_px * self.baseline_m) / shifted
            return np.where(shifted > 0, z, np.float32(np.nan))

    def disparity_px(self, depth_m: np.ndarray) -> np.ndarray:
        """Inverse of depth_m: d = fx * B / z - doffs; NaN where z is NaN or not positive."""
        z = np.asarray(depth_m, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.float32(self.fx_px * self.baseline_m) / z - np.float32(self.doffs_px)
            return np.where(z > 0, d, np.float32(np.nan))

    def depth_sigma_m(self, disparity_px: np.ndarray, sigma_px: float | None = None) -> np.ndarray:
        """One standard deviation of depth: |dz/dd| * sigma = z^2 / (fx * B) * sigma_px (first-order propagation).

        sigma_px: of the disparity, on this rig's grid; None takes DISPARITY_SIGMA_PX scaled to it.
        """
        sigma_px = DISPARITY_SIGMA_PX * self.width / 640 if sigma_px is None else sigma_px
        z = self.depth_m(disparity_px)
        return z * z * np.float32(sigma_px / (self.fx_px * self.baseline_m))

    def points_m(self, disparity_px: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 points in the left camera's frame, NaN where there is no depth.

        Raises ValueError when the map is not on this rig's grid.
        """
        if disparity_px.shape != (self.height, self.width):
            raise ValueError(f"disparity is {disparity_px.shape}, the rig's grid ({self.height}, {self.width})")
        z = self.depth_m(disparity_px)
        x = (np.arange(self.width, dtype=np.float32) - np.float32(self.cx_px)) / np.float32(self.fx_px)
        y = (np.arange(self.height, dtype=np.float32) - np.float32(self.cy_px)) / np.float32(self.fx_px)
        return np.stack([z * x[None, :], z * y[:, None], z], axis=-1)

    def scaled(self, width: int, height: int) -> RectifiedRig:
        """The same view on another grid. Disparities on it are those of this grid times width / self.width.

        Raises CalibrationError when the aspect changes by more than a pixel of rounding: crop first.
        """
        sx = width / self.width
        if abs(self.height * sx - height) > 1:
            raise CalibrationError(
                f"{self.width}x{self.height} cannot become {width}x{height}: the aspect would change; "
                f"use {width}x{round(self.height * sx)}, or crop first"
            )
        return replace(
            self,
            width=width,
            height=height,
            fx_px=self.fx_px * sx,
            cx_px=(self.cx_px + 0.5) * sx - 0.5,
            cy_px=(self.cy_px + 0.5) * sx - 0.5,
            doffs_px=self.doffs_px * sx,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> RectifiedRig:
        """The window whose top left pixel is (x, y), the same in both eyes; disparities do not change."""
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > self.width or y + height > self.height:
            raise CalibrationError(
                f"crop {width}x{height}+{x}+{y} does not fit in {self.width}x{self.height}; choose a smaller window"
            )
        return replace(self, width=width, height=height, cx_px=self.cx_px - x, cy_px=self.cy_px - y)
