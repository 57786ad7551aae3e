"""The building blocks that our networks share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Module):
    """Convolution, batch norm, and ReLU unless told otherwise."""

    def __init__(self, i: int, o: int, kernel: int = 3, stride: int | tuple[int, int] = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(o)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def stage(i: int, o: int, blocks: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(ConvNorm(i, o, 3, stride), *(Residual(o) for _ in range(blocks)))


def up2(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def fold(net: nn.Module) -> None:
    """For inference: batch norms folded into their convolutions. In place."""
    for module in net.modules():
        if isinstance(module, ConvNorm):
            module.fold()
