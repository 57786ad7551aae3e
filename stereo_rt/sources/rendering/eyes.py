"""The eyes of the synthetic camera: where they sit on the rig, and their lenses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...calib.rig import CameraModel, StereoRig
from ...geometry import RectifiedRig
from .raster import shade, visibility
from .surfaces import Surfaces, View

FOCAL = 0.81
"""Focal length over image width: 63 degrees across."""
SHARPNESS = 1.25
"""Pixels of the flat picture for each pixel of the middle of the distorted one made from it."""
LENS_BLUR_PX = 0.55
"""A lens is never perfectly sharp; this also softens the staircase along edges."""


@dataclass(frozen=True, eq=False)
class Eye:
    """A pinhole, or a pinhole whose picture is bent by a lens.

    size: (width, height) of the flat picture. K: (3, 3) px. R: (3, 3) eye_from_rig. centre_m: (3,) on the rig.
    bend: (H, W) maps x and y into the flat picture, None for a rectified eye.
    """

    size: tuple[int, int]
    K: np.ndarray
    R: np.ndarray
    centre_m: np.ndarray
    bend: tuple[np.ndarray, np.ndarray] | None = None

    def view(self, R: np.ndarray, centre_m: np.ndarray) -> View:
        """The view when the rig is turned by R (rig_from_world) and stands at centre_m."""
        return View(*self.size, self.K, self.R @ R, centre_m + R.T @ self.centre_m)

    def picture(self, surfaces: Surfaces, view: View, levels: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 BGR, free of noise. levels: of texture_levels."""
        image = shade(surfaces, view, visibility(surfaces, view), levels)
        image = cv2.GaussianBlur(image, (3, 3), LENS_BLUR_PX)
        if self.bend is not None:
            image = cv2.remap(image, *self.bend, cv2.INTER_LINEAR)
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)


def rectified_rig(size: tuple[int, int], baseline_m: float) -> RectifiedRig:
    """The ideal pair: its axis through the middle of the image."""
    width, height = size
    return RectifiedRig(width, height, FOCAL * width, (width - 1) / 2, (height - 1) / 2, baseline_m)


def raw_rig(size: tuple[int, int], baseline_m: float, seed: int) -> StereoRig:
    """A pair as it comes from a factory: barrel distortion, unequal lenses, the right eye turned by up to a degree."""
    rng = np.random.default_rng((seed, 1))
    width, height = size

    def camera() -> CameraModel:
        fx, cx, cy = rng.normal((FOCAL, 0.5, 0.5), (0.004, 0.006, 0.008))
        fx *= width
        K = np.array([[fx, 0, cx * (width - 1)], [0, fx * rng.normal(1, 0.0006), cy * (height - 1)], [0, 0, 1]])
        return CameraModel(width, height, K, rng.normal((-0.27, 0.085, 0, 0, -0.011), (0.008, 0.004, 4e-4, 4e-4, 0.001)))

    turn_deg = rng.uniform(0.3, 0.9, 3) * rng.choice((-1, 1), 3)
    T = np.array([-1, *rng.uniform(-0.012, 0.012, 2)])
    R = cv2.Rodrigues(np.deg2rad(turn_deg))[0]
    return StereoRig(camera(), camera(), R, R @ (T / np.linalg.norm(T) * baseline_m), f"synthetic {seed}", "good")


def rectified_eyes(rig: RectifiedRig, vertical_px: float) -> tuple[Eye, Eye]:
    """vertical_px: how much lower than its calibration says the right eye shows everything."""
    left = np.array([[rig.fx_px, 0, rig.cx_px], [0, rig.fx_px, rig.cy_px], [0, 0, 1]])
    right = left + np.array([[0, 0, rig.doffs_px], [0, 0, vertical_px], [0, 0, 0]])
    return Eye(rig.size, left, np.eye(3), np.zeros(3)), Eye(rig.size, right, np.eye(3), np.array([rig.baseline_m, 0, 0]))


def raw_eyes(rig: StereoRig) -> tuple[Eye, Eye]:
    return _bent(rig.left, np.eye(3), np.zeros((3, 1))), _bent(rig.right, rig.R_right_left, rig.T_right_left_m)


def _bent(camera: CameraModel, R: np.ndarray, T_m: np.ndarray) -> Eye:
    """The eye that takes the raw images of a pinhole camera with distortion. x_eye = R @ x_rig + T_m.

    The flat picture is wide enough for every raw pixel and sharper than the raw image.
    """
    x, y = pixel_directions(camera)
    fx, fy = SHARPNESS * camera.K[0, 0], SHARPNESS * camera.K[1, 1]
    left, top = float(x.min()) * fx - 2, float(y.min()) * fy - 2
    size = int(np.ceil(x.max() * fx - left)) + 3, int(np.ceil(y.max() * fy - top)) + 3
    K = np.array([[fx, 0, -left], [0, fy, -top], [0, 0, 1]])
    bend = (x * fx - left).astype(np.float32), (y * fy - top).astype(np.float32)
    return Eye(size, K, R, -R.T @ T_m.ravel(), bend)


def pixel_directions(camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    """x/z and y/z, each (H, W) float64, of the direction in which every pixel of a distorted image looks."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float)), axis=-1)
    points = pixels.reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-10)  # OpenCV's own default is off by 0.1 px in a corner
    if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
        plane = cv2.undistortPointsIter(points, camera.K, camera.dist, np.eye(3), np.eye(3), stop)
    else:
        plane = cv2.undistortPoints(points, camera.K, camera.dist, criteria=stop)
    x, y = np.moveaxis(plane.reshape(camera.height, camera.width, 2), -1, 0)
    return x, y
