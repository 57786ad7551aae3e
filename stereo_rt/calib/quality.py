"""How good a solved rig is: every figure that the verdict, the report and the JSON file need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CalibrationError
from . import lens
from .bundle import Observations
from .coverage import coverage
from .moved import Moved, moved_between
from .rectify import need_side_by_side, rectify_rig, rectifying_rotations
from .rig import StereoRig
from .solve import MORE_VIEWS, Solution, held_out, rig_of
from .uncertainty import DISTANCES_M, Covariance, DepthError, Parameter, covariance, depth_errors, parameters
from .views import View

TYPICAL = 20
"""Baselines to what a stereo camera usually looks at: 2.4 m for eyes 12 cm apart."""


@dataclass(frozen=True)
class Epipolar:
    """How far matching corners are from a common row of the rectified images, in px of those. heldout_mean: cross-validated."""

    mean: float
    p95: float
    heldout_mean: float


@dataclass(frozen=True, eq=False)
class Quality:
    """Figures of one solution. asked: pairs of images looked at; both, left, right: views in which the board was found.

    depth: at DISTANCES_M. typical: at TYPICAL baselines, a distance to judge rigs of every size by. stated_baseline_m: the
    user's.
    """

    solution: Solution
    asked: int
    both: int
    epipolar_px: Epipolar
    coverage: tuple[float, float]
    known: Covariance
    parameters: tuple[Parameter, ...]
    depth: tuple[DepthError, ...]
    typical: DepthError
    moved: Moved | None
    stated_baseline_m: float | None

    @property
    def stereo_rms_px(self) -> float:
        return self.solution.everything.stereo_rms_px

    @property
    def units(self) -> str:
        return self.solution.board.unit

    @property
    def used(self) -> int:
        """Views that both eyes saw and that were used."""
        return int(self.solution.pairs.sum())

    @property
    def left_out(self) -> int:
        """Views that both eyes saw and that did not fit."""
        return self.both - self.used

    def disparity_px(self, depth_pct: float) -> float:
        """The disparity error that causes this error of depth at TYPICAL baselines: dz / z = dd / d, d = f / TYPICAL."""
        return depth_pct / 100 * rectify_rig(self.solution.rig).rig.fx_px / TYPICAL

    @property
    def baseline(self) -> Parameter:
        return self.parameters[-1]

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON has them: None for what is not finite."""
        solution = self.solution
        figures = {
            "model": solution.estimate.model,
            "units": self.units,
            "stereo_rms_px": self.stereo_rms_px,
            "mono_rms_px": dict(zip(("left", "right"), solution.mono_rms_px, strict=True)),
            "epipolar_px": {
                "mean": self.epipolar_px.mean,
                "p95": self.epipolar_px.p95,
                "heldout_mean": self.epipolar_px.heldout_mean,
            },
            "coverage": dict(zip(("left", "right"), self.coverage, strict=True)),
            "depth_error_pct": {f"{d.distance_m:g}": d.pct for d in self.depth},
            "depth_error_interval95_pct": {f"{d.distance_m:g}": d.interval95_pct for d in self.depth},
            "depth_error_center_pct": {f"{d.distance_m:g}": d.center_pct for d in self.depth},
            "depth_error_edge_pct": {f"{d.distance_m:g}": d.edge_pct for d in self.depth},
            "disparity_sigma_px": {
                "image": self.disparity_px(self.typical.pct),
                "center": self.disparity_px(self.typical.center_pct),
            },
            "views": {
                "asked": self.asked,
                "both_eyes": self.both,
                "used": list(solution.names),
                "rejected": list(solution.rejected),
                "reasons": solution.rejected,
            },
            "heldout_reprojection_px": solution.heldout_px,
            "parameters": {
                p.name: {"value": p.value, "sigma": p.sigma, "interval95": list(p.interval95)} for p in self.parameters
            },
        }
        return {name: _finite(value) for name, value in figures.items()}


def assess(solution: Solution, views: Sequence[View], stated_baseline_m: float | None = None) -> Quality:
    """Measure a solution. views: all that were looked at. Raises CalibrationError for what cannot be rectified."""
    rig = solution.rig
    need_side_by_side(rig)
    used, everything = set(solution.names), solution.everything
    reached = (
        coverage(view.left for view in views if view.left is not None and view.name in used),
        coverage(view.right for view in views if view.right is not None and view.name in used),
    )
    known = covariance(solution.seen, solution.estimate)
    try:
        depth = depth_errors(solution.estimate, known, solution.sizes, (*DISTANCES_M, TYPICAL * rig.baseline_m))
    except CalibrationError:  # the eyes stand well, so it is their lenses
        raise CalibrationError(
            "the board reached only {:.0%} of the left and {:.0%} of the right image, ".format(*reached)
            + f"and the lens that fits there makes no sense around it; {MORE_VIEWS}"
        ) from None
    return Quality(
        solution=solution,
        asked=len(views),
        both=sum(view.left is not None and view.right is not None for view in views),
        epipolar_px=_epipolar(solution),
        coverage=reached,
        known=known,
        parameters=tuple(parameters(solution.estimate, known)),
        depth=tuple(depth[:-1]),
        typical=depth[-1],
        moved=moved_between(everything.names, everything.seen, everything.estimate),
        stated_baseline_m=stated_baseline_m,
    )


def vertical_px(rig: StereoRig, seen: Observations, window: StereoRig) -> np.ndarray:
    """(V, N) vertical offsets of corners after rectification with `rig`, in px of the rectified images of `window`.

    NaN where an eye did not see the corner, or where it falls outside the rectified image.
    """
    grid = rectify_rig(window).rig
    planes = []
    turns = rectifying_rotations(rig.R_right_left, rig.T_right_left_m)
    for eye, (camera, R) in enumerate(zip((rig.left, rig.right), turns, strict=True)):
        rays = lens.unproject(camera, seen.pixels[:, eye].reshape(-1, 2)) @ R.T
        with np.errstate(all="ignore"):
            plane = grid.fx_px * rays[:, :2] / np.where(rays[:, 2:] > 0, rays[:, 2:], np.nan) + (grid.cx_px, grid.cy_px)
            inside = ((plane > -0.5) & (plane < np.array(grid.size) - 0.5)).all(axis=1, keepdims=True)
        planes.append(np.where(inside, plane, np.nan))
    return np.asarray((planes[0] - planes[1])[:, 1].reshape(seen.seen.shape[0], -1))


def _epipolar(solution: Solution) -> Epipolar:
    rig, seen, estimate = solution.rig, solution.seen, solution.estimate
    off = _there(vertical_px(rig, seen, rig))
    unseen = [_there(vertical_px(rig_of(trained, solution.sizes), theirs, rig)) for trained, theirs in held_out(seen, estimate)]
    return Epipolar(float(off.mean()), float(np.quantile(off, 0.95)), float(np.concatenate(unseen).mean()))


def _there(offsets: np.ndarray) -> np.ndarray:
    sizes = np.abs(offsets[np.isfinite(offsets)])
    return sizes if len(sizes) else np.array([np.nan])


def _finite(figures: Any) -> Any:
    """The same tree with None in the place of numbers that are not finite, which JSON cannot hold."""
    if isinstance(figures, dict):
        return {key: _finite(value) for key, value in figures.items()}
    if isinstance(figures, list):
        return [_finite(value) for value in figures]
    return None if isinstance(figures, float) and not np.isfinite(figures) else figures
