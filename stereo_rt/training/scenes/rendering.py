"""Rendering: layouts to pairs of images and their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import Layout
from .materials import MOSTLY
from .shading import colours
from .shapes import Kind
from .tables import Tables, tabulate
from .textures import Textures
from .truth import edges, occluded
from .visibility import Candidates, Hits, Samples, candidates, first_hits, pixel_centres

SUBPIXELS_PX = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass(frozen=True, eq=False)
class Rendered:
    """B pairs, each field a pair of left and right. images: (B, 3, H, W) float32 linear colours in [0, 1].
    disparity_px: (B, H, W) float32, x_right = x_left - d for both. occluded: (B, H, W) bool, what the other eye does not
    see. The truth is of the surface at the pixel's centre; where a pane is before it, of whichever of the two gives most
    of the light."""

    images: tuple[Tensor, Tensor]
    disparity_px: tuple[Tensor, Tensor]
    occluded: tuple[Tensor, Tensor]


def render(layouts: Sequence[Layout], textures: Textures, device: torch.device | str = "cpu") -> Rendered:
    """Pairs of the scenes, antialiased: pixels at edges are the mean of four rays, all others of one."""
    tables = tabulate(layouts, device)
    (left, left_px), (right, right_px) = (_view(tables, textures, eye) for eye in (0, 1))
    return Rendered((left, right), (left_px, right_px), occluded(left_px, right_px))


def trace(tables: Tables, samples: Samples, pairs: Sequence[Candidates]) -> tuple[Hits, Hits]:
    """What is behind all panes, and the nearest pane before it (or nothing), for each of the samples."""
    behind = first_hits(tables, samples, [some for some in pairs if some.kind != Kind.PANE])
    pane = first_hits(tables, samples, [some for some in pairs if some.kind == Kind.PANE])
    hidden = pane.depth >= behind.depth
    return behind, Hits(pane.depth.masked_fill(hidden, torch.inf), pane.thing.masked_fill(hidden, -1))


def look(tables: Tables, textures: Textures, samples: Samples, behind: Hits, pane: Hits) -> Tensor:
    """(N, 3) the colours of what was traced."""
    colour = colours(tables, textures, samples, behind)
    glazed = (pane.thing >= 0).nonzero()[:, 0]
    if len(glazed):
        opacity = tables.looks["opacity"][pane.thing[glazed], None]
        colour[glazed] = torch.lerp(colour[glazed], colours(tables, textures, samples.take(glazed), pane.take(glazed)), opacity)
    return colour


def seen(tables: Tables, behind: Hits, pane: Hits) -> Hits:
    """The surfaces that the truth is of."""
    solid = (pane.thing >= 0) & (tables.looks["opacity"][pane.thing] > MOSTLY)
    return Hits(torch.where(solid, pane.depth, behind.depth), torch.where(solid, pane.thing, behind.thing))


def _view(tables: Tables, textures: Textures, eye: int) -> tuple[Tensor, Tensor]:
    """The image (B, 3, H, W) and the disparity (B, H, W) of one eye."""
    pairs = [candidates(tables, eye, kind) for kind in Kind]
    samples = pixel_centres(tables, eye)
    behind, pane = trace(tables, samples, pairs)
    hits = seen(tables, behind, pane)
    size = (tables.scenes, tables.height, tables.width)
    disparity_px = (tables.focal_px[samples.scene] / hits.depth).view(size)
    edge = edges(disparity_px, (behind.thing * len(tables.kind) + pane.thing).view(size)).flatten()
    colour = torch.empty(tables.pixels, 3, device=edge.device)
    inner, rim = (~edge).nonzero()[:, 0], edge.nonzero()[:, 0]
    colour[inner] = look(tables, textures, samples.take(inner), behind.take(inner), pane.take(inner))
    at_rim = [some.at(edge) for some in pairs]
    mean = torch.zeros(len(rim), 3, device=edge.device)
    for dx, dy in SUBPIXELS_PX:
        ray = Samples(eye, samples.scene[rim], samples.x[rim] + dx, samples.y[rim] + dy)
        mean += look(tables, textures, ray, *trace(tables, ray, at_rim)) / len(SUBPIXELS_PX)
    colour[rim] = mean
    return colour.view(*size, 3).permute(0, 3, 1, 2).contiguous(), disparity_px
