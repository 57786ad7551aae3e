"""Recipes: textures made by formulas. Each takes a Brush and gives (n, 3, SIDE_PX, SIDE_PX) pictures, about in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

SIDE_PX = 256


class Brush:
    """What the recipes for n textures have in common: random numbers, coordinates, a palette, noise."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n, self.generator, self.device = n, generator, generator.device
        axis = torch.arange(SIDE_PX, device=self.device) / SIDE_PX
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")
        self.palette = self.colours(3)

    def random(self, *shape: int) -> Tensor:
        """(n, *shape) uniform in [0, 1)."""
        return torch.rand(self.n, *shape, generator=self.generator, device=self.device)

    def number(self) -> Tensor:
        return self.random(1, 1)

    def colours(self, many: int) -> Tensor:
        """(n, many, 3): mostly muted, as most things are; one palette in four is grey."""
        vivid = self.random(1, 1) ** 1.5 * (self.random(1, 1) > 0.25)
        grey = 0.08 + 0.92 * self.random(many, 1)
        return (grey + vivid * (self.random(many, 3) - grey)).clamp(0, 1)

    def noise(self, power: Tensor) -> Tensor:
        """(n, side, side) noise of deviation 1 whose spectrum falls as frequency ** -power (n,); it repeats seamlessly."""
        frequency = torch.fft.fftfreq(SIDE_PX, device=self.device)
        radius = torch.hypot(frequency[None], frequency[:, None])
        radius[0, 0] = 1
        white = torch.randn(self.n, SIDE_PX, SIDE_PX, generator=self.generator, device=self.device)
        spectrum = torch.fft.fft2(white) * radius ** -power.view(-1, 1, 1)
        spectrum[:, 0, 0] = 0
        noise = torch.fft.ifft2(spectrum).real
        return noise / noise.flatten(1).std(1).view(-1, 1, 1)

    def mix(self, share: Tensor, first: int = 0, second: int = 1) -> Tensor:
        """(n, 3, side, side) between two colours of the palette; share (n, side, side) is that of the second."""
        return torch.lerp(self.palette[:, first, :, None, None], self.palette[:, second, :, None, None], share[:, None])

    def worn(self, picture: Tensor, amount: float) -> Tensor:
        return picture * (1 + amount * self.noise(0.6 + self.random())[:, None])

    def offset(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors from points (n, 1, 1) to every texel, the shortest way round."""
        return (self.x - x + 0.5) % 1 - 0.5, (self.y - y + 0.5) % 1 - 0.5


def clouds(brush: Brush) -> Tensor:
    rough, fine = brush.noise(0.4 + 1.8 * brush.random()), brush.noise(0.8 + 1.2 * brush.random())
    return 0.7 * brush.mix(torch.sigmoid(1.3 * rough)) + 0.3 * brush.mix(torch.sigmoid(fine), 1, 2)


def dead_leaves(brush: Brush) -> Tensor:
    """Discs and squares of all sizes on top of each other: the statistics of natural pictures."""
    picture, grain = clouds(brush), 1 + 0.12 * brush.noise(0.6 + brush.random())
    for _ in range(70):
        dx, dy = brush.offset(brush.number(), brush.number())
        size, aspect, angle = 0.015 * 16 ** brush.number(), 2 ** (2 * brush.number() - 1), pi * brush.number()
        u = (dx * angle.cos() + dy * angle.sin()) / (size * aspect)
        v = (dy * angle.cos() - dx * angle.sin()) / (size / aspect)
        round_ = brush.number() < 0.5
        inside = torch.where(round_, u * u + v * v, torch.maximum(u.abs(), v.abs())) < 1
        colour = 0.4 * brush.palette[:, 2] + 0.6 * brush.colours(1)[:, 0]
        picture = torch.where(inside[:, None], colour[:, :, None, None] * grain[:, None], picture)
    return picture


def stripes(brush: Brush) -> Tensor:
    along = (brush.number() * 49).floor() - 24
    across = ((brush.number() * 49).floor() - 24) * (brush.number() < 0.5)
    along = torch.where((along == 0) & (across == 0), 9, along)
    wobble = brush.noise(0.8 + 1.2 * brush.random()) * (brush.number() < 0.5) * 0.7
    wave = (2 * pi * (along * brush.x + across * brush.y) + wobble).sin()
    return brush.worn(brush.mix(torch.sigmoid(wave * (1 + 12 * brush.number()))), 0.06)


def tiles(brush: Brush) -> Tensor:
    """Chequers or bricks."""
    across, down = (2 ** (1 + 5 * brush.number()).floor() for _ in range(2))
    row = (brush.y * down).floor()
    bricks = brush.number() < 0.5
    u, v = (brush.x * across + 0.5 * (row % 2) * bricks) % 1, (brush.y * down) % 1
    pattern = torch.where(bricks, ((u < 0.08) | (v < 0.08)).float(), ((brush.x * across).floor() + row) % 2)
    return brush.worn(brush.mix(pattern), 0.1)


def cells(brush: Brush) -> Tensor:
    """Patches, each of what is nearest to one of 48 points."""
    nearest = torch.full((brush.n, SIDE_PX, SIDE_PX), 9.0, device=brush.device)
    picture = torch.zeros(brush.n, 3, SIDE_PX, SIDE_PX, device=brush.device)
    for _ in range(48):
        dx, dy = brush.offset(brush.number(), brush.number())
        distance = dx * dx + dy * dy
        colour = (0.3 * brush.palette[:, 0] + 0.7 * brush.colours(1)[:, 0])[:, :, None, None]
        picture = torch.where((distance < nearest)[:, None], colour, picture)
        nearest = torch.minimum(nearest, distance)
    return brush.worn(picture, 0.1)


def speckle(brush: Brush) -> Tensor:
    return brush.mix((brush.random(SIDE_PX, SIDE_PX) < 0.1 + 0.4 * brush.number()).float())


def plain(brush: Brush) -> Tensor:
    """Nearly nothing: paint, plastic, sky."""
    share = 0.3 * torch.sigmoid(brush.noise(2.5 + brush.random()))
    return brush.worn(brush.mix(share), 0.012)


def islands(brush: Brush) -> Tensor:
    level = 0.6 * torch.randn(brush.n, 1, 1, generator=brush.generator, device=brush.device)
    return brush.worn(brush.mix((brush.noise(0.8 + 1.2 * brush.random()) > level).float()), 0.05)


def writing(brush: Brush) -> Tensor:
    """Lines of dark marks on light, as print has them."""
    lines, marks = (brush.number() * 16).floor() + 8, (brush.number() * 40).floor() + 24
    inked = brush.noise(0.2 * brush.random()) > -0.2
    ink = ((brush.y * lines) % 1 < 0.55) & ((brush.x * marks) % 1 < 0.7) & inked
    block = brush.noise(2 + 0 * brush.random()) > -0.7
    return brush.worn(brush.mix((ink & block).float()), 0.03)


def wood(brush: Brush) -> Tensor:
    bent = brush.noise(1.8 + brush.random()) * 0.25
    rings = (2 * pi * ((4 + 12 * brush.number()).floor() * brush.y + bent * (1 + 4 * brush.number()))).sin()
    return brush.worn(brush.mix(torch.sigmoid(2 * rings + 0.6 * brush.noise(0.5 + 0.5 * brush.random()))), 0.05)


RECIPES: tuple[tuple[Callable[[Brush], Tensor], float], ...] = (
    (clouds, 0.25),
    (dead_leaves, 0.23),
    (stripes, 0.08),
    (tiles, 0.07),
    (cells, 0.08),
    (speckle, 0.05),
    (plain, 0.1),
    (islands, 0.06),
    (writing, 0.04),
    (wood, 0.04),
)
