"""Monocular prior: a map of relative inverse depth, brought to the disparity's own numbers where stereo is sure of them.

Disparity is inverse depth times a scale that the rig fixes, so the two differ by a scale and a shift (Ranftl et al.,
"Towards robust monocular depth estimation", 2020). The shift takes in doffs as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_ANCHORS = 100
MAX_ANCHORS = 4096
MIN_GAIN = 0.5
"""What the mono map must explain of the disparities' spread, where stereo is sure, to be believed where it is not. On real
and drawn scenes, with maps distorted more and more, filling along rows was nearer to the truth below about this."""
_NOT_NEARER = (
    "the mono prior fills nothing: where stereo is sure, nearer pixels are not nearer in the mono map; if it says depth, "
    "tell so with --set post.mono_says=depth"
)
ROUNDS = 30
EXACT_PX = 1e-3
"""Distances below this weigh alike, so that weights stay finite."""


@dataclass(frozen=True)
class Fit:
    """disparity = scale * mono + shift (px). gain: share of the anchors' mean distance from their median that it explains."""

    scale: float
    shift_px: float
    gain: float

    def __call__(self, mono: np.ndarray) -> np.ndarray:
        return (np.float32(self.scale) * mono + np.float32(self.shift_px)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Prior:
    """values_px: (H, W) float32 disparity that the mono map suggests everywhere; None where it must not be believed, and
    then `why` says so in a sentence."""

    values_px: np.ndarray | None
    why: str = ""


def prior_of(mono: np.ndarray, disparity_px: np.ndarray, known: np.ndarray) -> Prior:
    """mono: (H, W) float, larger is nearer. disparity_px: (H, W). known: (H, W) bool, where stereo is sure.

    At most about MAX_ANCHORS pixels are asked, evenly spread.
    """
    anchors = np.flatnonzero(known & np.isfinite(mono) & np.isfinite(disparity_px))
    number = len(anchors)
    if number < MIN_ANCHORS:
        return Prior(None, f"the mono prior fills nothing: stereo is sure of {number} pixels, and it takes {MIN_ANCHORS}")
    some = anchors[:: -(-number // MAX_ANCHORS)]
    found = fit(mono.ravel()[some], disparity_px.ravel()[some])
    if found is None or found.scale <= 0:
        return Prior(None, _NOT_NEARER)
    if found.gain < MIN_GAIN:
        return Prior(None, f"the mono prior fills nothing: it explains only {found.gain:.0%} of what stereo is sure of")
    return Prior(found(mono))


def fit(mono: np.ndarray, disparity_px: np.ndarray) -> Fit | None:
    """The scale and shift with the least sum of |distances|; None where the mono map is flat. mono, disparity_px: (n,).

    Iteratively reweighted least squares for that sum (Schlossmacher, 1973): anchors that are wrong pull no harder than
    ones that are right.
    """
    x, y = mono.astype(np.float64), disparity_px.astype(np.float64)
    middle, spread = np.median(x), np.ptp(x)
    if not spread > 1e-6 * np.abs(x).max():
        return None
    x = (x - middle) / spread
    weight = np.ones_like(x)
    for _ in range(ROUNDS):
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        variance = np.average((x - mean_x) ** 2, weights=weight)
        if variance < 1e-12:
            return None
        slope = np.average((x - mean_x) * (y - mean_y), weights=weight) / variance
        distance = np.abs(y - mean_y - slope * (x - mean_x))
        weight = 1 / np.maximum(distance, EXACT_PX)
    scale = slope / spread
    spread_px = np.abs(y - np.median(y)).mean()
    gain = 1 - distance.mean() / spread_px if spread_px > 0 else 0.0
    return Fit(float(scale), float(mean_y - slope * mean_x - scale * middle), float(gain))
