"""Hand-made cues: what a regressor looks at to tell right from wrong. Each is a Method of its own, and a weak one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ..matchers.base import Matcher
from .agreement import left_right
from .base import Evidence, Method, Need, falling
from .distribution import entropy, max_probability, peak_ratio
from .image import GREY_LEVELS, WINDOW_PX, grey, photometric, variance

NARROW_PX, WIDE_PX = 5, 31
MARGIN_PX = 64.0


@dataclass(frozen=True)
class Cue(Method):
    """window_px: the side of what it sees around a pixel. A regressor fitted with another one means nothing."""

    window_px: int = 1


def gradient(evidence: Evidence) -> np.ndarray:
    """1 / (1 + |grad d|), by central differences, in px per px: slanted or ragged."""
    return falling(np.hypot(*np.gradient(evidence.estimate.disparity_px)))


def curvature(evidence: Evidence) -> np.ndarray:
    """1 / (1 + c), c the mean |Laplacian of d| in a window of NARROW_PX, where it is known: planes have none, however slanted.
    NaN, and what has nothing else around it, gives 0."""
    disparity, window = evidence.estimate.disparity_px, (NARROW_PX, NARROW_PX)
    bent = np.abs(cv2.Laplacian(disparity, cv2.CV_32F))
    known = np.isfinite(bent)  # the running sums of a blur would carry a NaN down to the last row
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = cv2.blur(np.where(known, bent, 0), window) / cv2.blur(known.astype(np.float32), window)
    return falling(np.where(np.isfinite(disparity), mean, np.nan))


def median(evidence: Evidence) -> np.ndarray:
    """1 / (1 + m), m how far d is from the median around it.

    MED of Haeusler, Nair and Kondermann, "Ensemble learning for confidence measures in stereo vision", CVPR 2013.
    """
    disparity = evidence.estimate.disparity_px
    return falling(np.abs(disparity - cv2.medianBlur(np.nan_to_num(disparity), NARROW_PX)))


def texture(evidence: Evidence) -> np.ndarray:
    """Mean |dI/dx| of the left image in a window, of the whole range of grey: matching works along rows."""
    steps = np.abs(cv2.Sobel(grey(evidence.left), cv2.CV_32F, 1, 0, ksize=1)) / 2
    return cv2.blur(steps, (WINDOW_PX, WINDOW_PX)) / np.float32(GREY_LEVELS)


def inside(evidence: Evidence) -> np.ndarray:
    """How far into the right image the match lies, in [0, 1]: 0 outside of it, 1 from MARGIN_PX on."""
    columns = np.arange(evidence.left.shape[1], dtype=np.float32) - evidence.estimate.disparity_px
    return np.nan_to_num(np.clip(columns / np.float32(MARGIN_PX), 0, 1))


def nearness(evidence: Evidence) -> np.ndarray:
    """The disparity, of the image's width."""
    return np.clip(np.nan_to_num(evidence.estimate.disparity_px / np.float32(evidence.left.shape[1])), 0, 1)


CUES: dict[str, Cue] = {
    cue.name: cue
    for cue in (
        Cue("left_right", left_right),
        Cue("variance_narrow", partial(variance, window_px=NARROW_PX), window_px=NARROW_PX),
        Cue("variance", variance, window_px=WINDOW_PX),
        Cue("variance_wide", partial(variance, window_px=WIDE_PX), window_px=WIDE_PX),
        Cue("gradient", gradient, window_px=3),
        Cue("curvature", curvature, window_px=NARROW_PX),
        Cue("median", median, window_px=NARROW_PX),
        Cue("photometric", photometric, window_px=WINDOW_PX),
        Cue("texture", texture, window_px=WINDOW_PX),
        Cue("inside", inside),
        Cue("nearness", nearness),
        Cue("max_probability", max_probability, Need.DISTRIBUTION),
        Cue("entropy", entropy, Need.DISTRIBUTION),
        Cue("peak_ratio", peak_ratio, Need.DISTRIBUTION),
    )
}


def cues_for(matcher: Matcher) -> tuple[Cue, ...]:
    """Those that this matcher can give: all, or all that need no look into a distribution."""
    return tuple(cue for cue in CUES.values() if not cue.obstacle(matcher))


def rows(evidence: Evidence, cues: Sequence[Cue], among: np.ndarray) -> np.ndarray:
    """(N, cues) float32: each cue at the N pixels of the (H, W) bool mask, in their order."""
    return np.stack([cue.score(evidence)[among] for cue in cues], axis=1).astype(np.float32, copy=False)
