"""The building blocks that our networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Module):
    """Convolution, batch norm, and ReLU unless told otherwise.

    beside: channels of a second input. Its convolution is a separate one, and added: runtimes are fast at numbers of channels
    that fill their vectors, and three more would make all of them slow.
    """

    def __init__(
        self,
        i: int,
        o: int,
        kernel: int = 3,
        stride: int | tuple[int, int] = 1,
        relu: bool = True,
        groups: int = 1,
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.beside = nn.Conv2d(beside, o, kernel, stride, kernel // 2, bias=False) if beside else None
        self.norm: nn.Module = nn.BatchNorm2d(o)
        self.relu = relu

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        if self.beside is not None:
            assert beside is not None
            x = x + self.beside(beside)
        x = self.norm(x)
        return F.relu(x) if self.relu else x

    def fold(self) -> None:
        if not isinstance(norm := self.norm, nn.BatchNorm2d):
            return
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, norm), nn.Identity()
        if self.beside is not None:
            assert norm.running_var is not None
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            self.beside.weight = nn.Parameter(self.beside.weight * scale.view(-1, 1, 1, 1))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Inverted(nn.Module):
    """Inverted residual: more channels, a depthwise 3x3, fewer channels again; the input is added where it fits.

    Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018.
    """

    def __init__(self, i: int, o: int, stride: int = 1, expansion: int = 3) -> None:
        super().__init__()
        wide = i * expansion
        self.steps = nn.Sequential(
            ConvNorm(i, wide, 1), ConvNorm(wide, wide, 3, stride, groups=wide), ConvNorm(wide, o, 1, relu=False)
        )
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x) if self.adds else self.steps(x)


def stage(i: int, o: int, blocks: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(ConvNorm(i, o, 3, stride), *(Residual(o) for _ in range(blocks)))


def halving(i: int, o: int) -> nn.Sequential:
    return stage(i, o, 1, 2)


class Merge(nn.Module):
    """A deep map, twice enlarged, beside the shallow one of that size -> as many channels as the shallow one has."""

    def __init__(self, deep: int, shallow: int) -> None:
        super().__init__()
        self.conv = ConvNorm(deep + shallow, shallow)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        return self.conv(torch.cat([up2(deep), shallow], 1))


class Hourglass(nn.Module):
    """Maps of channels[0], channels[1], ..., each half the size of the one before, then back up beside them.

    down: makes the step from one number of channels to the next. skip: what a map passes on its way to the upward path.
    forward: (B, channels[0], h, w) -> the maps of the upward path, the finest first; the last is the deepest.
    """

    def __init__(
        self,
        channels: Sequence[int],
        down: Callable[[int, int], nn.Module] = halving,
        skip: Callable[[int], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        steps = list(pairwise(channels))
        self.down = nn.ModuleList(down(shallow, deep) for shallow, deep in steps)
        self.skip = nn.ModuleList(skip(shallow) for shallow, _ in steps)
        self.up = nn.ModuleList(Merge(deep, shallow) for shallow, deep in steps)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [x]
        for down in self.down:
            maps.append(down(maps[-1]))
        for i in reversed(range(len(self.up))):
            maps[i] = self.up[i](maps[i + 1], self.skip[i](maps[i]))
        return maps


def up2(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def repeated(x: Tensor, down: int, across: int) -> Tensor:
    """(B, C, h, w) -> (B, C, h * down, w * across): each value so many times."""
    return F.interpolate(x, scale_factor=(float(down), float(across)), mode="nearest")


def fold(net: nn.Module) -> None:
    """For inference: batch norms folded into their convolutions. In place."""
    for module in net.modules():
        if isinstance(module, ConvNorm):
            module.fold()
