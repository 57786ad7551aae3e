"""Confidence from the matching distribution: how sure the network was of its bin. p: probabilities over its bins.

Scores are made on the distribution's own grid, then brought to the image's as the learned confidence is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .base import Evidence

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOUR_BINS = 4
"""Bins this near to the most likely one belong to the same peak."""


def max_probability(evidence: Evidence) -> np.ndarray:
    """max p: the maximum likelihood measure of Hu and Mordohai, "A quantitative evaluation of confidence measures for
    stereo vision", TPAMI 2012, with the network's softmax for the likelihood."""
    return _score(evidence, lambda p: p.amax(1, keepdim=True))


def entropy(evidence: Evidence) -> np.ndarray:
    """1 - H(p) / log(bins): the negative entropy measure of Hu and Mordohai (ibid.; Scharstein and Szeliski 1998), scaled."""

    def score(p: Tensor) -> Tensor:
        bits = -(p * p.clamp_min(1e-12).log()).sum(1, keepdim=True)
        return 1 - bits / float(np.log(p.shape[1]))

    return _score(evidence, score)


def peak_ratio(evidence: Evidence) -> np.ndarray:
    """1 - p2 / p1: the most likely bin against the best of those more than NEIGHBOUR_BINS away from it.

    The peak ratio of Hu and Mordohai (ibid.), with probabilities for costs.
    """

    def score(p: Tensor) -> Tensor:
        import torch

        best, at = p.max(1, keepdim=True)
        away = (torch.arange(p.shape[1], device=p.device).view(1, -1, 1, 1) - at).abs() > NEIGHBOUR_BINS
        return 1 - (p * away).amax(1, keepdim=True) / best

    return _score(evidence, score)


def _score(evidence: Evidence, score: Callable[[Tensor], Tensor]) -> np.ndarray:
    """score: (1, bins, h, w) probabilities -> (1, 1, h, w) in [0, 1]."""
    said = evidence.predictions

    import torch
    import torch.nn.functional as F

    with torch.inference_mode():
        coarse = score(said.distributions[0].logits.float().softmax(1))
        fine = F.interpolate(coarse, size=said.disparity_px.shape[2:], mode="bilinear", align_corners=False)
        # A copy: leave() cleans in place, and the predictions serve the other methods too.
        return evidence.network.leave(evidence.left, said.disparity_px.clone(), fine).confidence
