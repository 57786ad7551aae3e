"""Correlation of descriptors along image rows, and the input that makes it robust to exposure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import repeated

BLOCK = 40
"""Columns of a block at most: smaller ones compute less that is thrown away, in more and smaller products."""


def prepare(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1], H and W even -> (B, 4, H, W): centred colour and the local contrast of grey, which ignores
    exposure."""
    rgb = rgb.contiguous()  # torch pools single channels slowly when they stand last
    grey = rgb[:, 0:1] * 0.3 + rgb[:, 1:2] * 0.59 + rgb[:, 2:3] * 0.11
    detail = grey - repeated(_around(grey), 2, 2)
    return torch.cat([(rgb - 0.45) * 3, detail * repeated(torch.rsqrt(_around(detail * detail) + 4e-4), 2, 2)], 1)


def _around(x: Tensor) -> Tensor:
    """Means of about 10 x 10 pixels, of those that exist, at half size: a fourth of the work, and smooth enough."""
    x = F.avg_pool2d(x, 2)
    x = F.avg_pool2d(x, (1, 5), 1, (0, 2), count_include_pad=False)
    return F.avg_pool2d(x, (5, 1), 1, (2, 0), count_include_pad=False)


def correlate(descriptors: Tensor, bins: int, groups: int, pooled: int = 1) -> Tensor:
    """Normalised correlation: descriptors (2B, C, H, W), left images first -> (B, groups, H, W / pooled, bins).

    The disparities bins-1 ... 0 are innermost, where sums over them are quick; see channels. pooled: means of so many
    neighbouring columns, which divide W.

    A row is cut into blocks. One matrix product compares all columns of a left block with all of the right window that it can
    match; the wanted diagonals are then cut out by a skew: read with rows longer by `pooled`, they become vertical.
    """
    both, c, h, w = descriptors.shape
    b, width = both // 2, w // pooled
    block = max(n for n in range(1, BLOCK + 1) if width % n == 0)
    step, wide = block * pooled, (block - 1) * pooled + bins
    x = descriptors.float().view(both, groups, c // groups, h, w)
    x = (x / torch.sqrt((x * x).mean(2, keepdim=True) + 1e-3)).permute(0, 1, 3, 4, 2)
    left, right = x.chunk(2)  # (B, groups, h, w, c / groups)
    # Pooled columns stand side by side as one longer descriptor: the mean of products is one product.
    rows = left.reshape(b, groups, h, width, -1) * (groups / (c * pooled))
    columns = F.pad(right, (0, 0, bins - 1, 0))
    columns = torch.cat([columns[..., q : q + w - pooled + bins, :] for q in range(pooled)], 4)
    spare = -(-step // wide)  # rows that the longer reading runs into
    rows = F.pad(rows, (0, 0, 0, spare))
    volumes = []
    for first in range(0, width, block):
        with torch.autocast(x.device.type, enabled=False):
            window = columns[..., first * pooled : first * pooled + wide, :]
            products = torch.matmul(rows[..., first : first + block + spare, :], window.transpose(3, 4))
        skewed = products.reshape(b, groups, h, -1)[..., : block * (wide + pooled)]
        volumes.append(skewed.reshape(b, groups, h, block, wide + pooled)[..., :bins])
    return torch.cat(volumes, 3)


def channels(volume: Tensor) -> Tensor:
    """(B, groups, H, W, bins) -> (B, groups * bins, H, W), for convolutions."""
    return volume.permute(0, 1, 4, 2, 3).flatten(1, 2)
