"""Visibility: which thing a ray meets first, and how far away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import MEETS, Kind
from .tables import Tables

NOTHING = torch.iinfo(torch.int64).max
ON_CPU = 1 << 15  # pairs of ray and thing at once, so that they stay in the cache
ON_GPU = 1 << 23


@dataclass(frozen=True, eq=False)
class Samples:
    """N rays of one eye (0 left, 1 right) through the places x, y (N,) float32 in px of the images of scene (N,) int64."""

    eye: int
    scene: Tensor
    x: Tensor
    y: Tensor

    def take(self, which: Tensor) -> Samples:
        return Samples(self.eye, *(field.index_select(0, which) for field in (self.scene, self.x, self.y)))


@dataclass(frozen=True, eq=False)
class Hits:
    """What N rays meet first: depth (N,) float32 in baselines, infinity for nothing, and thing (N,) int64, -1 for nothing."""

    depth: Tensor
    thing: Tensor

    def take(self, which: Tensor) -> Hits:
        return Hits(self.depth.index_select(0, which), self.thing.index_select(0, which))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of a thing and a sample that may meet: (P,) int64 each. They all have one kind."""

    kind: Kind
    thing: Tensor
    sample: Tensor

    def at(self, some: Tensor) -> Candidates:
        """Those whose sample is marked in some (N,) bool, numbered among the marked ones."""
        kept = some.index_select(0, self.sample).nonzero()[:, 0]
        rank = some.cumsum(0) - 1
        return Candidates(self.kind, self.thing.index_select(0, kept), rank.index_select(0, self.sample.index_select(0, kept)))


def pixel_centres(tables: Tables, eye: int) -> Samples:
    """One ray a pixel, in the order of (scene, y, x)."""
    index = torch.arange(tables.pixels, device=tables.scene.device)
    row = index // tables.width
    return Samples(eye, row // tables.height, (index % tables.width).float(), (row % tables.height).float())


def candidates(tables: Tables, eye: int, kind: Kind) -> Candidates:
    """Every thing of the kind with every pixel of its rectangle; samples are those of pixel_centres."""
    things = (tables.kind == kind).nonzero()[:, 0]
    x0, y0, x1, y1 = tables.rectangles[eye][:, things]
    rows = (y1 - y0) * (x1 > x0)
    owner = torch.repeat_interleave(rows)  # of each row of pixels
    y = y0[owner] + _counting(rows)
    lengths = (x1 - x0)[owner]
    start = (tables.scene[things][owner] * tables.height + y) * tables.width + x0[owner]
    row = torch.repeat_interleave(lengths)
    return Candidates(kind, things[owner].index_select(0, row), start.index_select(0, row) + _counting(lengths))


def _counting(counts: Tensor) -> Tensor:
    """0, 1, ..., counts[0] - 1, 0, 1, ..., counts[1] - 1 and so on."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    return torch.arange(total, device=counts.device) - torch.repeat_interleave(ends - counts, counts, output_size=total)


def first_hits(tables: Tables, samples: Samples, pairs: Iterable[Candidates]) -> Hits:
    """What each of the samples meets first of the things it is paired with."""
    nearest = torch.full(samples.x.shape, NOTHING, device=samples.x.device)
    at_once = ON_CPU if samples.x.device.type == "cpu" else ON_GPU
    for some in pairs:
        for thing, sample in zip(some.thing.split(at_once), some.sample.split(at_once), strict=True):
            depth = _depth(tables, samples, some.kind, thing, sample)
            met = depth.isfinite().nonzero()[:, 0]
            # Positive floats sort like their bits, so one minimum finds the depth and the thing together.
            key = depth.index_select(0, met).view(torch.int32).long() << 32 | thing.index_select(0, met)
            nearest.scatter_reduce_(0, sample.index_select(0, met), key, "amin")
    nothing = nearest == NOTHING
    depth = (nearest >> 32).int().view(torch.float32)
    return Hits(depth.masked_fill(nothing, torch.inf), (nearest & 0xFFFFFFFF).masked_fill(nothing, -1))


def _depth(tables: Tables, samples: Samples, kind: Kind, thing: Tensor, sample: Tensor) -> Tensor:
    rays = tables.rays.index_select(1, thing)
    direction = torch.addcmul(
        torch.addcmul(rays[6:9], rays[0:3], samples.x.index_select(0, sample)), rays[3:6], samples.y.index_select(0, sample)
    )
    origin = tables.origins[samples.eye].index_select(1, thing)
    shape = origin if kind in (Kind.ROOM, Kind.BOX) else tables.shape.index_select(1, thing)
    return MEETS[kind](origin, direction, shape)
