"""Confidence from the other eye."""

from __future__ import annotations

import numpy as np

from ..post.leftright import disagreement_px
from .base import Evidence, falling


def left_right(evidence: Evidence) -> np.ndarray:
    """1 / (1 + |d_l(x) - d_r(x - d_l)|), the right eye's map by matching the mirrored pair; 0 where it cannot confirm.

    The left-right difference (LRD's simpler form, LRC) of Egnal, Mintz and Wildes, "A stereo confidence metric using
    single view imagery with comparison to five alternative approaches", IVC 2004.
    """
    return falling(disagreement_px(evidence.estimate.disparity_px, evidence.seen_right.disparity_px))
