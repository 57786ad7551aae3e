"""What only the left eye sees: found by the order of what both eyes see, and filled from the surface behind.

The points of a row come in the same order in both images, unless a nearer surface covers some of them in one (the ordering
constraint: Baker and Binford 1981). A covered point has no match, and lies on the surface behind, which goes on to the left
of the gap. Running extremes along the rows say both: no scatter and no loop over pixels. At the left border, where there is
nothing on the left, the surface on the right goes on, as slanted as it is: that strip is wide, and floors and walls are in it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import repeated

BLOCK = 4
"""Columns that are looked at together first; the widths of maps are multiples of it."""
NEAR_PX = 4
UNSURE = -0.85
"""A pixel so near to a hidden one whose certainty is below this (a confidence of 0.3, if not scaled) counts as hidden, too:
matching is at its worst at the edge of a gap."""
SURE = 0.0
"""A pixel whose certainty is above this is not brought nearer: between the bars of a fence the order does not hold, and what is
left of the gap is a bar."""
FILLED = (0.65, 0.25, -0.3)
"""The certainty of a filled pixel: so much of that of the pixel where the value comes from, so much of its own, and a constant.
Fitted on drawn scenes (608,000 filled pixels, 43 % of them right)."""
OUTSIDE_PX = 0.5
"""Pixel centres are at integers: the right image begins half a pixel before its first column."""
LOWEST = -1e4
"""Below all columns and disparities."""
TILE = 8
"""Rows and columns of which one pixel stands for all where slopes are looked at."""
AROUND = (3, 4)
"""Rows and columns of tiles whose slopes are averaged."""
STEEPEST = 0.1
"""Px of disparity per column; what is steeper is taken for an edge between surfaces."""


def fill_hidden(disparity: Tensor, certainty: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Hidden pixels take the disparity of the nearest visible one to their left, or, where there is none, of the surface that
    begins at the nearest one to their right; those that are SURE do so only where it is further away.

    disparity: (B, 1, H, W) px of this map; certainty: the same shape, logits; reach: the largest disparity, px.
    Returns both, filled.
    """
    hidden = hidden_pixels(disparity, reach).to(certainty.dtype)
    near = F.max_pool2d(hidden, (1, 2 * NEAR_PX + 1), 1, (0, NEAR_PX)) > 0
    hole = (hidden > 0) | (near & (certainty < UNSURE))
    width = disparity.shape[-1]
    column = torch.arange(width, device=disparity.device, dtype=torch.float32)
    left = running_max(torch.where(hole, LOWEST, column), reach)
    on_left = left >= 0
    first = torch.where(hole, float(width), column).amin(3, keepdim=True)  # what is left of it has nothing on its left
    source = torch.where(on_left, left, torch.where(first < width, first, column))
    tile = torch.floor(first.clamp(max=width - 1.0) / TILE).long()
    slope = slopes_ahead(disparity, certainty).gather(3, tile)
    # Beyond the reach of a wide hole the first column lies further left: it is copied.
    rise = torch.where(on_left, 0.0, slope * (column - source).clamp(max=0.0))
    source = source.long()
    filled = (disparity.gather(3, source) + rise).clamp(min=0.0)
    hole = hole & ((filled <= disparity) | (certainty <= SURE))
    of_source, of_pixel, constant = FILLED
    claim = of_source * certainty.gather(3, source) + of_pixel * certainty + constant
    return torch.where(hole, filled, disparity), torch.where(hole, claim, certainty)


def hidden_pixels(disparity: Tensor, reach: int) -> Tensor:
    """(B, 1, H, W) bool: x - d lies outside of the right image, or a pixel further right has no larger x - d."""
    column = torch.arange(disparity.shape[-1], device=disparity.device, dtype=torch.float32)
    seen_at = column - disparity.float()
    beyond = -running_max(F.pad(-seen_at[..., 1:], (0, 1), value=LOWEST), reach, leftwards=True)
    return (seen_at >= beyond) | (seen_at < -OUTSIDE_PX)


def slopes_ahead(disparity: Tensor, certainty: Tensor) -> Tensor:
    """(B, 1, H, W / TILE): px of disparity per column of the surface that lies to the right of each tile: the mean over the
    tiles next to it, more of those that are certain, none of edges. H and W are multiples of TILE."""
    some_px, some = (values[..., TILE // 2 :: TILE, ::TILE] for values in (disparity, certainty))
    slope = F.pad(some_px[..., 1:] - some_px[..., :-1], (0, 1)) / TILE
    weight = (slope.abs() <= STEEPEST).to(slope.dtype) * torch.sigmoid(some)

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(values[..., 1:], (0, AROUND[1])), AROUND, 1, (AROUND[0] // 2, 0))

    slopes = mean(slope * weight) / (mean(weight) + 1e-3)
    return repeated(slopes, TILE, 1)


def running_max(values: Tensor, reach: int, leftwards: bool = False) -> Tensor:
    """(B, 1, H, W): the largest value of each pixel and of all to its left (to its right, if leftwards), within the reach and
    not far beyond. First inside blocks of BLOCK columns, then over blocks, in as many shifts as their number has digits."""
    sides = (0, BLOCK - 1) if leftwards else (BLOCK - 1, 0)
    near = F.max_pool2d(F.pad(values, sides, value=LOWEST), (1, BLOCK), 1)
    blocks = _moved(F.max_pool2d(values, (1, BLOCK)), 1, leftwards)
    by = 1
    while by <= min(reach // BLOCK, blocks.shape[-1] - 1):
        blocks = torch.maximum(blocks, _moved(blocks, by, leftwards))
        by *= 2
    return torch.maximum(near, repeated(blocks, 1, BLOCK))


def _moved(values: Tensor, by: int, leftwards: bool) -> Tensor:
    """By so many columns; LOWEST comes in."""
    if leftwards:
        return F.pad(values[..., by:], (0, by), value=LOWEST)
    return F.pad(values[..., :-by], (by, 0), value=LOWEST)
