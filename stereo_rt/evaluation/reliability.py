"""Does a confidence of 0.8 mean right in 8 of 10 cases? The share that is right against what was claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EDGES = np.linspace(0, 1, 11)
"""Ten bins of confidence of equal width."""
TARGET_PX, TARGET_RATIO = 1.0, 0.03
RULES = ("target", "2px")
"""When a pixel counts as right. target: what the students' confidence is trained to tell; 2px: within 2 px."""


def is_right(truth_px: np.ndarray, disparity_px: np.ndarray, rule: str) -> np.ndarray:
    """Bool of the arrays' shape. target: |e| < 1 px + 3 % of the truth. 2px: |e| <= 2 px. False for NaN."""
    with np.errstate(invalid="ignore"):
        error = np.abs(disparity_px - truth_px)
        return error < TARGET_PX + TARGET_RATIO * truth_px if rule == "target" else error <= 2


@dataclass(frozen=True, eq=False)
class Reliability:
    """Sums in each bin of EDGES, as parts of all judged pixels; so a mean of several is one that weighs each alike.

    share: (10,) pixels. claimed: (10,) their confidences. right: by rule, (10,) those that are right.
    """

    share: np.ndarray
    claimed: np.ndarray
    right: dict[str, np.ndarray]

    def ece(self, rule: str) -> float:
        """Expected calibration error in [0, 1]: |share right - confidence| over the bins, weighed by their pixels.

        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
        """
        return float(np.abs(self.right[rule] - self.claimed).sum())

    def as_dict(self) -> dict[str, Any]:
        """Plain values: edges, share, and per bin the mean confidence and the share right (None in an empty bin); ece."""
        columns = {"confidence": self.claimed} | {f"right_{rule}": self.right[rule] for rule in RULES}
        return {
            "edges": EDGES.tolist(),
            "share": self.share.tolist(),
            **{name: _ratio(sums, self.share) for name, sums in columns.items()},
            **{f"ece_{rule}": self.ece(rule) for rule in RULES},
        }


def reliability(truth_px: np.ndarray, disparity_px: np.ndarray, confidence: np.ndarray) -> Reliability | None:
    """Over the valid pixels with an estimate of (H, W) maps; None for no pixel. confidence in [0, 1]."""
    judged = np.isfinite(truth_px) & np.isfinite(disparity_px)
    if not judged.any():
        return None
    truth, estimate, claimed = truth_px[judged], disparity_px[judged], confidence[judged].astype(np.float64)
    bins = len(EDGES) - 1
    which = np.minimum((claimed * bins).astype(int), bins - 1)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(which, values, minlength=bins) / len(which)

    return Reliability(
        sums(np.ones(len(which))), sums(claimed), {rule: sums(is_right(truth, estimate, rule)) for rule in RULES}
    )


def mean_reliability(rows: Sequence[Reliability]) -> Reliability:
    """Of at least one; each weighs the same."""
    right = {rule: np.mean([row.right[rule] for row in rows], axis=0) for rule in RULES}
    return Reliability(np.mean([row.share for row in rows], axis=0), np.mean([row.claimed for row in rows], axis=0), right)


def _ratio(sums: np.ndarray, share: np.ndarray) -> list[float | None]:
    return [float(s / n) if n else None for s, n in zip(sums, share, strict=True)]
