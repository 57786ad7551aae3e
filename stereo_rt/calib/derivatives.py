"""Projection with its derivatives, for the lens models that are solved for; lens.project is the plain twin.

A lens is a vector (fx, fy, cx, cy, distortion...) in px and OpenCV's order of coefficients: 5 for 'pinhole', 8 for
'rational', 4 for 'fisheye' (equidistant). Formulas: as in lens.py, differentiated by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from .rig import CameraModel

LensModel = Literal["pinhole", "rational", "fisheye"]
DISTORTION: dict[str, int] = {"pinhole": 5, "rational": 8, "fisheye": 4}
"""Distortion coefficients of each model that can be solved for."""


class Projected(NamedTuple):
    """pixels: (..., 2). by_point: (..., 2, 3), px per unit of the point. by_lens: (..., 2, k), px per unit of each entry."""

    pixels: np.ndarray
    by_point: np.ndarray
    by_lens: np.ndarray


def lens_size(model: LensModel) -> int:
    """Entries of a lens vector."""
    return 4 + DISTORTION[model]


def camera_of(model: LensModel, lens: np.ndarray, size: tuple[int, int]) -> CameraModel:
    """The lens vector as the camera that files and rectification know."""
    fx, fy, cx, cy = lens[:4]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return CameraModel(*size, K=K, dist=lens[4:], model="fisheye" if model == "fisheye" else "pinhole")


def project(model: LensModel, lens: np.ndarray, points: np.ndarray) -> Projected:
    """Where points (..., 3) in the camera's frame are seen. Of points behind a pinhole camera it is NaN."""
    bend: Callable[[np.ndarray, np.ndarray], Projected] = _fisheye if model == "fisheye" else _pinhole
    with np.errstate(all="ignore"):
        plane, by_point, by_distortion = bend(points, lens[4:])
    focal, center = lens[:2], lens[2:4]
    by_lens = np.zeros((*plane.shape, len(lens)))
    by_lens[..., 0, 0], by_lens[..., 1, 1] = plane[..., 0], plane[..., 1]
    by_lens[..., 0, 2] = by_lens[..., 1, 3] = 1
    by_lens[..., 4:] = focal[:, None] * by_distortion
    return Projected(plane * focal + center, by_point * focal[:, None], by_lens)


def _pinhole(points: np.ndarray, dist: np.ndarray) -> Projected:
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(dist, (0, 8 - len(dist)))
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    x, y = points[..., 0] / z, points[..., 1] / z
    xx, yy, xy = x * x, y * y, x * y
    r2 = xx + yy
    bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    g = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / bottom
    slope = (k1 + r2 * (2 * k2 + 3 * r2 * k3) - g * (k4 + r2 * (2 * k5 + 3 * r2 * k6))) / bottom
    plane = np.stack([x * g + 2 * p1 * xy + p2 * (r2 + 2 * xx), y * g + p1 * (r2 + 2 * yy) + 2 * p2 * xy], axis=-1)

    across = 2 * (xy * slope + p1 * x + p2 * y)
    xd_x = g + 2 * xx * slope + 2 * p1 * y + 6 * p2 * x
    yd_y = g + 2 * yy * slope + 6 * p1 * y + 2 * p2 * x
    by_xy = np.stack([np.stack([xd_x, across], -1), np.stack([across, yd_y], -1)], -2)
    by_z = -(by_xy * np.stack([x, y], -1)[..., None, :]).sum(-1)
    by_point = np.concatenate([by_xy, by_z[..., None]], -1) / z[..., None, None]

    xy_over = np.stack([x, y], axis=-1) / bottom[..., None]
    powers = xy_over[..., None] * np.stack([r2, r2**2, r2**3], -1)[..., None, :]
    tangential = np.stack([np.stack([2 * xy, r2 + 2 * xx], -1), np.stack([r2 + 2 * yy, 2 * xy], -1)], -2)
    columns = [powers[..., :2], tangential, powers[..., 2:], -g[..., None, None] * powers]
    return Projected(plane, by_point, np.concatenate(columns, -1)[..., : len(dist)])


def _fisheye(points: np.ndarray, dist: np.ndarray) -> Projected:
    x, y, z = np.moveaxis(points, -1, 0)
    r = np.maximum(np.hypot(x, y), 1e-12)
    theta = np.arctan2(r, z)
    t2 = theta * theta
    odd = theta[..., None] ** np.array([3, 5, 7, 9])
    bent = theta + odd @ dist
    slope = 1 + t2 * (3 * dist[0] + t2 * (5 * dist[1] + t2 * (7 * dist[2] + t2 * 9 * dist[3])))
    axis = np.stack([x, y], axis=-1) / r[..., None]

    # plane = bent(theta) * axis: outwards by theta, and around the axis by the angle.
    length2 = r * r + z * z
    theta_by_point = np.concatenate([axis * z[..., None], -r[..., None]], -1) / length2[..., None]
    around = (np.eye(2) - axis[..., :, None] * axis[..., None, :]) * (bent / r)[..., None, None]
    by_point = axis[..., :, None] * (slope[..., None] * theta_by_point)[..., None, :]
    by_point[..., :2] += around
    return Projected(bent[..., None] * axis, by_point, axis[..., :, None] * odd[..., None, :])
