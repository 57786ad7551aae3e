"""Monocular prior: a map of relative inverse depth, brought to the disparity's own numbers where stereo is sure of them.

Disparity is inverse depth times a scale that the rig fixes, so the two differ by a scale and a shift (Ranftl et al.,
"Towards robust monocular depth estimation", 2020). The shift takes in doffs as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

MIN_ANCHORS = 100
MAX_ANCHORS = 4096
MIN_GAIN = 0.2
"""What the mono map must explain of the disparities' spread about their median, where stereo is sure, to be believed."""
ROUNDS = 30
EXACT_PX = 1e-3
"""Distances below this weigh alike, so that weights stay finite."""
FEWEST = 1e-3
"""Weight of 'no local correction'; far from all anchors it wins."""
CELL_PX = 8
"""Local corrections are smooth, so they are computed on cells of this many pixels a side."""
REACH = 1 / 16
"""Standard deviation of the local correction's window, in widths of the map."""
CLIP = 3.0
"""An anchor pulls by no more than so many times the anchors' mean distance from the fit."""


@dataclass(frozen=True)
class Fit:
    """disparity = scale * mono + shift (px). distance_px: mean |distance| of the anchors from it. gain: share of the
    anchors' spread about their median that it explains."""

    scale: float
    shift_px: float
    distance_px: float
    gain: float

    def __call__(self, mono: np.ndarray) -> np.ndarray:
        return (np.float32(self.scale) * mono + np.float32(self.shift_px)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Prior:
    """values_px: (H, W) float32 disparity that the mono map suggests everywhere; None where it must not be believed, and
    then `why` says so in a sentence."""

    values_px: np.ndarray | None
    why: str = ""


def prior(mono: np.ndarray, disparity_px: np.ndarray, known: np.ndarray) -> Prior:
    """mono: (H, W) float, larger is nearer. disparity_px: (H, W). known: (H, W) bool, where stereo is sure."""
    anchors = known & np.isfinite(mono) & np.isfinite(disparity_px)
    number = int(anchors.sum())
    if number < MIN_ANCHORS:
        return Prior(None, f"the mono prior fills nothing: stereo is sure of {number} pixels, and it takes {MIN_ANCHORS}")
    found = fit(mono[anchors], disparity_px[anchors])
    if found is None or found.scale <= 0:
        return Prior(None, "the mono prior fills nothing: where stereo is sure, nearer pixels are not nearer in the mono map")
    if found.gain < MIN_GAIN:
        return Prior(None, f"the mono prior fills nothing: it explains only {found.gain:.0%} of what stereo is sure of")
    values = found(mono)
    return Prior(values + local_correction(disparity_px - values, anchors, CLIP * found.distance_px))


def fit(mono: np.ndarray, disparity_px: np.ndarray) -> Fit | None:
    """The scale and shift with the least sum of |distances|; None where the mono map is flat. mono, disparity_px: (n,).

    Iteratively reweighted least squares for that sum (Schlossmacher, 1973): anchors that are wrong pull no harder than
    ones that are right. At most MAX_ANCHORS of them are asked, evenly spread.
    """
    every = -(-len(mono) // MAX_ANCHORS)
    x, y = mono[::every].astype(np.float64), disparity_px[::every].astype(np.float64)
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
    return Fit(float(scale), float(mean_y - slope * mean_x - scale * middle), float(distance.mean()), float(gain))


def local_correction(distance_px: np.ndarray, anchors: np.ndarray, most_px: float) -> np.ndarray:
    """(H, W) float32 px: a smooth map of what anchors nearby lie above or below the fit, 0 far from all of them.

    Normalised convolution (Knutsson and Westin, 1993) with a Gaussian. distance_px: (H, W), read at anchors (H, W) bool
    alone, and cut at most_px.
    """
    height, width = anchors.shape
    cells = max(1, width // CELL_PX), max(1, height // CELL_PX)
    pulls = np.where(anchors, np.clip(distance_px, -most_px, most_px), 0).astype(np.float32)
    sigma = max(REACH * cells[0], 0.5)
    pull, share = (
        cv2.GaussianBlur(cv2.resize(values, cells, interpolation=cv2.INTER_AREA), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        for values in (pulls, anchors.astype(np.float32))
    )
    return cv2.resize(pull / (share + np.float32(FEWEST)), (width, height), interpolation=cv2.INTER_LINEAR)
