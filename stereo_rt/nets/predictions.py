"""What a network says while it is trained: more than the disparity and confidence that it gives in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Distribution:
    """Scores of disparity bins on some coarser grid.

    logits: (B, bins, h, w), before the softmax; channel k stands for the disparity (bins - 1 - k) * bin_px, in px of the
    input: the largest comes first, as in a correlation volume.
    matching_only: made of correlations alone, so it can only be right where both eyes see the point.
    """

    logits: Tensor
    bin_px: float
    matching_only: bool = False

    def mean_px(self) -> Tensor:
        """(B, 1, h, w): the expectation over all bins. Kendall et al., "End-to-end learning of geometry and context for
        deep stereo regression", 2017."""
        bins = self.logits.shape[1]
        places = torch.arange(bins - 1, -1, -1, device=self.logits.device, dtype=torch.float32).view(1, -1, 1, 1)
        return (torch.softmax(self.logits.float(), 1) * places).sum(1, keepdim=True) * self.bin_px


@dataclass(frozen=True, eq=False)
class Predictions:
    """Everything a loss may look at. Values are in px of the input grid, whatever the map's own size.

    disparity_px: (B, 1, H, W). certainty: (B, 1, H, W) logits of the confidence, None for a network without one.
    coarse_px: earlier estimates, each (B, 1, h, w), h and w dividing H and W; the first is the best.
    distributions: the first is the one that the disparity is made of; empty for a network that regresses it.
    features: (B, C, h, w) descriptors of the left image, for distillation.
    relative: disparity_px has an unknown scale and shift, and no unit.
    """

    disparity_px: Tensor
    certainty: Tensor | None = None
    coarse_px: tuple[Tensor, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    features: tuple[Tensor, ...] = ()
    relative: bool = False


class StereoNet(Protocol):
    """A trainable network: an nn.Module that also has these. Images are (B, 3, H, W) float RGB in [0, 1].

    grid: (width, height) of the input that it is meant for; it takes any whose sides are multiples of multiple_px. others:
    the same for frames of other shapes, where it has some.
    """

    multiple_px: int
    grid: tuple[int, int]
    others: tuple[tuple[int, int], ...]
    max_disparity_px: int

    def predict(self, left: Tensor, right: Tensor) -> Predictions: ...

    def __call__(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """disparity in px and confidence in (0, 1), each (B, 1, H, W)."""
        ...
