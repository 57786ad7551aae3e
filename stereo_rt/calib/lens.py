"""The lens models in plain NumPy: from directions to pixels and back, for every model a CameraModel can have.

Formulas: OpenCV's camera model (calib module documentation: rational, thin prism and tilted terms) and the
equidistant polynomial of Kannala and Brandt, "A generic camera model and calibration method", PAMI 2006.
"""

from __future__ import annotations

import numpy as np

from .rig import CameraModel

CONVERGED_PX = 0.01
"""An inverted pixel counts when projecting it again comes this near."""


def project(camera: CameraModel, rays: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) where rays (..., 3) in the camera's frame are seen; NaN behind a pinhole camera. Any length of ray."""
    rays = np.asarray(rays, np.float64)
    x, y, z = rays[..., 0], rays[..., 1], rays[..., 2]
    with np.errstate(all="ignore"):
        if camera.model == "fisheye":
            plane = _fisheye(x, y, z, camera.dist)
        else:
            front = np.where(z > 0, z, np.nan)
            plane = _pinhole(x / front, y / front, camera.dist)
        return plane @ camera.K[:2, :2].T + camera.K[:2, 2]


def unproject(camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """Unit rays (N, 3) of pixels (N, 2): the inverse of project, NaN where the lens model has none."""
    pixels = np.asarray(pixels, np.float64)
    plane = (pixels - camera.K[:2, 2]) @ np.linalg.inv(camera.K[:2, :2]).T
    rays = _fisheye_rays(plane, camera.dist) if camera.model == "fisheye" else _pinhole_rays(plane, camera.dist)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        near = np.abs(project(camera, rays) - pixels).max(axis=-1) < CONVERGED_PX
    return np.where(near[:, None], rays, np.nan)


def trusted_angle(camera: CameraModel) -> float:
    """Angle from the axis, in radians, up to which pixels move outwards as directions do, by at least a tenth.

    Beyond it a polynomial fitted to the middle of the image folds back, or a rational one runs through a pole, and the
    picture there is made up. Most lenses reach it outside the image.
    """
    if camera.model == "fisheye":
        theta = np.linspace(0, np.pi, 10_001)
        spread = _bend(theta, camera.dist)[1][1:]
    else:
        r = np.linspace(0, np.tan(np.radians(80)), 20_001)
        theta = np.arctan(r)
        radial = np.where(np.isin(np.arange(camera.dist.size), (0, 1, 4, 5, 6, 7)), camera.dist, 0.0)
        spread = np.diff(_pinhole(r, np.zeros_like(r), radial)[:, 0]) / r[1]
    folds = np.flatnonzero(~(spread > 0.1))
    return float(theta[folds[0]] if len(folds) else theta[-1])


def _pinhole(x: np.ndarray, y: np.ndarray, dist: np.ndarray) -> np.ndarray:
    """Distorted (..., 2) of normalised x, y."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tau_x, tau_y = np.pad(dist, (0, 14 - dist.size))
    r2 = x * x + y * y
    with np.errstate(all="ignore"):
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + r2 * s4)
        if tau_x == 0 and tau_y == 0:
            return np.stack([xd, yd], axis=-1)
        tilted = np.stack([xd, yd, np.ones_like(xd)], axis=-1) @ _tilt(tau_x, tau_y).T
        return tilted[..., :2] / tilted[..., 2:]


def _tilt(tau_x: float, tau_y: float) -> np.ndarray:
    """(3, 3) homography of a sensor tilted by two angles in radians (Scheimpflug)."""
    cx, sx, cy, sy = np.cos(tau_x), np.sin(tau_x), np.cos(tau_y), np.sin(tau_y)
    R = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    return np.array([[R[2, 2], 0, -R[0, 2]], [0, R[2, 2], -R[1, 2]], [0, 0, 1]]) @ R


def _fisheye(x: np.ndarray, y: np.ndarray, z: np.ndarray, dist: np.ndarray) -> np.ndarray:
    r = np.hypot(x, y)
    theta_d, _ = _bend(np.arctan2(r, z), dist)
    scale = np.where(r > 0, theta_d / r, 0.0)
    return np.stack([x * scale, y * scale], axis=-1)


def _bend(theta: np.ndarray, dist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equidistant polynomial of the angle to the axis, and its derivative."""
    k1, k2, k3, k4 = dist
    t2 = theta * theta
    value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    return value, 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))


def _pinhole_rays(plane: np.ndarray, dist: np.ndarray, steps: int = 30) -> np.ndarray:
    """Newton's method from the distorted point itself, with the Jacobian by differences and steps of limited length."""
    h, longest = 1e-6, 0.2
    xy = plane.copy()
    with np.errstate(all="ignore"):
        for _ in range(steps):
            x, y = xy.T
            here = _pinhole(x, y, dist)
            a, b = (_pinhole(x + h, y, dist) - here).T / h
            c, d = (_pinhole(x, y + h, dist) - here).T / h
            miss_x, miss_y = (plane - here).T
            step = np.stack([d * miss_x - c * miss_y, a * miss_y - b * miss_x], axis=-1) / (a * d - b * c)[:, None]
            length = np.linalg.norm(step, axis=-1, keepdims=True)
            xy += step * np.minimum(1, longest / np.maximum(length, 1e-12))
            if not (length > 1e-9).any():
                break
    return np.concatenate([xy, np.ones((len(xy), 1))], axis=-1)


def _fisheye_rays(plane: np.ndarray, dist: np.ndarray, steps: int = 30) -> np.ndarray:
    """Newton's method for the angle, from the equidistant guess."""
    r = np.linalg.norm(plane, axis=-1)
    theta = np.clip(r, 0, np.pi)
    for _ in range(steps):
        value, slope = _bend(theta, dist)
        theta = np.clip(theta - (value - r) / np.where(np.abs(slope) > 1e-6, slope, 1e-6), 0, np.pi)
    scale = np.where(r > 0, np.sin(theta) / np.maximum(r, 1e-12), 1.0)
    return np.concatenate([plane * scale[:, None], np.cos(theta)[:, None]], axis=-1)
