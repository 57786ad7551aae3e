"""Error rates of a disparity map, and how well its confidence ranks the errors.

Valid pixels are those with ground truth. A missing estimate (NaN) counts as bad, and in no mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Figures = dict[str, float | None]
"""Figures by name; None where there is nothing to measure."""
BAD_PX = 2.0
"""The error beyond which a pixel counts as wrong when a confidence is judged."""
DENSITIES = np.linspace(0.05, 1, 20)


def error_rates(truth_px: np.ndarray, disparity_px: np.ndarray, among: np.ndarray | None = None) -> Figures | None:
    """Over the valid pixels of (H, W) maps, or those of them that the (H, W) bool mask `among` holds; None for no pixel.

    epe: mean |d - truth| in px where there is an estimate; rmse likewise. mae is epe by its other name: a disparity has one
    component. bad1, bad2, bad3: % of pixels more than so many px off. d1: % more than 3 px and more than 5 % of the truth
    off (KITTI). density: % of pixels with an estimate.
    """
    valid = np.isfinite(truth_px) if among is None else np.isfinite(truth_px) & among
    if not valid.any():
        return None
    truth, estimate = truth_px[valid], disparity_px[valid]
    has = np.isfinite(estimate)
    error = np.where(has, np.abs(estimate - truth), np.inf)
    rates: Figures = {f"bad{n}": _percent(error > n) for n in (1, 2, 3)}
    rates["d1"] = _percent((error > 3) & (error > 0.05 * truth))
    rates["epe"] = rates["mae"] = float(error[has].mean(dtype=np.float64)) if has.any() else None
    rates["rmse"] = float(np.sqrt(np.mean(np.square(error[has], dtype=np.float64)))) if has.any() else None
    return rates | {"density": _percent(has)}


def confidence_quality(truth_px: np.ndarray, disparity_px: np.ndarray, confidence: np.ndarray) -> Figures | None:
    """How well (H, W) confidence ranks errors beyond BAD_PX, over valid pixels with an estimate; None for no pixel.

    auc: mean of the sparsification curve; auc_opt: the same for a perfect ranking; ause = auc - auc_opt. A random ranking
    has auc = bad2. roc_auc: the chance that a right pixel is more confident than a wrong one; None when all are right or
    all wrong.
    """
    curves = sparsification(truth_px, disparity_px, confidence)
    if curves is None:
        return None
    auc, optimum = (float(np.mean(curve)) for curve in curves)
    judged, bad = _judged(truth_px, disparity_px)
    return {"auc": auc, "auc_opt": optimum, "ause": auc - optimum, "roc_auc": _roc_auc(confidence[judged], bad)}


def sparsification(
    truth_px: np.ndarray, disparity_px: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bad rate (%) of the most confident pixels at each of DENSITIES, (20,), and that of a perfect ranking; None for no pixel.

    Hu and Mordohai, "A quantitative evaluation of confidence measures for stereo vision", TPAMI 2012.
    """
    judged, bad = _judged(truth_px, disparity_px)
    if not len(bad):
        return None
    return _kept(_expected_bad(confidence[judged], bad)), _kept(np.sort(bad).astype(np.float64))


def mean_of(rows: Sequence[Figures | None]) -> Figures | None:
    """Mean by key over the rows that have a value there; None when there is no row."""
    there = [row for row in rows if row]
    if not there:
        return None
    values = {key: [value for row in there if (value := row[key]) is not None] for key in there[0]}
    return {key: float(np.mean(v)) if v else None for key, v in values.items()}


def _percent(flags: np.ndarray) -> float:
    return 100 * float(flags.mean())


def _judged(truth_px: np.ndarray, disparity_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool, the valid pixels with an estimate, and (N,) bool, which of them are wrong."""
    judged = np.isfinite(truth_px) & np.isfinite(disparity_px)
    return judged, np.abs(disparity_px[judged] - truth_px[judged]) > BAD_PX


def _expected_bad(confidence: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """(N,) chance of being bad in falling order of confidence; pixels of equal confidence share theirs."""
    _, group, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    return np.repeat(np.bincount(group.reshape(-1), bad) / count, count)


def _kept(bad: np.ndarray) -> np.ndarray:
    """(20,) bad rate (%) among each of the DENSITIES of the pixels, taken from the front."""
    taken = np.maximum((DENSITIES * len(bad)).astype(int), 1)
    return 100 * np.cumsum(bad)[taken - 1] / taken


def _roc_auc(confidence: np.ndarray, bad: np.ndarray) -> float | None:
    """Mann-Whitney: wins of right over wrong pixels, ties for half."""
    _, group = np.unique(confidence, return_inverse=True)
    right, wrong = (np.bincount(group.reshape(-1), flags, minlength=group.max() + 1) for flags in (~bad, bad))
    pairs = right.sum() * wrong.sum()
    return float(np.sum(right * (np.cumsum(wrong) - wrong / 2)) / pairs) if pairs else None
