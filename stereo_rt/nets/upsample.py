"""Convex upsampling of disparity: each fine pixel is a learned blend of its nine coarse neighbours.

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

    blend: (B, 9 * factor**2, h, w) logits. They are bounded, so that exp is safe in FP16 without a softmax.
    """
    b, _, h, w = disparity.shape
    weights = torch.exp(blend.clamp(-4.0, 4.0)).view(b, 9, factor * factor, h, w)
    padded = F.pad(disparity, (1, 1, 1, 1), mode="replicate")
    neighbours = torch.cat([padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)], 1)
    steps = (neighbours - disparity).unsqueeze(2)
    return F.pixel_shuffle(disparity + (weights * steps).sum(1) / weights.sum(1), factor)
