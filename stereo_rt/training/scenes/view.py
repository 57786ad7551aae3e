"""View: the stereo camera of one scene, and the range of disparities that is meant to be in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """A rectified pair of pinhole cameras one baseline apart; pixel centres are at whole numbers.

    far_px, near_px: disparities of the background and of the nearest things; most_px: what no point exceeds.
    """

    width: int
    height: int
    focal_px: float
    cx_px: float
    cy_px: float
    far_px: float
    near_px: float
    most_px: float

    def points(self, x: np.ndarray, y: np.ndarray, disparity_px: np.ndarray) -> np.ndarray:
        """(n, 3) points, in baselines, that pixels (n,) of the left image see at those disparities."""
        z = self.focal_px / disparity_px
        return np.stack([(x - self.cx_px) / self.focal_px * z, (y - self.cy_px) / self.focal_px * z, z], -1)

    def project(self, points: np.ndarray, eye: int) -> tuple[np.ndarray, np.ndarray]:
        """x and y in px of points (..., 3) in front of the eye (0 left, 1 right)."""
        z = points[..., 2]
        x = self.cx_px + self.focal_px * (points[..., 0] - eye) / z
        return x, self.cy_px + self.focal_px * points[..., 1] / z


def sample_view(rng: np.random.Generator, size: tuple[int, int], max_disparity_px: float) -> View:
    """A view of size (width, height): a wide range of opening angles, of distances and of depth spans. Five views in eight
    are close ones, of a table or a corner of a room, since the networks see frames enlarged to grids of up to 1280 columns."""
    width, height = size
    kind = rng.random()
    if kind < 0.12:
        far = rng.uniform(0.3, 2.3)
    elif kind < 0.38:
        far = 1.5 * 25 ** rng.random()
    else:
        far = 8 * 7 ** rng.random()
    far = min(far, 0.4 * max_disparity_px)
    return View(
        width,
        height,
        focal_px=width * rng.uniform(0.65, 1.4),
        cx_px=width * (0.5 + rng.uniform(-0.025, 0.025)),
        cy_px=height * (0.5 + rng.uniform(-0.05, 0.05)),
        far_px=far,
        near_px=min(far * 1.3 * 6 ** rng.random() + 12, max_disparity_px),
        most_px=max_disparity_px,
    )
