"""Convolutions down to 1/16, attention within windows, and attention of the left image to the right along each row.

After CroCo v2 (Weinzaepfel et al., "Improved cross-view completion pre-training for stereo matching and optical flow", ICCV
2023) with the windows of Liu et al., "Swin transformer", ICCV 2021. Two choices make it plain for every runtime: batch norms
in place of layer norms, which fold away (Graham et al., "LeViT", ICCV 2021), and windows that are shifted by where the map
is padded, so that nothing rolls around and no masks are needed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import prepare
from .layers import ConvNorm, Merge, halving
from .network import Network
from .predictions import Predictions
from .upsample import Lift

CHANNELS = (24, 40, 72, 128)
"""At 1/2, 1/4, 1/8 and 1/16."""
HEADS = 4
WINDOW = 8
ELSEWHERE = -1e4
"""Score of a place that cannot be the match: nothing is left of it after the softmax."""


class SwinCross(Network):
    has_distributions = False

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.decoder = Decoder()
        self.disparity = nn.Conv2d(CHANNELS[1], 1, 3, padding=1)
        self.lift = Lift(CHANNELS[1], 4)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        maps = self.trunk(left, right)
        quarter = self.decoder(maps)
        disparity = self.bounded(self.disparity(quarter))
        full, certainty = self.lift(disparity, quarter)
        return Predictions(full, certainty, (disparity,), features=(quarter, maps[-1]))


class Trunk(nn.Module):
    """What the left image shows, seen together with the right: maps at 1/4, 1/8 and 1/16; the last holds, beside
    CHANNELS[-1] features, how far to the left each head of the last attention looked, in cells."""

    def __init__(self) -> None:
        super().__init__()
        c2, c4, c8, c16 = CHANNELS
        self.stem = ConvNorm(4, c2, 3, 2)
        self.stages = nn.ModuleList(halving(i, o) for i, o in ((c2, c4), (c4, c8), (c8, c16)))
        self.alone = nn.Sequential(Windows(c16, shifted=False), Forward(c16), Windows(c16, shifted=True), Forward(c16))
        self.together = nn.ModuleList(Together(c16, shifted) for shifted in (False, True))

    def forward(self, left: Tensor, right: Tensor) -> list[Tensor]:
        x = self.stem(prepare(torch.cat([left, right])))
        maps = [x := stage(x) for stage in self.stages]
        own, other = self.alone(maps[-1]).chunk(2)
        for block in self.together:
            own, looked = block(own, other)
        return [*(x.chunk(2)[0] for x in maps[:-1]), torch.cat([own, looked], 1)]


class Decoder(nn.Module):
    """Convolutions from the trunk's maps back to features at 1/4."""

    def __init__(self) -> None:
        super().__init__()
        _, c4, c8, c16 = CHANNELS
        self.eighth, self.quarter = Merge(c16 + HEADS, c8), Merge(c8, c4)

    def forward(self, maps: list[Tensor]) -> Tensor:
        quarter, eighth, sixteenth = maps
        return self.quarter(self.eighth(sixteenth, eighth), quarter)


class Together(nn.Module):
    """A block of the left image's path: within its windows, then along the right image's rows."""

    def __init__(self, channels: int, shifted: bool) -> None:
        super().__init__()
        self.within = Windows(channels, shifted)
        self.across = Across(channels)
        self.forward_ = Forward(channels)

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        own, looked = self.across(self.within(own), other)
        return self.forward_(own), looked


class Forward(nn.Module):
    """What each cell makes of what it has: two layers, added to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(ConvNorm(channels, 2 * channels, 1), ConvNorm(2 * channels, channels, 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x)


class Windows(nn.Module):
    """Attention of cells to those of their WINDOW x WINDOW square, added to them. The map is padded to whole windows, at
    its left and top by half of one if shifted; what is padded is a place that says nothing."""

    def __init__(self, channels: int, shifted: bool) -> None:
        super().__init__()
        self.before = WINDOW // 2 if shifted else 0
        self.ask, self.key, self.value = (ConvNorm(channels, channels, 1, relu=False) for _ in range(3))
        self.out = ConvNorm(channels, channels, 1, relu=False)
        self.nearness = nn.Parameter(0.02 * torch.randn(1, HEADS, WINDOW**2, WINDOW**2))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        across, down = (self.before + n + -(self.before + n) % WINDOW for n in (w, h))
        pad = (self.before, across - w - self.before, self.before, down - h - self.before)
        grid = (down // WINDOW, across // WINDOW)
        ask, key, value = (_to_windows(F.pad(part(x), pad), grid) for part in (self.ask, self.key, self.value))
        found = attention(ask, key, self.nearness) @ value
        found = found.view(b, *grid, HEADS, WINDOW, WINDOW, c // HEADS).permute(0, 3, 6, 1, 4, 2, 5)
        found = found.reshape(b, c, down, across)
        return x + self.out(found[:, :, self.before : self.before + h, self.before : self.before + w])


class Across(nn.Module):
    """Attention of the left image's cells to those of the right image's row that can show the same: not further right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ask, self.key, self.value = (ConvNorm(channels, channels, 1, relu=False) for _ in range(3))
        self.out = ConvNorm(channels, channels, 1, relu=False)

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """The left map with what was found added, and how far each head looked: (B, HEADS, h, w) cells."""
        b, c, h, w = own.shape
        ask, key, value = (_to_rows(x) for x in (self.ask(own), self.key(other), self.value(other)))
        columns = torch.arange(w, device=own.device, dtype=torch.float32)
        offset = (columns[:, None] - columns).view(1, 1, w, w)
        weights = attention(ask, key, (offset < 0) * ELSEWHERE)
        found = (weights @ value).view(b, h, HEADS, w, c // HEADS).permute(0, 2, 4, 1, 3).reshape(b, c, h, w)
        looked = (weights * offset).sum(3).view(b, h, HEADS, w).transpose(1, 2)
        return own + self.out(found), looked


def attention(ask: Tensor, key: Tensor, more: Tensor) -> Tensor:
    """(..., n, c), (..., m, c), and (..., n, m) to add to the scores -> (..., n, m) weights that sum to 1 over m."""
    scores = (ask @ key.transpose(-1, -2)).float() / ask.shape[-1] ** 0.5 + more
    return torch.softmax(scores, -1)


def _to_windows(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, rows * WINDOW, columns * WINDOW) -> (B * rows * columns, HEADS, WINDOW**2, C / HEADS)."""
    b, c, _, _ = x.shape
    rows, columns = grid
    x = x.view(b, HEADS, c // HEADS, rows, WINDOW, columns, WINDOW).permute(0, 3, 5, 1, 4, 6, 2)
    return x.reshape(b * rows * columns, HEADS, WINDOW**2, c // HEADS)


def _to_rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B * h, HEADS, w, C / HEADS)."""
    b, c, h, w = x.shape
    return x.view(b, HEADS, c // HEADS, h, w).permute(0, 3, 1, 4, 2).reshape(b * h, HEADS, w, c // HEADS)
