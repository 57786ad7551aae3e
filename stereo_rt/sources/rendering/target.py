"""A calibration board before a lens of known distortion: its picture, and where exactly each of its points is seen."""

from __future__ import annotations

import cv2
import numpy as np

from ...calib import lens
from ...calib.artwork import artwork, raster
from ...calib.boards import Board
from ...calib.rig import CameraModel, StereoRig

SAMPLES = 3
"""Rays along each side of a pixel, averaged."""
TEXTURE_PX = 2400
"""Longer side of the finest texture of the board."""
BLACK, WHITE = 25.0, 225.0
LENS_BLUR_PX = 0.6
Pose = tuple[np.ndarray, np.ndarray]
"""(R (3, 3), t (3,) m): a point X of the board is R @ X + t in the camera's frame."""


class TargetEye:
    """One camera before a board. What does not change with the pose is worked out once.

    background: (H, W) float32 grey levels behind the board; None for even grey.
    """

    def __init__(self, board: Board, camera: CameraModel, background: np.ndarray | None = None) -> None:
        art = artwork(board)
        margin = board.square_m
        left, top, right, bottom = art.bounds_m
        self._box = (left - margin, top - margin, right + margin, bottom + margin)
        density = TEXTURE_PX / max(self._box[2] - self._box[0], self._box[3] - self._box[1])
        texture = BLACK + (WHITE - BLACK) * raster(art, density, self._box)
        self._levels: list[tuple[float, np.ndarray]] = [(density, texture)]
        while min(self._levels[-1][1].shape) > 100:
            density, texture = self._levels[-1]
            half = texture[: texture.shape[0] // 2 * 2, : texture.shape[1] // 2 * 2]
            self._levels.append((density / 2, cv2.resize(half, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
        self.board, self.camera, self._points = board, camera, board.points_m
        self._background = np.full(camera.size[::-1], 110, np.float32) if background is None else background
        self._rays = _sample_rays(camera)

    def corners_px(self, R: np.ndarray, t_m: np.ndarray) -> np.ndarray:
        """(N, 2) float64: where Board.points_m are seen, also outside the image; NaN where they are not before the lens."""
        return lens.project(self.camera, self._points @ R.T + np.ravel(t_m))

    def picture(
        self,
        R: np.ndarray,
        t_m: np.ndarray,
        *,
        blur_px: float = LENS_BLUR_PX,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """(H, W) uint8. blur_px: standard deviation of the lens; noise: of the sensor, in grey levels, drawn from rng."""
        image = self._background.copy()
        rows, columns = self._seen(R, np.ravel(t_m))
        if rows.stop > rows.start and columns.stop > columns.start:
            fine = tuple(slice(s.start * SAMPLES, s.stop * SAMPLES) for s in (rows, columns))
            sheet = self._sheet(self._rays[fine], R, np.ravel(t_m))
            behind = np.kron(image[rows, columns], np.ones((SAMPLES, SAMPLES), np.float32))
            size = (columns.stop - columns.start, rows.stop - rows.start)
            image[rows, columns] = cv2.resize(np.where(np.isnan(sheet), behind, sheet), size, interpolation=cv2.INTER_AREA)
        if blur_px > 0:
            image = cv2.GaussianBlur(image, (0, 0), blur_px)
        if noise > 0:
            image = image + (rng or np.random.default_rng(0)).standard_normal(image.shape, np.float32) * noise
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _sheet(self, rays: np.ndarray, R: np.ndarray, t_m: np.ndarray) -> np.ndarray:
        """Grey level of the sheet along each ray (h, w, 3); NaN beside it."""
        # A point u, v of the plane lies along s * ray = R[:, :2] @ (u, v) + t: linear in (u, v, 1) / s.
        M = np.linalg.inv(np.column_stack([R[:, 0], R[:, 1], t_m]))
        uvw = rays @ M.T.astype(np.float32)
        with np.errstate(all="ignore"):
            u, v = np.where(uvw[..., 2] > 0, uvw[..., 0] / uvw[..., 2], np.nan), uvw[..., 1] / uvw[..., 2]
        px_per_m = SAMPLES * self.camera.K[0, 0] / max(float(np.linalg.norm(t_m)), 1e-6)
        density, texture = next((level for level in reversed(self._levels) if level[0] >= px_per_m), self._levels[0])
        x, y = ((u - self._box[0]) * density - 0.5).astype(np.float32), ((v - self._box[1]) * density - 0.5).astype(np.float32)
        outside = np.isnan(x) | (x < 0) | (y < 0) | (x > texture.shape[1] - 1) | (y > texture.shape[0] - 1)
        sheet = cv2.remap(texture, np.where(outside, 0, x), np.where(outside, 0, y), cv2.INTER_LINEAR)
        return np.where(outside, np.float32(np.nan), sheet)

    def _seen(self, R: np.ndarray, t_m: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the image that hold the sheet."""
        left, top, right, bottom = self._box
        x, y = np.linspace(left, right, 25), np.linspace(top, bottom, 25)
        rim = np.array([(a, b, 0) for a in x for b in (top, bottom)] + [(a, b, 0) for a in (left, right) for b in y])
        seen = lens.project(self.camera, rim @ R.T + t_m)
        if not np.isfinite(seen).all():
            return slice(0, self.camera.height), slice(0, self.camera.width)
        low = np.floor(seen.min(axis=0)).astype(int) - 2
        high = np.ceil(seen.max(axis=0)).astype(int) + 3
        (x0, y0), (x1, y1) = np.clip([low, high], 0, self.camera.size)
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))


class TargetRig:
    """Both eyes of a rig before a board; poses are those of the board in the left eye's frame."""

    def __init__(
        self, board: Board, rig: StereoRig, backgrounds: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    ) -> None:
        self.rig = rig
        self.left = TargetEye(board, rig.left, backgrounds[0])
        self.right = TargetEye(board, rig.right, backgrounds[1])

    def poses(self, R: np.ndarray, t_m: np.ndarray) -> tuple[Pose, Pose]:
        """The board's pose in each eye's frame."""
        Q, T = self.rig.R_right_left, self.rig.T_right_left_m.ravel()
        return (R, np.ravel(t_m)), (Q @ R, Q @ np.ravel(t_m) + T)

    def corners_px(self, R: np.ndarray, t_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) each, as TargetEye has them."""
        left, right = self.poses(R, t_m)
        return self.left.corners_px(*left), self.right.corners_px(*right)

    def pair(
        self,
        R: np.ndarray,
        t_m: np.ndarray,
        *,
        blur_px: float = LENS_BLUR_PX,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) uint8 each, as TargetEye.picture makes them."""
        left, right = self.poses(R, t_m)
        return (
            self.left.picture(*left, blur_px=blur_px, noise=noise, rng=rng),
            self.right.picture(*right, blur_px=blur_px, noise=noise, rng=rng),
        )


def _sample_rays(camera: CameraModel) -> np.ndarray:
    """(H * SAMPLES, W * SAMPLES, 3) float32 rays of the samples, linear between every fourth pixel: right to 0.001 px."""
    x, y = (np.arange(-1, n + 4, 4) - 0.5 for n in camera.size)
    knots = np.stack(np.meshgrid(x, y), axis=-1)
    rays = lens.unproject(camera, knots.reshape(-1, 2)).reshape(*knots.shape[:2], 3).astype(np.float32)
    at_x, at_y = (((np.arange(n * SAMPLES) + 0.5) / SAMPLES + 1).astype(np.float32) / 4 for n in camera.size)
    at = np.meshgrid(at_x, at_y)
    return np.dstack([cv2.remap(np.ascontiguousarray(rays[..., k]), *at, cv2.INTER_LINEAR) for k in range(3)])
