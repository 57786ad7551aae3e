"""Correlation of descriptors along image rows, and the input that makes it robust to exposure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def prepare(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 4, H, W): centred colour and the local contrast of grey, which ignores exposure."""
    grey = rgb[:, 0:1] * 0.3 + rgb[:, 1:2] * 0.59 + rgb[:, 2:3] * 0.11
    detail = grey - _box(grey)
    return torch.cat([(rgb - 0.45) * 3, detail / torch.sqrt(_box(detail * detail) + 4e-4)], 1)


def _box(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 9, 1, 4, count_include_pad=False)


def correlate(descriptors: Tensor, bins: int, groups: int) -> Tensor:
    """Normalised correlation: descriptors (2B, C, H, W), left images first -> (B, groups * bins, H, W).

    Within a group the channels are disparity bins-1 ... 0.

    One matrix product gives every pair of columns of a row; the wanted diagonals are then cut out by a skew: padding
    each row of the (W, W + bins - 1) product by one column makes its diagonals vertical.
    """
    both, c, h, w = descriptors.shape
    b = both // 2
    x = descriptors.float().view(both, groups, c // groups, h, w)
    left, right = (x / torch.sqrt((x * x).mean(2, keepdim=True) + 1e-3)).chunk(2)
    rows = left.permute(0, 1, 3, 4, 2) * (groups / c)
    columns = F.pad(right.permute(0, 1, 3, 2, 4), (bins - 1, 0))
    with torch.autocast(x.device.type, enabled=False):
        products = torch.matmul(rows, columns)
    wide = w + bins - 1
    skewed = F.pad(products.reshape(b, groups, h, w * wide), (0, w)).reshape(b, groups, h, w, wide + 1)[..., :bins]
    return skewed.permute(0, 1, 4, 2, 3).reshape(b, groups * bins, h, w)
