"""Hybrid attention: a correlation network whose skips are weighed by channel and by place.

The attention is that of Woo et al., "CBAM: convolutional block attention module", ECCV 2018, on the skips of both the
encoder and the aggregation of the correlation volume (Xu et al., "Attention concatenation volume for accurate and efficient
stereo matching", CVPR 2022, weigh a volume in this spirit). The disparity is the expectation of bins at 1/4.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import channels, correlate, prepare
from .layers import ConvNorm, Hourglass, halving
from .network import Network
from .predictions import Distribution, Predictions
from .upsample import Lift

BIN_PX = 4


class HybridAttention(nn.Module):
    """Weighs the channels by what they hold over the image, then the places by what the channels hold there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = channels // 4
        self.of_channels = nn.Sequential(nn.Conv2d(channels, few, 1), nn.ReLU(), nn.Conv2d(few, channels, 1))
        self.of_places = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.of_channels(F.adaptive_avg_pool2d(x, 1)))
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.of_places(seen))


class HybridAttentionNet(Network):
    def __init__(self) -> None:
        super().__init__()
        self.bins = self.max_disparity_px // BIN_PX
        hourglass = partial(Hourglass, skip=HybridAttention)
        self.enter = nn.Sequential(ConvNorm(4, 20, 3, 2), halving(20, 36))
        self.encoder = hourglass((36, 56, 80))
        self.descriptor = nn.Conv2d(36, 36, 1)
        self.aggregate = nn.Sequential(ConvNorm(self.bins + 36, 48), hourglass((48, 80, 112)))
        self.correction = nn.Conv2d(48, self.bins, 1)
        self.correlation_gain = nn.Parameter(torch.tensor(10.0))
        self.lift = Lift(48, BIN_PX)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        features = self.encoder(self.enter(prepare(torch.cat([left, right]))))[0]
        volume = channels(correlate(self.descriptor(features), self.bins, groups=1))
        own = features.chunk(2)[0]
        quarter, *_, deepest = self.aggregate(torch.cat([volume, own], 1))
        matching = volume * self.correlation_gain
        scores = Distribution(self.correction(quarter).float() + matching, BIN_PX)
        disparity = scores.mean_px()
        full, certainty = self.lift(disparity, quarter)
        distributions = (scores, Distribution(matching, BIN_PX, matching_only=True))
        return Predictions(full, certainty, (disparity,), distributions, (own, deepest))
