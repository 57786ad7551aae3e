"""Rebuilder: the trunk and decoder of a network, with pixels instead of disparities at the end."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ConfigError
from ...nets import build
from ...nets.swin_cross import CHANNELS, SwinCross

LIFT = 4
"""The decoder's features are at 1/LIFT."""


class Rebuilder(nn.Module):
    """forward(left, right), each (B, 3, H, W) RGB in [0, 1] -> (B, 3, H, W), what the left image shows.

    Its parts have the names that they have in the network, so that the weights of one fit the other.
    """

    multiple_px = SwinCross.multiple_px

    def __init__(self, net: SwinCross) -> None:
        super().__init__()
        self.trunk, self.decoder = net.trunk, net.decoder
        self.pixels = nn.Conv2d(CHANNELS[1], 3 * LIFT**2, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return F.pixel_shuffle(self.pixels(self.decoder(self.trunk(left, right))), LIFT)


def build_rebuilder(name: str) -> Rebuilder:
    """Around the network of that name, with fresh weights from torch's own random state.

    Raises ModelError for an unknown name, ConfigError for a network that is not made for it.
    """
    net = build(name)
    if not isinstance(net, SwinCross):
        raise ConfigError(f"{name} has no trunk to pretrain: it is for swin_cross; train {name} with stereo-rt train {name}")
    return Rebuilder(net)
