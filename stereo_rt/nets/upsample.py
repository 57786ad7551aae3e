"""Convex upsampling of disparity: each fine pixel is a learned blend of its nine coarse neighbours.

The idea is RAFT's (Teed and Deng 2020). Values in px of the input are kept as they are: only the map grows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
