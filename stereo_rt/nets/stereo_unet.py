"""Stereo U-Net: both images stacked, an encoder and a decoder with skips, disparity regressed without any matching.

After Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015, with the
stacked input of DispNetS (Mayer et al., "A large dataset to train convolutional networks for disparity, optical flow, and
scene flow estimation", 2016). The plainest of the networks: what it lacks shows what matching is worth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .correlation import prepare
from .layers import ConvNorm, Hourglass
from .network import Network
from .predictions import Predictions
from .upsample import Lift

CHANNELS = (24, 32, 64, 96, 128)
"""At 1/2, 1/4, ... 1/32."""


class StereoUNet(Network):
    has_distributions = False

    def __init__(self) -> None:
        super().__init__()
        self.enter = ConvNorm(8, CHANNELS[0], 7, 2)
        self.hourglass = Hourglass(CHANNELS)
        self.disparity = nn.Conv2d(CHANNELS[0], 1, 3, padding=1)
        self.lift = Lift(CHANNELS[0], 2)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        half, quarter, *_, deepest = self.hourglass(self.enter(torch.cat([prepare(left), prepare(right)], 1)))
        disparity = self.bounded(self.disparity(half))
        full, certainty = self.lift(disparity, half)
        return Predictions(full, certainty, (disparity,), features=(quarter, deepest))
