"""Crops: windows of a pair, resized, mirrored, turned upside down and with exchanged colours; its truth goes with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..matchers.grid import ENLARGED

STRETCH = 0.12
UPSIDE_DOWN = 0.3
EXCHANGED = 0.5
SMOOTH_PX = 1.0


@dataclass(frozen=True)
class Zoom:
    """How much smaller (least) to larger (most) crops become than they were; the share `unscaled` keep their pixels.

    enlarged: share of what the cameras made of them that is enlarged, as frames are for a finer grid: noise and all.
    """

    least: float = 0.75
    most: float = 1.4
    unscaled: float = 0.4
    enlarged: float = 0.0


@dataclass(frozen=True)
class Crop:
    """The window of width x height px at (x, y) becomes an image of the wanted size. channels: the order of colours."""

    x: int
    y: int
    width: int
    height: int
    upside_down: bool
    channels: tuple[int, ...]


def draw_crop(generator: torch.Generator, source: tuple[int, int], size: tuple[int, int], zoom: Zoom | None = None) -> Crop:
    """A random window of a pair of size source for crops of size, both (width, height); a CPU generator decides."""
    draw = torch.rand(7, generator=generator).tolist()
    zoom = zoom or Zoom()
    scale = zoom.least * (zoom.most / zoom.least) ** draw[0]
    stretch = 1 + STRETCH * (2 * draw[1] - 1)
    width, height = size if draw[2] < zoom.unscaled else (round(size[0] / scale), round(size[1] / scale * stretch))
    width, height = min(width, source[0]), min(height, source[1])
    x, y = int(draw[3] * (source[0] - width + 1)), int(draw[4] * (source[1] - height + 1))
    channels = tuple(torch.randperm(3, generator=generator).tolist())
    return Crop(x, y, width, height, draw[5] < UPSIDE_DOWN, channels if draw[6] < EXCHANGED else (0, 1, 2))


def draw_enlarged(generator: torch.Generator, size: tuple[int, int], share: float) -> Crop | None:
    """For that share of pairs a random window of one of size (width, height), to become of that size; None for the others."""
    draw = torch.rand(4, generator=generator).tolist()
    width, height = (round(side / ENLARGED ** draw[1]) for side in size)
    x, y = int(draw[2] * (size[0] - width + 1)), int(draw[3] * (size[1] - height + 1))
    return Crop(x, y, width, height, False, (0, 1, 2)) if draw[0] < share else None


def mirrored(images: Tensor, disparity_px: Tensor, occluded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A pair (6, H, W) whose right eye is the left one now, in a mirror; the truth (H, W), which was the right eye's, too."""
    return torch.cat([images[3:], images[:3]]).flip(2), disparity_px.flip(1), occluded.flip(1)


def cut(crop: Crop, images: Tensor, disparity_px: Tensor, occluded: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Both images (6, h, w) and the truth (H, W) of the left one, NaN where it is not known, after the crop.

    images: (6, H, W) uint8, left and right. The disparity is interpolated where it is smooth, so that planes stay exact,
    and taken from the nearest pixel elsewhere. What the window leaves out of the right image becomes occluded.
    """
    window = (..., slice(crop.y, crop.y + crop.height), slice(crop.x, crop.x + crop.width))
    order = [*crop.channels, *(3 + c for c in crop.channels)]
    picture, known, hidden = images[window][order].float() / 255, disparity_px[window], occluded[window]
    if (crop.width, crop.height) != size:
        shape = (size[1], size[0])
        smaller = crop.width > size[0] or crop.height > size[1]
        picture = F.interpolate(picture[None], shape, mode="bilinear", antialias=smaller, align_corners=False)[0]
        known = _resized(known, shape) * (size[0] / crop.width)
        hidden = F.interpolate(hidden[None, None].float(), shape, mode="nearest-exact")[0, 0] > 0
    if crop.upside_down:
        picture, known, hidden = picture.flip(1), known.flip(0), hidden.flip(0)
    beyond = torch.arange(size[0], device=known.device) - known < -0.5
    return picture, known, hidden | beyond


def _resized(disparity_px: Tensor, shape: tuple[int, int]) -> Tensor:
    """(H, W) to shape, without blending across a step."""
    one = disparity_px[None, None]
    span = F.max_pool2d(one, 3, 1, 1) + F.max_pool2d(-one, 3, 1, 1)
    nearest = F.interpolate(one, shape, mode="nearest-exact")
    smooth = F.interpolate(span, shape, mode="nearest-exact") < SMOOTH_PX
    return torch.where(smooth, F.interpolate(one, shape, mode="bilinear", align_corners=False), nearest)[0, 0]
