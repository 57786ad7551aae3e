"""The strong view of a pair: what a poor camera would have made of it. The geometry stays, so labels stay true.

Unlike the sensor model (sensor.py), which makes rendered pairs look like photographs, this one distorts photographs on
purpose, the two eyes differently, and hides parts of the right one: the student has to say what its teacher said of
the clean pair.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_PX = 1.2
"""Largest standard deviation of the blur."""
NOISE = 0.05
PATCHES = 2
PATCH_SIDE = (0.05, 0.25)
"""Sides of the hidden patches, in the image's own."""


def strong_view(left: Tensor, right: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """left, right: (B, 3, H, W) RGB in [0, 1] -> the same shape and range, a function of the arguments alone.

    Both eyes share a change of gamma, contrast and saturation; each has its own gain, tint, blur and noise.
    """
    generator = torch.Generator(left.device).manual_seed(seed * 1_000_003 + step)

    def between(low: float, high: float, channels: int = 1) -> Tensor:
        shape = (len(left), channels, 1, 1)
        return low + (high - low) * torch.rand(shape, generator=generator, device=left.device)

    gamma, contrast, saturation = between(0.6, 1.6), between(0.6, 1.3), between(0.0, 1.4)
    views = []
    for image in (left, right):
        x = _blurred(image, between(0, BLUR_PX) * (between(0, 1) < 0.5))
        x = x.clamp(1e-3, 1) ** (gamma * between(0.9, 1.1))
        grey, mean = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
        x = mean + ((grey + (x - grey) * saturation) - mean) * contrast
        x = x * between(0.75, 1.25) * between(0.9, 1.1, channels=3)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        views.append((x + between(0, NOISE) ** 2 / NOISE * noise).clamp(0, 1))
    return views[0], _with_patches_hidden(views[1], generator)


def _blurred(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur of each sample by its own sigma_px, (B, 1, 1, 1); 0 leaves it as it is."""
    b, c, h, w = image.shape
    radius = int(3 * BLUR_PX)
    offsets = torch.arange(-radius, radius + 1, device=image.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma_px.view(b, 1) ** 2 + 1e-6))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    x = F.pad(image.reshape(1, b * c, h, w), (radius,) * 4, mode="replicate")
    x = F.conv2d(x, kernel.view(b * c, 1, 1, -1), groups=b * c)
    return F.conv2d(x, kernel.view(b * c, 1, -1, 1), groups=b * c).view(b, c, h, w)


def _with_patches_hidden(image: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the samples lose PATCHES rectangles, painted in the image's mean colour."""
    b, _, h, w = image.shape
    rows = torch.arange(h, device=image.device).view(1, h, 1) / h
    columns = torch.arange(w, device=image.device).view(1, 1, w) / w
    hidden = torch.zeros(b, h, w, dtype=torch.bool, device=image.device)
    chosen = torch.rand((b, 1, 1), generator=generator, device=image.device) < 0.5
    for _ in range(PATCHES):
        y, x, tall, wide = torch.rand((4, b, 1, 1), generator=generator, device=image.device)
        tall, wide = (PATCH_SIDE[0] + (PATCH_SIDE[1] - PATCH_SIDE[0]) * side for side in (tall, wide))
        hidden |= chosen & (rows >= y) & (rows < y + tall) & (columns >= x) & (columns < x + wide)
    return torch.where(hidden[:, None], image.mean((2, 3), keepdim=True), image)
