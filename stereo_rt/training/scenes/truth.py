"""Truth: what is known of a pair once both eyes' disparities are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

AGREE_PX = 1.0
CREASE_PX = 0.04


def occluded(left_px: Tensor, right_px: Tensor) -> tuple[Tensor, Tensor]:
    """Where the left-right check of the two truths (B, H, W) fails, for both: the other eye has, at the pixel next to
    x -+ d, a disparity more than AGREE_PX away, or no pixel."""
    return _fails(left_px, right_px, -1), _fails(right_px, left_px, 1)


def _fails(own_px: Tensor, other_px: Tensor, sign: int) -> Tensor:
    width = own_px.shape[-1]
    there = (torch.arange(width, device=own_px.device) + sign * own_px).round().long()
    outside = (there < 0) | (there >= width)
    return outside | ((other_px.gather(-1, there.clamp(0, width - 1)) - own_px).abs() > AGREE_PX)


def edges(disparity_px: Tensor, thing: Tensor) -> Tensor:
    """Pixels (B, H, W) next to another thing, or at a bend: the disparity of a plane is linear, so what is not is none."""
    across, down = _differs(disparity_px, thing), _differs(disparity_px.mT, thing.mT).mT
    return across | down


def _differs(disparity_px: Tensor, thing: Tensor) -> Tensor:
    other = F.pad(thing[..., 1:] != thing[..., :-1], (1, 1))
    bend = (disparity_px[..., 2:] - 2 * disparity_px[..., 1:-1] + disparity_px[..., :-2]).abs() > CREASE_PX
    return other[..., 1:] | other[..., :-1] | F.pad(bend, (1, 1))
