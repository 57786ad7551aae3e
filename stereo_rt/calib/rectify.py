"""Rectification: the rotations and the pixel grid that put both eyes' images on common rows, and the fast remap to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..errors import CalibrationError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from . import lens
from .rig import CameraModel, StereoRig

WIDEST_DEG = 75.0
"""Directions further from the axis are left out: a flat image stretches without bound towards 90 degrees."""
BORDER_SAMPLES = 101
EDGE_PX = 0.05
"""How far outside the raw image a pixel of the grid may fall and still count as seen."""


@dataclass(frozen=True, eq=False)
class Rectification:
    """How raw frames of `source` become rectified ones on the grid of `rig`.

    R_left, R_right: (3, 3), a direction x_cam of an eye is R @ x_cam in that eye's rectified frame (R_rect_cam).
    """

    R_left: np.ndarray
    R_right: np.ndarray
    rig: RectifiedRig
    source: StereoRig

    def cropped(self, x: int, y: int, width: int, height: int) -> Rectification:
        """Only the window of the rectified grid whose top left pixel is (x, y). Raises CalibrationError."""
        return replace(self, rig=self.rig.cropped(x, y, width, height))


def rectify_rig(rig: StereoRig, size: tuple[int, int] | None = None, alpha: float = 0.0) -> Rectification:
    """The rectification of a rig.

    size: (width, height) of the output grid; None for the source's own. Another size is the own-size geometry scaled.
    alpha: 0 shows only what both eyes see, 1 keeps every source pixel (black around), values between blend the two.
    Raises CalibrationError for eyes not side by side, of unequal size, without a common view, or another aspect.
    """
    need_side_by_side(rig)
    R_left, R_right = rectifying_rotations(rig.R_right_left, rig.T_right_left_m)
    grid = _common_grid(rig, R_left, R_right, alpha)
    return Rectification(R_left, R_right, grid if size is None else grid.scaled(*size), rig)


def need_side_by_side(rig: StereoRig) -> None:
    """Raise CalibrationError for eyes of unequal size, not side by side, or that look too far apart."""
    if rig.left.size != rig.right.size:
        raise CalibrationError(
            "the left image is {}x{} and the right one {}x{}; scale one eye's calibration first".format(
                *rig.left.size, *rig.right.size
            )
        )
    T = rig.T_right_left_m.ravel()
    if abs(T[0]) < abs(T[1:]).max():
        raise CalibrationError(
            "the eyes sit above or behind each other, and only side-by-side rigs are rectified; "
            "turn both images by 90 degrees and calibrate again"
        )
    if np.trace(rig.R_right_left) < 1 + 2 * np.cos(np.radians(WIDEST_DEG)):
        raise CalibrationError(f"the eyes look more than {WIDEST_DEG:g} degrees apart and have no common view; calibrate again")


def rectifying_rotations(R: np.ndarray, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R_left, R_right) from x_right = R x_left + T, after J.-Y. Bouguet's method (as in OpenCV's stereoRectify).

    Each eye turns by half of R so that both look the same way, with least distortion of either; then both turn by the
    smallest rotation that lays the baseline on the x axis.
    """
    # The polar factor of I + R is the rotation by half the angle of R about the same axis.
    u, _, vt = np.linalg.svd(np.eye(3) + R)
    half = u @ vt
    align = _shortest_rotation((half.T @ T).ravel(), np.array([-1.0, 0.0, 0.0]))
    return align @ half, align @ half.T


def _shortest_rotation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, 3) taking the direction of a to that of the unit vector b: I + [v] + [v]^2 / (1 + a.b), v = a x b (Rodrigues)."""
    a = a / np.linalg.norm(a)
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def _common_grid(rig: StereoRig, R_left: np.ndarray, R_right: np.ndarray, alpha: float) -> RectifiedRig:
    """One focal length and principal point for both eyes, from where the raw images' borders come to lie.

    Windows are measured on the plane z = 1 of the rectified frame. alpha blends their sizes and their centres.
    """
    eyes = [(rig.left, R_left), (rig.right, R_right)]
    left, top, right, bottom = (np.concatenate(side) for side in zip(*(_border(*eye) for eye in eyes), strict=True))
    inner = _Window(left[:, 0].max(), top[:, 1].max(), right[:, 0].min(), bottom[:, 1].min())
    around = np.concatenate([left, top, right, bottom])
    outer = _Window(*around.min(axis=0), *around.max(axis=0))
    spans = np.maximum(np.array(rig.size) - 1, 1)
    trusted = [(camera, R, lens.trusted_angle(camera)) for camera, R in eyes]
    scale_inner = _seen_by_all(trusted, inner.center, float((inner.size / spans).min()), spans)
    scale_outer = float((outer.size / spans).max())
    fx = 1 / ((1 - alpha) * scale_inner + alpha * scale_outer)
    cx, cy = spans / 2 - fx * ((1 - alpha) * inner.center + alpha * outer.center)
    return RectifiedRig(*rig.size, fx_px=float(fx), cx_px=float(cx), cy_px=float(cy), baseline_m=rig.baseline_m)


def _seen_by_all(
    eyes: list[tuple[CameraModel, np.ndarray, float]], center: np.ndarray, scale: float, spans: np.ndarray
) -> float:
    """The largest plane units per pixel, at most `scale`, at which every eye truly sees the border of the grid.

    The inner rectangle alone would do for lenses without a fold; see lens.trusted_angle.
    """

    def seen(scale: float) -> bool:
        x, y = (center[:, None] + spans[:, None] * scale * np.linspace(-0.5, 0.5, BORDER_SAMPLES)).tolist()
        edge = [(u, v, 1.0) for u in (x[0], x[-1]) for v in y] + [(u, v, 1.0) for u in x for v in (y[0], y[-1])]
        return all(_sees(camera, np.array(edge) @ R_rect_cam, trusted) for camera, R_rect_cam, trusted in eyes)

    if scale > 0 and seen(scale):
        return scale
    low, high = 0.0, max(scale, 0.0)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if seen(middle) else (low, middle)
    if low <= 0:
        raise CalibrationError("the two eyes see nothing in common after rectification; calibrate again")
    return low


def _sees(camera: CameraModel, rays: np.ndarray, trusted_angle: float) -> bool:
    angle = np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])
    pixels = lens.project(camera, rays)
    inside = (pixels > -EDGE_PX) & (pixels < np.array(camera.size) - 1 + EDGE_PX)
    return bool(inside.all() and (angle <= trusted_angle).all())


@dataclass(frozen=True)
class _Window:
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size(self) -> np.ndarray:
        return np.array([self.x1 - self.x0, self.y1 - self.y0])

    @property
    def center(self) -> np.ndarray:
        return np.array([self.x0 + self.x1, self.y0 + self.y1]) / 2


def _border(camera: CameraModel, R_rect_cam: np.ndarray) -> list[np.ndarray]:
    """Left, top, right and bottom border of the raw image as (N, 2) points on the rectified plane z = 1.

    Where the lens model has no direction for a pixel (outside a fisheye's image circle) it is the last one it has
    on the way there.
    """
    x = np.linspace(0, camera.width - 1, BORDER_SAMPLES)
    y = np.linspace(0, camera.height - 1, BORDER_SAMPLES)
    low, high_x, high_y = np.zeros(BORDER_SAMPLES), np.full(BORDER_SAMPLES, x[-1]), np.full(BORDER_SAMPLES, y[-1])
    sides = [np.stack(s, axis=-1) for s in ((low, y), (x, low), (high_x, y), (x, high_y))]
    widest = min(lens.trusted_angle(camera), np.radians(WIDEST_DEG))
    limit = np.tan(np.radians(WIDEST_DEG))
    planes = []
    for side in sides:
        rays = lens.unproject(camera, side)
        rays = np.where(np.isfinite(rays), rays, _towards(camera, side, widest)) @ R_rect_cam.T
        plane = rays[:, :2] / np.maximum(rays[:, 2:], 1e-9)
        planes.append(plane * np.minimum(1, limit / np.maximum(np.linalg.norm(plane, axis=1, keepdims=True), 1e-9)))
    return planes


def _towards(camera: CameraModel, pixels: np.ndarray, angle: float) -> np.ndarray:
    """(N, 3) directions at an angle from the axis, on the side of pixels (N, 2)."""
    outwards = (pixels - camera.K[:2, 2]) / np.diag(camera.K)[:2]
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    return np.concatenate([np.sin(angle) * outwards, np.full((len(pixels), 1), np.cos(angle))], axis=1)


class Rectifier:
    """Rectifies frames: the maps are built once, in OpenCV's fixed-point form, and lead straight to the output grid.

    Every call returns new images, so a frame can go on to other threads while the next one is made.
    """

    def __init__(self, rectification: Rectification) -> None:
        source, rig = rectification.source, rectification.rig
        self.rectification = rectification
        # Bilinear sampling of less than every second pixel would alias: average over whole pixels first.
        self._shrink = max(1, int(source.left.K[0, 0] / rig.fx_px + 0.25))
        self._maps = [
            _fixed_point(source_maps(camera, R, rig), self._shrink)
            for camera, R in ((source.left, rectification.R_left), (source.right, rectification.R_right))
        ]

    def __call__(self, frame: StereoFrame) -> StereoFrame:
        """The pair on the grid of `rectification.rig`. Raises CalibrationError when the frame is not of the source's size."""
        return replace(frame, left=self._remap(frame.left, 0), right=self._remap(frame.right, 1))

    def left_only(self, image: np.ndarray) -> np.ndarray:
        """The left image alone, (H, W) or (H, W, 3) uint8. Raises CalibrationError as above."""
        return self._remap(image, 0)

    def _remap(self, image: np.ndarray, eye: int) -> np.ndarray:
        width, height = self.rectification.source.size
        if image.shape[:2] != (height, width):
            raise CalibrationError(
                f"the calibration is for {width}x{height} and the frame is {image.shape[1]}x{image.shape[0]}; "
                "calibrate at the frames' size, or pass a calibration of the same aspect"
            )
        if (n := self._shrink) > 1:
            whole = image[: height // n * n, : width // n * n]
            image = cv2.resize(whole, (width // n, height // n), interpolation=cv2.INTER_AREA)
        return cv2.remap(image, *self._maps[eye], cv2.INTER_LINEAR)


def source_maps(camera: CameraModel, R_rect_cam: np.ndarray, rig: RectifiedRig) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) float32 x and y in the raw image of every rectified pixel, by OpenCV; plain.source_pixels is the twin."""
    # OpenCV leaves the skew out of K, so it maps to the normalised plane and K is applied here.
    make = cv2.fisheye.initUndistortRectifyMap if camera.model == "fisheye" else cv2.initUndistortRectifyMap
    P = np.array([[rig.fx_px, 0, rig.cx_px], [0, rig.fx_px, rig.cy_px], [0, 0, 1]])
    x, y = make(np.eye(3), camera.dist, R_rect_cam, P, rig.size, cv2.CV_32FC1)
    K = camera.K.astype(np.float32)
    return K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]


def _fixed_point(maps: tuple[np.ndarray, np.ndarray], shrink: int) -> tuple[np.ndarray, np.ndarray]:
    """The maps into an image shrunk by a whole factor, as OpenCV's 16-bit integer and 5-bit fraction."""
    x, y = ((np.nan_to_num(m, nan=-2, posinf=-2, neginf=-2) + 0.5) / shrink - 0.5 for m in maps)
    return cv2.convertMaps(np.clip(x, -2, 32766).astype(np.float32), np.clip(y, -2, 32766).astype(np.float32), cv2.CV_16SC2)
