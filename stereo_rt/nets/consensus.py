"""What is too faint to be matched pixel by pixel, such as a bare wall, is matched as a whole.

The correlations of one pixel of a wall say next to nothing. Those of all of it say where it is, as errors that are independent
average out: so the tiles of bare regions that have the same colour, wherever they are in the image, find the disparity on
which they agree most. Where that is ahead of every other one by more than chance explains, they take it; the others are left
to background.py. Surfaces that have nothing in common but their colour do not agree, and nor do steep ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .background import DOUBTED, unsure_share
from .background import TILE as SMALL_TILE
from .layers import repeated
from .occlusion import LOWEST

TILE = 32
"""Rows and columns of a tile; the sides of an input are multiples of it."""
INNER = TILE // SMALL_TILE
"""Small tiles, one to a side, in a tile."""
MIDDLE, BEFORE = slice(SMALL_TILE // 2, None, SMALL_TILE), slice(SMALL_TILE // 2 - 1, None, SMALL_TILE)
"""Rows or columns through the middles of small tiles, whose pixels stand for them, and those before."""
COLOUR = 0.1
"""Standard deviation, in RGB of [0, 1], of what counts as the same colour."""
AHEAD = 2.0
"""By so many standard errors of the difference of two means the best disparity is ahead of all that are not near it."""
RIVAL = 0.8
"""No disparity elsewhere may have so much of the correlation of the best: there would be two surfaces of that colour."""
NEAR_PX = 8
"""The peak reaches so far to either side: what shows on walls is soft."""
FIRST_PX = 3
"""Below it is what lies in the same columns of both images: blocks of compression, dirt. It is no surface."""
LIVELY = 0.1
"""Share of the pixels that differ from their neighbours, below which a tile has no noise."""
SOME = 1e-4
"""A share below it is none."""
CLAIMED = 0.4
"""The certainty of such a pixel (a confidence of 0.6, if not scaled): on drawn scenes two in three are right."""


def agree(disparity: Tensor, certainty: Tensor, matching: Tensor, left: Tensor, bin_px: float) -> tuple[Tensor, Tensor]:
    """Unsure pixels of bare regions take the disparity that all tiles of their colour agree on, where they do.

    disparity: (B, 1, H, W) px; certainty: the same shape, logits. matching: (B, H / 4, W / 4, bins) correlations; bin k stands
    for the disparity (bins - 1 - k) * bin_px. left: (B, 3, H, W) RGB in [0, 1]. H and W are multiples of TILE.
    Returns disparity and certainty.
    """
    batch, rows, columns = len(disparity), disparity.shape[2] // TILE, disparity.shape[3] // TILE
    sure = certainty >= DOUBTED
    middle = left[:, :, MIDDLE, MIDDLE]
    weight = unsure_share(sure, disparity.dtype) * repeated(lively(left, middle), INNER, INNER)
    share = F.avg_pool2d(weight, INNER)
    colour = F.avg_pool2d(middle * weight, INNER) / share.clamp(min=SOME)
    evidence = tile_means(matching * weight.movedim(1, 3), rows, columns) / share.movedim(1, 3).clamp(min=SOME)
    centre_px = (torch.arange(columns, device=left.device) + 0.5) * TILE
    px = torch.arange(matching.shape[3] - 1, -1, -1, device=left.device).float() * bin_px
    inside = (centre_px[:, None] >= px).to(disparity.dtype)
    evidence = (evidence - (evidence * inside).sum(3, keepdim=True) / inside.sum(1, keepdim=True)) * inside
    variance = evidence.square().sum(3) / inside.sum(1)  # nearly all bins are wrong ones
    tiles = (batch, rows * columns, -1)
    best_px, clear = consensus(evidence.view(tiles), variance.view(batch, 1, -1), share.view(batch, 1, -1), colour, px)
    agreed = torch.where(clear & (best_px > FIRST_PX), best_px, LOWEST).view(batch, 1, rows, columns)
    agreed = torch.where(weight > 0, repeated(agreed, INNER, INNER), LOWEST)
    agreed = repeated(agreed, SMALL_TILE, SMALL_TILE)
    stays = sure | (agreed <= LOWEST)
    return torch.where(stays, disparity, agreed), torch.where(stays, certainty, CLAIMED)


def lively(left: Tensor, middle: Tensor) -> Tensor:
    """(B, 3, H, W) and its MIDDLE pixels -> (B, 1, H / TILE, W / TILE): 0 for tiles of padding, which repeats the last pixel of
    rows and columns, and for others without any noise, as of a lamp that is too bright; else 1. Tiles of 0 would agree, and say
    nothing."""
    shares = []
    for neighbour in (left[:, :, MIDDLE, BEFORE], left[:, :, BEFORE, MIDDLE]):
        differs = (middle - neighbour).abs().sum(1, keepdim=True) > 0
        shares.append(F.avg_pool2d(differs.to(left.dtype), INNER))
    return (torch.minimum(*shares) > LIVELY).to(left.dtype)


def consensus(evidence: Tensor, variance: Tensor, share: Tensor, colour: Tensor, px: Tensor) -> tuple[Tensor, Tensor]:
    """Of each tile the disparity in px that those of its colour agree on, and whether it is clearly ahead of all others. Both
    (B, n, 1).

    evidence: (B, n, bins) of each tile, 0 in the mean; variance: (B, 1, n) of its values; share: (B, 1, n) what it counts;
    colour: (B, 3, h, w) of n tiles; px: (bins,) what the bins stand for.
    """
    colour = colour.flatten(2)
    apart = ((colour.unsqueeze(3) - colour.unsqueeze(2)) / COLOUR).square().sum(1)
    alike = torch.exp(-0.5 * apart) * share
    alike = alike / alike.sum(2, keepdim=True).clamp(min=SOME)
    mean = alike @ evidence
    error = (2 * (alike * alike * variance).sum(2, keepdim=True)).clamp(min=SOME**2).sqrt()
    best = mean.amax(2, keepdim=True)
    mode = (px * (mean >= best).to(px.dtype)).amax(2, keepdim=True)
    near = (px - mode).abs() <= NEAR_PX
    second = torch.where(near, LOWEST, mean).amax(2, keepdim=True)
    over = torch.where(near, (mean - second).clamp(min=0.0), 0.0)
    best_px = (over * px).sum(2, keepdim=True) / over.sum(2, keepdim=True).clamp(min=SOME**2)
    return best_px, (best - second > AHEAD * error) & (second < RIVAL * best)


def tile_means(values: Tensor, rows: int, columns: int) -> Tensor:
    """(B, h, w, n) -> (B, rows, columns, n): means over tiles. First down, then across, so that no axis moves."""
    batch, height, width, n = values.shape
    down = values.reshape(batch * rows, height // rows, width * n).mean(1)
    return down.reshape(batch * rows * columns, width // columns, n).mean(1).view(batch, rows, columns, n)
