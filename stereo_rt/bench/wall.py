"""Depth against a flat wall at a known distance: its bias, its scatter, and how much of the wall it sees.

The inverse depth of a plane is affine in the pixel, and so is its disparity. The plane is fitted there, where the noise
is the same everywhere, to the middle of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..errors import CheckFailed, UsageError
from ..frames import DepthResult
from ..geometry import RectifiedRig
from ..session import assemble
from ..sources import open_source

FRAMES = 30
LEAST_FILL = 0.05
"""Share of the middle that must have depth: a plane through less says nothing."""
FLAT, FLAT_RATIO, FLAT_PX = 0.5, 0.05, 1.0
"""A wall is flat when this share of it lies on the plane, within so much of its depth or so many pixels of disparity."""
TRIALS, SAMPLE = 200, 3000
WIDE = 3.0
"""Points further from the plane than this many standard deviations do not take part in the fit."""
FINEST_PX = 1e-3
"""Maps that lie exactly on a plane still need a tolerance."""


@dataclass(frozen=True)
class WallFigures:
    """distance_m: from the left eye to the fitted plane. tilt_deg: between the optical axis and the wall's normal.

    sigma_temporal: of one pixel from frame to frame. sigma_spatial: of the mean map around the plane, what frames do not
    average out. Both are root mean squares over all kept pixels of the middle, outliers included; metres are along the
    optical axis; None for a single frame. fill_percent: pixels of the middle with depth.
    """

    known_m: float
    distance_m: float
    bias_m: float
    bias_percent: float
    tilt_deg: float
    sigma_temporal_m: float | None
    sigma_spatial_m: float
    sigma_temporal_px: float | None
    sigma_spatial_px: float
    fill_percent: float
    frames: int


class Keep:
    """A sink that keeps the results."""

    name = "keep"
    lossless = True

    def __init__(self) -> None:
        self.results: list[DepthResult] = []

    def write(self, result: DepthResult) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass


def check_wall(uri: str, cfg: Config, known_m: float, frames: int = FRAMES) -> WallFigures:
    """Run the loop on a source that stands before a wall, as `view` would. Raises what the loop raises, and measure_wall."""
    keep = Keep()
    run = cfg.run.model_copy(update={"max_frames": frames})
    assemble(open_source(uri, cfg.capture), cfg.model_copy(update={"run": run}), offline=False, sinks=[keep]).run()
    return measure_wall(keep.results, known_m)


def measure_wall(results: Sequence[DepthResult], known_m: float) -> WallFigures:
    """results: of one grid, the camera at rest. Raises CheckFailed where no wall is seen, UsageError without calibration."""
    if not results or not results[0].rig.metric:
        raise UsageError("--check-wall measures metres, which need a calibration: pass --calib FILE")
    rig = results[0].rig
    rows, columns = (slice(n // 4, n - n // 4) for n in (rig.height, rig.width))
    stack = np.stack([np.where(r.valid, r.disparity_px, np.float32(np.nan))[rows, columns] for r in results]).astype(float)
    seen = np.isfinite(stack)
    count = seen.sum(axis=0)
    steady = count >= max(1, len(results) / 2)
    fill = float(seen.mean())
    if steady.mean() < LEAST_FILL:
        raise CheckFailed(
            f"no wall to measure: only {100 * fill:.0f} % of the middle of the image has depth; "
            "let a textured wall fill the view, or lower --min-conf"
        )
    y, x = np.mgrid[rows, columns].astype(float)
    mean = np.where(seen, stack, 0).sum(axis=0)[steady] / count[steady]
    plane = fit_plane(x[steady], y[steady], mean)
    fitted_px = (plane[0] * x + plane[1] * y + plane[2])[steady]
    flat = np.abs(mean - fitted_px) <= np.maximum(FLAT_RATIO * np.abs(fitted_px + rig.doffs_px), FLAT_PX)
    if flat.mean() < FLAT:
        raise CheckFailed(
            f"no wall to measure: only {100 * flat.mean():.0f} % of the middle of the image lies on one plane; "
            "let a flat wall fill the middle half of the view"
        )
    distance_m, tilt_deg = plane_pose(plane, rig)
    off_px = stack[:, steady] - fitted_px
    scale = rig.fx_px * rig.baseline_m
    off_m = scale / (stack[:, steady] + rig.doffs_px) - scale / (fitted_px + rig.doffs_px)
    temporal_px, spatial_px = scatter(off_px)
    temporal_m, spatial_m = scatter(off_m)
    bias_m = distance_m - known_m
    return WallFigures(
        known_m=known_m,
        distance_m=distance_m,
        bias_m=bias_m,
        bias_percent=100 * bias_m / known_m,
        tilt_deg=tilt_deg,
        sigma_temporal_m=temporal_m,
        sigma_spatial_m=spatial_m,
        sigma_temporal_px=temporal_px,
        sigma_spatial_px=spatial_px,
        fill_percent=100 * fill,
        frames=len(results),
    )


def fit_plane(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(3,) a, b, c of values = a x + b y + c, all (N,), with up to nearly half of them wrong by any amount.

    The plane through three points with the least median of squares (Rousseeuw, "Least median of squares regression", JASA
    1984), then least squares over the points near it, three times. Raises ValueError for fewer than three points.
    """
    if len(values) < 3:
        raise ValueError("a plane needs three points")
    middle, spread = np.array([x.mean(), y.mean()]), max(np.ptp(x), np.ptp(y), 1.0)
    design = np.stack([(x - middle[0]) / spread, (y - middle[1]) / spread, np.ones(len(x))], axis=1)
    rng = np.random.default_rng(0)
    few = rng.choice(len(x), min(SAMPLE, len(x)), replace=False)
    picks = rng.choice(few, (TRIALS, 3))
    corners = design[picks], values[picks]
    apart = np.abs(np.linalg.det(corners[0])) > 1e-4
    if not apart.any():
        return _unscaled(np.linalg.lstsq(design, values, rcond=None)[0], middle, spread)
    planes = np.linalg.solve(corners[0][apart], corners[1][apart][..., None])[..., 0]
    medians = np.median(np.abs(design[few] @ planes.T - values[few, None]), axis=0)
    plane = planes[medians.argmin()]
    for _ in range(3):
        off = np.abs(design @ plane - values)
        near = off <= WIDE * max(1.4826 * float(np.median(off)), FINEST_PX)
        plane = np.linalg.lstsq(design[near], values[near], rcond=None)[0]
    return _unscaled(plane, middle, spread)


def plane_pose(plane: np.ndarray, rig: RectifiedRig) -> tuple[float, float]:
    """Distance from the left eye in metres, and the angle in degrees between the optical axis and the plane's normal.

    With X = (u - cx) z / fx and z = fx B / (d + doffs), d = a u + b v + c is the plane n . X = 1 with
    n = (a fx, b fx, a cx + b cy + c + doffs) / (fx B), at the distance 1 / |n|.
    """
    a, b, c = plane
    n = np.array([a * rig.fx_px, b * rig.fx_px, a * rig.cx_px + b * rig.cy_px + c + rig.doffs_px]) / (
        rig.fx_px * rig.baseline_m
    )
    length = float(np.linalg.norm(n))
    return 1 / length, float(np.degrees(np.arccos(np.clip(n[2] / length, -1, 1))))


def scatter(off: np.ndarray) -> tuple[float | None, float]:
    """Temporal and spatial standard deviation of (T, N) residuals, NaN where a frame has none.

    The mean over T frames still holds 1/T of the temporal variance, which is taken off the spatial one.
    """
    seen = np.isfinite(off)
    count = seen.sum(axis=0)
    mean = np.where(seen, off, 0).sum(axis=0) / count
    squares = np.where(seen, np.square(np.where(seen, off, 0) - mean), 0).sum(axis=0)
    often = count > 1
    around = float(np.mean(np.square(mean)))
    if not often.any():
        return None, float(np.sqrt(around))
    variance = squares[often] / (count[often] - 1)
    share = float(np.mean(variance) * np.mean(1 / count))
    return float(np.sqrt(np.mean(variance))), float(np.sqrt(max(around - share, 0)))


def _unscaled(plane: np.ndarray, middle: np.ndarray, spread: float) -> np.ndarray:
    slope = plane[:2] / spread
    return np.array([*slope, plane[2] - slope @ middle])
