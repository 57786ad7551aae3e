"""How far the right eye has turned since the calibration, from matching points of rectified images.

With the eyes' centres where the calibration has them, a right ray x turned back by R must lie in the epipolar plane of
its left ray: in rectified frames x_left^T [e_x] R x = 0, or on the plane z = 1, equal y (R. Hartley and A. Zisserman,
"Multiple View Geometry", chapter 9). For a small turn w the row moves by -w_x (1 + y^2) + w_y x y + w_z x (H. Longuet-Higgins
and K. Prazdny, "The interpretation of a moving retinal image", 1980). So roll w_z and pitch w_x show everywhere, yaw w_y
only in the corners, where lens errors look like it; it moves all disparities instead, as other depths would.
A turn and a slightly wrong principal point or lens share these patterns; what is corrected is their sum. The length
of the baseline leaves no trace at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry import RectifiedRig

TILES = (8, 6)
"""Across and down: matches of one tile share what is wrong with them, whichever frame they come from."""
PER_TILE = 200
STEPS = 8
BISQUARE = 4.685
"""Tukey's constant: beyond so many standard deviations a match is wrong and counts nothing."""
SIGMA_MIN_PX = 0.02
"""No lens model and no sub-pixel match is truer than this, and many matches do not average it away."""


@dataclass(frozen=True, eq=False)
class Drift:
    """The right eye's turn about the axes of its rectified frame (x right, y down, z forward), right-handed.

    turn_rad, sigma_rad: (3,) pitch, yaw, roll, and one standard deviation of each. fits: (N,) bool, matches that count.
    """

    turn_rad: np.ndarray
    sigma_rad: np.ndarray
    fits: np.ndarray

    @property
    def correction(self) -> np.ndarray:
        """(3, 3) R that turns right rays back, by pitch and roll only: yaw is not known well enough to touch it."""
        return cv2.Rodrigues(self.turn_rad * [1, 0, 1])[0]


def spread(matches: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At most PER_TILE of the (N, 4) matches in every tile of an image of (width, height), evenly over time."""
    tile = tile_of(matches, size)
    kept = [np.flatnonzero(tile == t) for t in np.unique(tile)]
    thinned = [k[np.linspace(0, len(k) - 1, min(len(k), PER_TILE)).astype(int)] for k in kept]
    return matches[np.sort(np.concatenate(thinned))] if thinned else matches


def tile_of(matches: np.ndarray, size: tuple[int, int], tiles: tuple[int, int] = TILES) -> np.ndarray:
    """(N,) number of the tile, row by row, in which each match lies in the left image."""
    column, row = (np.clip(matches[:, k] * tiles[k] // size[k], 0, tiles[k] - 1).astype(int) for k in (0, 1))
    return row * tiles[0] + column


def turned(matches: np.ndarray, grid: RectifiedRig, R: np.ndarray) -> np.ndarray:
    """The (N, 4) matches (x, y, and x, y offset left minus right) as they would be with R applied to the right eye's rays."""
    center = np.array([grid.cx_px + grid.doffs_px, grid.cy_px])
    right = (matches[:, :2] - matches[:, 2:] - center) / grid.fx_px
    rays = np.concatenate([right, np.ones((len(right), 1))], axis=1) @ R.T
    return np.concatenate([matches[:, :2], matches[:, :2] - (rays[:, :2] / rays[:, 2:] * grid.fx_px + center)], axis=1)


def estimate(matches: np.ndarray, grid: RectifiedRig) -> Drift:
    """Fit the turn to (N, 4) matches, N >= 3, on a metric grid.

    Robust Gauss-Newton on the vertical offsets: reweighted to least absolute error, then Tukey's bisquare. Standard
    deviations are jackknifed over tiles (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", chapter 11), as
    a still camera sees the same corners in every frame; to them comes what SIGMA_MIN_PX all over the image would turn.
    """
    turn, fits = _fit(matches, grid, np.zeros(3), absolute=STEPS)
    tile = tile_of(matches, grid.size)
    without = np.array([_fit(matches[tile != t], grid, turn)[0] for t in np.unique(tile)])
    n = len(without)
    variance = (n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    least = SIGMA_MIN_PX**2 / (_jacobian(matches, grid, np.eye(3)) ** 2).mean(axis=0)
    return Drift(turn, np.sqrt(variance + least), fits)


def _fit(matches: np.ndarray, grid: RectifiedRig, turn: np.ndarray, absolute: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The turn and the matches that fit it, from a starting turn; `absolute` steps of least absolute error come first."""
    R = cv2.Rodrigues(turn)[0]
    miss = turned(matches, grid, R)[:, 3]
    for step in range(absolute + STEPS):
        weights = 1 / np.maximum(np.abs(miss), SIGMA_MIN_PX) if step < absolute else _bisquare(miss)
        J = _jacobian(matches, grid, R)
        w = np.linalg.lstsq(J.T @ (weights[:, None] * J), J.T @ (weights * miss), rcond=None)[0]
        R = cv2.Rodrigues(w)[0] @ R
        miss = turned(matches, grid, R)[:, 3]
    return cv2.Rodrigues(R)[0].ravel(), _bisquare(miss) > 0


def _jacobian(matches: np.ndarray, grid: RectifiedRig, R: np.ndarray) -> np.ndarray:
    """(N, 3) by how many px the right row moves for a further turn about each axis, R <- exp([w]) R."""
    right = turned(matches, grid, R)
    x = (right[:, 0] - right[:, 2] - grid.cx_px - grid.doffs_px) / grid.fx_px
    y = (right[:, 1] - right[:, 3] - grid.cy_px) / grid.fx_px
    return grid.fx_px * np.stack([-1 - y * y, x * y, x], axis=1)


def _bisquare(miss: np.ndarray) -> np.ndarray:
    sigma = max(1.4826 * float(np.median(np.abs(miss))), SIGMA_MIN_PX)
    return np.clip(1 - (miss / (BISQUARE * sigma)) ** 2, 0, None) ** 2
