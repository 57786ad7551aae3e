"""How well a solved rig is known, and what that means for depth.

Corner errors within a view are not independent (its blur, its pose, the moment at which either eye looked), so the usual
covariance, residual variance times the inverse normal matrix, promises far too much. Here whole views are the independent
units. What the parameters would do were a view left out makes up the covariance: the jackknife, to first order. On average
it promises no more than it holds, however errors within a view go together (B. Hansen, "Jackknife standard errors for
clustered regression", Review of Economic Studies). A board held near is both what the rig is known by and what a late eye
sees most wrongly; there, estimates corrected for independent corners fall short. Student's t of the degrees of freedom left
makes the intervals (R. Bell and D. McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage
samples", Survey Methodology 2002).

That uncertainty matters where it is used: pixels of points at a known depth are triangulated with the parameters
moved, rectification included, which gives the error of depth (the idea of mrcal's projection uncertainty).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from . import lens
from .bundle import Estimate, Observations, linearise
from .derivatives import DISTORTION
from .rectify import rectify_rig, rectifying_rotations
from .rig import StereoRig
from .solve import rig_of

Sizes = tuple[tuple[int, int], tuple[int, int]]
DISTANCES_M = (1, 2, 5, 10)
GRID = (9, 7)
"""Columns and rows of the points at each distance."""
CENTER = 0.5
"""The middle of the image, as a share of its width and height; the rest is its edge."""
SMALLEST = 1e-7
"""Directions of the (scaled) parameters that move pixels by less than this share of the strongest one are left as they are."""
NOTHING_PCT = 100.0
"""An error as large as depth itself: nothing is known, and first order says no more."""
STEP_SIGMA = 0.05
"""Parameters are moved by this many standard deviations to see what follows."""


class Known(NamedTuple):
    """Standard deviations (P,), as soon too large as too small; half widths of 95 % intervals (P,), rather too wide."""

    sigma: np.ndarray
    half95: np.ndarray


@dataclass(frozen=True, eq=False)
class Covariance:
    """Of a step of the G shared parameters (see Estimate.moved), kept as what each of V views does to K directions of them.

    directions: (K, G). pulls: (V, K), the step to first order were that view left out. spread: (V, K, K), covariance of
    those if every corner were independent. overlap: (V, K, K), what the views have in common by having been solved together.
    """

    directions: np.ndarray
    pulls: np.ndarray
    spread: np.ndarray
    overlap: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """(G, G)."""
        steps = self.pulls @ self.directions
        return steps.T @ steps

    def of(self, slopes: np.ndarray) -> Known:
        """How well quantities are known that change by slopes (P, G) with the parameters."""
        w = self.directions @ slopes.T
        squares = ((self.pulls @ w) ** 2).sum(axis=0)
        # Satterthwaite: the variance estimate has the mean and variance, over independent noise, of a chi-squared one.
        own = np.einsum("kp,vkl,lp->vp", w, self.spread, w, optimize=True)
        common = self.overlap @ w
        between = np.einsum("vkp,ukp->pvu", common, common, optimize=True)
        shared = np.einsum("pvv->vp", between)
        mean = (own - shared).sum(axis=0)
        square = (between**2).sum(axis=(1, 2)) + (own**2 - 2 * own * shared).sum(axis=0)
        half = student95(np.maximum(mean**2 / np.maximum(square, 1e-300), 1.0)) * np.sqrt(squares)
        # The jackknife's mean over independent noise is above the truth by a known factor: intervals keep that, as a reserve
        # for noise that is not; the best guess does without.
        return Known(np.sqrt(squares * (w**2).sum(axis=0) / np.maximum(mean, 1e-300)), half)


def student95(freedom: np.ndarray) -> np.ndarray:
    """Half a 95 % interval of Student's t, by the Cornish-Fisher expansion (to 1 % from 3 degrees of freedom on)."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return np.asarray(z + first / freedom + second / freedom**2 + third / freedom**3)


@dataclass(frozen=True)
class Parameter:
    """One number of the rig: value and the standard deviation it is known with. name such as 'left.fx_px'."""

    name: str
    value: float
    sigma: float
    interval95: tuple[float, float]


@dataclass(frozen=True)
class DepthError:
    """Standard deviations of depth, in % of it, that the calibration causes at one distance; NaN where no eye pair sees.

    pct: root mean square over the image. center_pct, edge_pct: over its middle and around that. interval95_pct: half a
    95 % interval, over the image as pct is.
    """

    distance_m: float
    pct: float
    center_pct: float
    edge_pct: float
    interval95_pct: float


def covariance(seen: Observations, estimate: Estimate) -> Covariance:
    """Of the parameters that all views share, at an estimate of least squares."""
    return jackknife(*linearise(seen, estimate).reduced())


def jackknife(residuals: np.ndarray, shared: np.ndarray) -> Covariance:
    """From the residuals (V, rows) of each view at least squares, and their derivatives (V, rows, G), as System.reduced."""
    units, rows, size = shared.shape
    scale = np.maximum(np.sqrt((shared**2).sum(axis=(0, 1))), 1e-300)
    u, s, vt = np.linalg.svd((shared / scale).reshape(-1, size), full_matrices=False)
    known = s > SMALLEST * s[0]
    u, to_parameters = u[:, known].reshape(units, rows, -1), vt[known] / s[known, None] / scale
    transposed = np.swapaxes(u, -1, -2)
    # Of each direction a view holds a share; without it, its pull has the other views' share alone to work against.
    share, axes = np.linalg.eigh(transposed @ u)
    share = np.clip(share, 0, 1 - 1e-6)[:, None]
    back = np.swapaxes(axes, -1, -2)
    pulls = (axes / (1 - share)) @ (back @ (transposed @ residuals[..., None]))
    return Covariance(
        directions=to_parameters,
        pulls=pulls[..., 0],
        spread=(axes * (share / (1 - share) ** 2)) @ back,
        overlap=(axes * (share / (1 - share))) @ back,
    )


def parameters(estimate: Estimate, known: Covariance) -> list[Parameter]:
    """Every number of the rig with its interval: lenses, rotation vector between the eyes (degrees), translation, baseline."""
    here = numbers(estimate)
    sigma, half = known.of(_slopes(numbers, estimate, known))
    return [
        Parameter(name, float(value), float(s), (float(value - h), float(value + h)))
        for name, value, s, h in zip(_names(estimate), here, sigma, half, strict=True)
    ]


def depth_errors(
    estimate: Estimate, known: Covariance, sizes: Sizes, distances_m: Sequence[float] = DISTANCES_M
) -> list[DepthError]:
    """The error of depth at each distance, by first order propagation. Raises CalibrationError for eyes swapped or apart."""
    rig = rig_of(estimate, sizes)
    points = grid_points(rig, distances_m)
    left = lens.project(rig.left, points.reshape(-1, 3))
    right = lens.project(rig.right, points.reshape(-1, 3) @ rig.R_right_left.T + rig.T_right_left_m.T)
    depth = np.repeat(np.asarray(distances_m, np.float64), len(points[0]))
    slopes = _slopes(lambda moved: triangulated_m(rig_of(moved, sizes), left, right) / depth, estimate, known)
    both = inside(left, sizes[0]) & inside(right, sizes[1]) & np.isfinite(slopes).all(axis=1)
    sigma, half = np.full((2, len(depth)), np.nan)
    sigma[both], half[both] = np.minimum(known.of(100 * slopes[both]), NOTHING_PCT)
    middle = _middle()
    return [
        DepthError(float(distance), *(_mean_square(v) for v in (row, row[middle], row[~middle], interval)))
        for distance, row, interval in zip(distances_m, *np.stack([sigma, half]).reshape(2, len(points), -1), strict=True)
    ]


def _slopes(quantity: Callable[[Estimate], np.ndarray], estimate: Estimate, known: Covariance) -> np.ndarray:
    """(P, G) derivatives of quantities (P,), over a step small beside what is known of each parameter."""
    steps = np.maximum(STEP_SIGMA * np.sqrt(np.diag(known.matrix)), 1e-12)
    ahead, behind = ([quantity(estimate.moved(sign * move)) for move in np.diag(steps)] for sign in (1, -1))
    return np.asarray((np.stack(ahead) - np.stack(behind)).T / (2 * steps))


def triangulated_m(rig: StereoRig, left_px: np.ndarray, right_px: np.ndarray) -> np.ndarray:
    """(N,) depth along the rectified axis of raw pixels (N, 2) of both eyes, as the product computes it: B / disparity."""
    R_left, R_right = rectifying_rotations(rig.R_right_left, rig.T_right_left_m)
    rays_left = lens.unproject(rig.left, left_px) @ R_left.T
    rays_right = lens.unproject(rig.right, right_px) @ R_right.T
    with np.errstate(all="ignore"):
        disparity = rays_left[:, 0] / rays_left[:, 2] - rays_right[:, 0] / rays_right[:, 2]
        return np.asarray(rig.baseline_m / disparity)


def grid_points(rig: StereoRig, distances_m: Sequence[float]) -> np.ndarray:
    """(D, N, 3) points in the left camera's frame, spread over the rectified image, at each depth along its axis."""
    rectification = rectify_rig(rig)
    grid = rectification.rig
    u, v = (axis.ravel() for axis in np.meshgrid(*((np.arange(n) + 0.5) / n for n in GRID)))
    rays = np.stack([(u * grid.width - 0.5 - grid.cx_px) / grid.fx_px, (v * grid.height - 0.5 - grid.cy_px) / grid.fx_px], 1)
    rays = np.pad(rays, ((0, 0), (0, 1)), constant_values=1.0)
    return np.asarray(distances_m, np.float64)[:, None, None] * (rays @ rectification.R_left)


def _middle() -> np.ndarray:
    u, v = (axis.ravel() for axis in np.meshgrid(*((np.arange(n) + 0.5) / n for n in GRID)))
    return np.asarray((np.abs(u - 0.5) <= CENTER / 2) & (np.abs(v - 0.5) <= CENTER / 2))


def inside(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N,) bool: pixels (N, 2) of an image of this (width, height)."""
    with np.errstate(invalid="ignore"):
        return np.asarray(((pixels > -0.5) & (pixels < np.array(size) - 0.5)).all(axis=1))


def _mean_square(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(np.sqrt((there**2).mean())) if len(there) else float("nan")


def numbers(estimate: Estimate) -> np.ndarray:
    """(P,) the values that `parameters` names, in its order."""
    turn = np.degrees(cv2.Rodrigues(estimate.R)[0].ravel())
    return np.concatenate([estimate.lenses.ravel(), turn, estimate.T, [np.linalg.norm(estimate.T)]])


def _names(estimate: Estimate) -> list[str]:
    pinhole = ["k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"]
    count = DISTORTION[estimate.model]
    distortion = ["k1", "k2", "k3", "k4"] if estimate.model == "fisheye" else pinhole[:count]
    lens_names = ["fx_px", "fy_px", "cx_px", "cy_px", *distortion]
    eyes = [f"{eye}.{name}" for eye in ("left", "right") for name in lens_names]
    return [*eyes, *(f"rotation_{a}_deg" for a in "xyz"), *(f"T_{a}_m" for a in "xyz"), "baseline_m"]
