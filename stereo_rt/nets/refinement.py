"""Refinement at half resolution: looks where the estimate says the right image's point is, and corrects the estimate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNorm, stage, up2
from .upsample import convex

NEAR = 2.0
"""Steps between neighbouring disparities, in px at half resolution, beyond which one counts as an edge."""


class Refinement(nn.Module):
    """Takes the disparity at 1/4 and its certainty, and the first features of both images at 1/2, stacked along
    the batch.

    Returns disparity at full size, certainty at full size (logits), disparity at 1/2; values in px of the input.

    compared: of the features, so many of the first are looked up in the right image; more of them tell no more.
    change: of the disparity at 1/2, and of the certainty at each of the four pixels of full size.
    """

    def __init__(self, features: int, guide: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.compared = features // 2
        self.blend4 = nn.Conv2d(guide, 9 * 4, 1)
        self.enter = ConvNorm(features + self.compared, channels, beside=3)
        self.body = stage(channels, channels, blocks)
        self.change = nn.Conv2d(channels, 1 + 4, 3, padding=1)
        self.blend2 = nn.Conv2d(channels, 5 * 4, 1)
        nn.init.zeros_(self.change.weight)
        if self.change.bias is not None:
            nn.init.zeros_(self.change.bias)

    def forward(self, disparity4: Tensor, certainty4: Tensor, guide: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        disparity = convex(disparity4, self.blend4(guide), 2) / 2  # px at 1/2
        certainty = up2(certainty4)
        left, right = features[:, : self.compared].chunk(2)  # in this order: of two slices in a row OpenVINO drops the second
        difference = left - at_disparity(right, disparity.detach())
        level = F.avg_pool2d(disparity, 5, 1, 2, count_include_pad=False)
        shape = ((disparity - level) / NEAR).clamp(-2.0, 2.0)
        cost = difference.abs().mean(1, keepdim=True)
        estimate = torch.cat([shape, cost, certainty.clamp(-8.0, 8.0) / 4], 1)
        x = self.body(self.enter(torch.cat([features.chunk(2)[0], difference], 1), estimate))
        change = self.change(x)
        refined = 2 * (disparity + change[:, :1])
        return convex(refined, self.blend2(x), 2), F.pixel_shuffle(certainty + change[:, 1:], 2), refined


def at_disparity(right: Tensor, disparity: Tensor) -> Tensor:
    """What the right image shows where the left one's pixels should be: right (B, C, H, W) at x - d, linearly between.

    disparity: (B, 1, H, W) px of this grid. Columns outside repeat the border's.
    """
    b, c, h, w = right.shape
    x = torch.arange(w, device=right.device, dtype=torch.float32) - disparity.float()
    x = x.clamp(0.0, w - 1.0)
    before = x.floor().clamp(max=w - 2.0)
    share = (x - before).to(right.dtype)
    index = before.long().expand(b, c, h, w)
    first, second = right.gather(3, index), right.gather(3, index + 1)
    return first + (second - first) * share
