"""Convex upsampling of disparity: each fine pixel is a learned blend of its coarse neighbours.

The idea is RAFT's (Teed and Deng 2020). Values in px of the input are kept as they are: only the map grows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Lift(nn.Module):
    """The last step of a network: disparity (px of the input) and features at 1/factor -> disparity and certainty (logits)
    at full size."""

    def __init__(self, features: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.blend = nn.Conv2d(features, 9 * factor * factor, 1)
        self.certainty = nn.Conv2d(features, 1, 1)

    def forward(self, disparity: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        certainty = F.interpolate(
            self.certainty(features), scale_factor=float(self.factor), mode="bilinear", align_corners=False
        )
        return convex(disparity, self.blend(features), self.factor), certainty


def convex(disparity: Tensor, blend: Tensor, factor: int) -> Tensor:
    """(B, 1, h, w) px -> (B, 1, factor * h, factor * w).

    blend: (B, 9 * factor**2, h, w) logits of the 3 x 3 neighbours, row by row, or (B, 5 * factor**2, h, w) of those in its row
    and its column. They are bounded, so that exp is safe in FP16 without a softmax.
    """
    h, w = disparity.shape[2:]
    offsets = [(i, j) for i in range(3) for j in range(3)]
    if blend.shape[1] == 5 * factor**2:
        offsets = [(i, j) for i, j in offsets if i == 1 or j == 1]
    # Plane by plane: of channels last, nine strips of a few channels each take training twice as long.
    weights = torch.exp(blend.contiguous().clamp(-4.0, 4.0)).chunk(len(offsets), 1)
    padded = F.pad(disparity, (1, 1, 1, 1), mode="replicate")
    # One after the other: a sum over the inner one of three dimensions takes twice as long in ONNX Runtime.
    steps = [
        weight * (padded[:, :, i : i + h, j : j + w] - disparity)
        for weight, (i, j) in zip(weights, offsets, strict=True)
        if (i, j) != (1, 1)
    ]
    return F.pixel_shuffle(disparity + sum(steps[1:], steps[0]) / sum(weights[1:], weights[0]), factor)
