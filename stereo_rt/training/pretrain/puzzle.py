"""Puzzle: a pair with most of its left image hidden, and how far a rebuilt image is from what is hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch import Batch
from ..recipe import PretrainRecipe

BLANK = 0.45
"""The grey that hidden pixels get: what nets.correlation.prepare turns into zeros."""
NOISE = 0.01
"""Deviation that is added to that of a patch, so that a flat one is not asked for its noise."""


@dataclass(frozen=True, eq=False)
class Puzzle:
    """left, right: (B, 3, H, W) as a network is given them. hidden: (B, 1, H, W) bool, True where left is BLANK."""

    left: Tensor
    right: Tensor
    hidden: Tensor


def pose(batch: Batch, asked: PretrainRecipe, generator: torch.Generator) -> Puzzle:
    """Patches of the left images hidden by chance. generator: of the CPU.

    With asked.left_only the right images are replaced by what is left of the left ones: the same network does the same
    work, and nothing of the right image can reach it.
    """
    pairs, _, height, width = batch.left.shape
    grid = (pairs, height // asked.patch_px, width // asked.patch_px)
    hidden = at_pixels(draw_mask(generator, grid, asked.ratio), asked.patch_px).to(batch.left.device)
    left = batch.left.masked_fill(hidden, BLANK)
    return Puzzle(left, left if asked.left_only else batch.right, hidden)


def draw_mask(generator: torch.Generator, grid: tuple[int, int, int], ratio: float) -> Tensor:
    """(B, rows, columns) bool on the CPU, True where a patch is hidden: in each image the same number, nearest to the ratio
    but never none and never all. grid: (B, rows, columns)."""
    pairs, rows, columns = grid
    count = rows * columns
    number = min(max(round(ratio * count), 1), count - 1)
    rank = torch.rand(pairs, count, generator=generator).argsort(1).argsort(1)
    return (rank < number).view(pairs, rows, columns)


def at_pixels(patches: Tensor, patch_px: int) -> Tensor:
    """(B, rows, columns) of patches -> (B, 1, H, W) of their pixels."""
    return patches[:, None].repeat_interleave(patch_px, 2).repeat_interleave(patch_px, 3)


def targets(images: Tensor, asked: PretrainRecipe) -> tuple[Tensor, Tensor]:
    """What is subtracted from images and what they are divided by, (B, 1, H, W) each, to be what a network is to say.

    With asked.normalised these are the mean and deviation of each patch, over its pixels and colours (He et al., "Masked
    autoencoders are scalable vision learners", CVPR 2022): every patch counts alike, however faint. Else 0 and 1.
    """
    if not asked.normalised:
        return torch.zeros_like(images[:, :1]), torch.ones_like(images[:, :1])
    mean = F.avg_pool2d(images.mean(1, keepdim=True), asked.patch_px)
    square = F.avg_pool2d((images * images).mean(1, keepdim=True), asked.patch_px)
    deviation = torch.sqrt((square - mean * mean).clamp(min=0) + NOISE**2)
    return at_pixels(mean[:, 0], asked.patch_px), at_pixels(deviation[:, 0], asked.patch_px)


def errors(said: Tensor, truth: Tensor, hidden: Tensor, asked: PretrainRecipe) -> Tensor:
    """(B,): of each pair, the mean squared difference of what a network says, (B, 3, H, W), over the hidden pixels alone.
    truth: the left images."""
    offset, scale = targets(truth, asked)
    squares = (said.float() - (truth - offset) / scale) ** 2
    return squares.mul(hidden).sum((1, 2, 3)) / (3 * hidden.sum((1, 2, 3)))


def pictured(said: Tensor, truth: Tensor, asked: PretrainRecipe) -> Tensor:
    """What a network says as images in [0, 1]. Where targets are normalised, the mean and deviation of a patch, which nobody
    asked it for, are those of the truth."""
    offset, scale = targets(truth, asked)
    return (said.float() * scale + offset).clamp(0, 1)
