"""A 2D MobileStereoNet: depthwise separable blocks throughout, and a cost volume that learns how to compare.

After Shamsafar, Woerz, Rahim and Zell, "MobileStereoNet: towards lightweight deep networks for stereo matching", WACV 2022:
inverted residuals (Sandler et al., "MobileNetV2", 2018) in place of convolutions, and the interlacing cost volume, in which
left and right channels lie in pairs for a small network to compare. Here the pair is weighed before the shift, which is
the same first layer at a fraction of its cost.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import prepare
from .layers import ConvNorm, Hourglass, Inverted
from .network import Network
from .predictions import Distribution, Predictions
from .upsample import Lift

BIN_PX = 4
COMPARED = 12
"""Channels of a pair of pixels that are compared."""


def mobile_stage(i: int, o: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(Inverted(i, o, stride), Inverted(o, o))


class MobileStereoNet(Network):
    def __init__(self) -> None:
        super().__init__()
        self.bins = self.max_disparity_px // BIN_PX
        hourglass = partial(Hourglass, down=mobile_stage)
        self.enter = nn.Sequential(ConvNorm(4, 16, 3, 2), mobile_stage(16, 24))
        self.encoder = hourglass((24, 40, 64))
        self.left, self.right = nn.Conv2d(24, COMPARED, 1), nn.Conv2d(24, COMPARED, 1)
        self.compare = nn.Sequential(nn.Conv2d(COMPARED, COMPARED, 1), nn.ReLU(), nn.Conv2d(COMPARED, 1, 1))
        self.gain = nn.Parameter(torch.tensor(10.0))
        self.aggregate = nn.Sequential(mobile_stage(self.bins + 24, 48, 1), hourglass((48, 80, 112, 128)))
        self.correction = nn.Conv2d(48, self.bins, 1)
        self.lift = Lift(48, BIN_PX)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        one, other = self.encoder(self.enter(prepare(torch.cat([left, right]))))[0].chunk(2)
        volume = self.interlaced(self.left(one), self.right(other))
        quarter, *_, deepest = self.aggregate(torch.cat([volume, one], 1))
        matching = volume.float() * self.gain
        scores = Distribution(self.correction(quarter).float() + matching, BIN_PX)
        disparity = scores.mean_px()
        full, certainty = self.lift(disparity, quarter)
        distributions = (scores, Distribution(matching, BIN_PX, matching_only=True))
        return Predictions(full, certainty, (disparity,), distributions, (one, deepest))

    def interlaced(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, COMPARED, h, w) each -> (B, bins, h, w): how well the pixels of each disparity compare, the largest first."""
        b, _, h, w = left.shape
        padded = F.pad(right, (self.bins - 1, 0))
        shifted = torch.stack([padded[..., first : first + w] for first in range(self.bins)], 1)
        pairs = F.relu(left.unsqueeze(1) + shifted).flatten(0, 1)
        return self.compare(pairs).view(b, self.bins, h, w)
