"""What cannot be matched, not even as a whole (consensus.py): it takes the disparity of the sure surfaces around it.

An unsure pixel looks along its row and its column for the nearest sure surface on each side. Of those four the second furthest
away counts: what shows nothing is mostly behind what shows something, and no single one of them decides. Tiles stand for
their pixels, since it is about regions; running extremes find the nearest ones without a loop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import repeated
from .occlusion import LOWEST, running_max

DOUBTED = -0.25
"""A pixel whose certainty is below this (a confidence of 0.44, if not scaled) is unsure. Chosen on drawn scenes."""
TILE = 4
"""Rows and columns of which the furthest sure pixel stands for all."""
BARE = 0.5
"""Share of sure pixels among AROUND x AROUND tiles below which there is a region to settle, and not an edge or a thin thing."""
AROUND = 5
CLAIMED = 0.65
"""The certainty of a settled pixel, a logit below 0, is that share of what it was: it is right more often now, and the more so
the less sure it was. Fitted on drawn scenes (7.7 million pixels: 29 % of them right before, 37 % after)."""
NOTHING = -LOWEST
"""Disparity of a tile without sure pixels: above all that there are."""


def settle(disparity: Tensor, certainty: Tensor) -> tuple[Tensor, Tensor]:
    """Unsure pixels of bare regions take the second smallest of the disparities of the nearest sure tiles to the left, to the
    right, above and below; where only one side has any, that one's; where none has, they stay. A tile with sure pixels is its
    own nearest one.

    disparity: (B, 1, H, W) px; certainty: the same shape, logits. H and W are multiples of 16. Returns both.
    """
    sure = certainty >= DOUBTED
    tiles = -F.max_pool2d(torch.where(sure, -disparity, LOWEST), TILE)
    left, right = nearest(tiles)
    above, below = (side.transpose(2, 3) for side in nearest(tiles.transpose(2, 3)))
    low, other_low = torch.minimum(left, right), torch.minimum(above, below)
    high, other_high = torch.maximum(left, right), torch.maximum(above, below)
    second = torch.minimum(torch.maximum(low, other_low), torch.minimum(high, other_high))
    found = torch.where(second < NOTHING, second, torch.minimum(low, other_low))
    found = torch.where(unsure_share(sure, disparity.dtype) > 0, found, NOTHING)
    found = repeated(found, TILE, TILE)
    stays = sure | (found >= NOTHING)
    return torch.where(stays, disparity, found), torch.where(stays, certainty, CLAIMED * certainty)


def unsure_share(sure: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, H, W) bool -> (B, 1, H / TILE, W / TILE): how much of each tile is unsure, in bare regions; 0 elsewhere."""
    share = F.avg_pool2d(sure.to(dtype), TILE)
    around = F.avg_pool2d(share, AROUND, 1, AROUND // 2, count_include_pad=False)
    return torch.where(around < BARE, 1 - share, 0.0)


def nearest(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, h, w) -> of each tile the nearest value in its row that is not NOTHING, at it or to its left, and at it or to its
    right; NOTHING where there is none."""
    width = tiles.shape[-1]
    column = torch.arange(width, device=tiles.device, dtype=torch.float32)
    known = tiles < NOTHING
    left = running_max(torch.where(known, column, LOWEST), width)
    right = -running_max(torch.where(known, -column, LOWEST), width, leftwards=True)
    on_left = torch.where(left >= 0, tiles.gather(3, left.clamp(min=0).long()), NOTHING)
    on_right = torch.where(right < width, tiles.gather(3, right.clamp(max=width - 1).long()), NOTHING)
    return on_left, on_right
