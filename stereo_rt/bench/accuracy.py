"""How right the depth is, and how much of it is left, at each confidence cut; where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..calib.rectify import Rectification, Rectifier
from ..datasets.ours import Scene, find_scenes
from ..evaluation.metrics import error_rates, mean_of
from ..frames import Disparity, StereoFrame
from ..geometry import RectifiedRig
from ..plan import Plan
from ..sources.base import Source
from ..sources.synthetic import SyntheticCamera
from .report import AccuracyRow

CUTS = tuple(k / 10 for k in range(10))

Truth = Callable[[StereoFrame, Plan], np.ndarray]
"""(a frame of the source, how it was rectified) -> (H, W) float32 disparity on the plan's grid, NaN where unknown."""


def truth_of(source: Source, scene: Scene | None) -> Truth | None:
    """What is known: of the synthetic camera everything, of a scene its ground truth; None where nothing is."""
    if isinstance(source, SyntheticCamera):
        return lambda frame, plan: source.ground_truth(frame.index, _grid(plan)).disparity_px
    if scene is None:
        return None
    truth_px = scene.truth_px()
    return lambda frame, plan: _on_grid(truth_px, plan.rig.size)


def scene_in(folder: str) -> Scene | None:
    """The scene with ground truth that a folder is; None for any other source. Raises SourceError for a damaged one."""
    return find_scenes(Path(folder))[0] if (Path(folder) / "meta.json").is_file() else None


def accuracy_at_cuts(
    truths_px: Sequence[np.ndarray], matched: Sequence[Disparity], rig: RectifiedRig
) -> tuple[AccuracyRow, ...]:
    """One row a cut, the mean over frames. truths_px: (H, W) each, on the grid of `matched` and `rig`."""
    pairs = list(zip(truths_px, matched, strict=True))
    return tuple(_row(cut, [_figures(cut, truth, found, rig) for truth, found in pairs]) for cut in CUTS)


def _figures(cut: float, truth_px: np.ndarray, found: Disparity, rig: RectifiedRig) -> dict[str, float | None]:
    known = np.isfinite(truth_px)
    kept = known & np.isfinite(found.disparity_px) & (found.confidence >= np.float32(cut))
    rates = error_rates(truth_px, found.disparity_px, kept) or {}
    depth: list[float | None] = [None, None]
    if rig.metric and kept.any():
        # z = fx B / (d + doffs), so z / z_true - 1 needs no metres.
        true, estimate = truth_px[kept] + rig.doffs_px, found.disparity_px[kept] + rig.doffs_px
        with np.errstate(divide="ignore"):
            off_percent = np.where(estimate > 0, 100 * np.abs(true / estimate - 1), np.inf)
        at = np.percentile(off_percent, (50, 95), method="nearest")  # "nearest" never takes a mean of two infinities
        depth = [v if np.isfinite(v) else None for v in at.tolist()]
    return {
        "kept_percent": 100 * float(kept.sum() / max(known.sum(), 1)),
        "epe_px": rates.get("epe"),
        "bad1": rates.get("bad1"),
        "bad2": rates.get("bad2"),
        "depth_p50_percent": depth[0],
        "depth_p95_percent": depth[1],
    }


def _row(cut: float, frames: list[dict[str, float | None]]) -> AccuracyRow:
    return AccuracyRow(cut, **(mean_of(frames) or {}))  # type: ignore[arg-type]


def _grid(plan: Plan) -> Rectification | RectifiedRig:
    return plan.rectify.rectification if isinstance(plan.rectify, Rectifier) else plan.rig


def _on_grid(truth_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same truth on a grid of (width, height), by the nearest sample: a mean over an edge is true of neither side."""
    ratio = np.float32(size[0] / truth_px.shape[1])
    return cv2.resize(truth_px, size, interpolation=cv2.INTER_NEAREST_EXACT) * ratio
