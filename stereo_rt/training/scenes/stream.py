"""SceneStream: an endless stream of synthetic pairs, as a network in training sees them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..batch import Batch
from ..chance import generator
from ..crops import Zoom, cut, draw_crop
from ..sensor import sense
from .layout import sample_layout
from .rendering import render
from .textures import make_textures

MARGIN = 1.25  # scenes are that much larger than the crops of them
TEXTURES = 256
AT_ONCE = {"cpu": 1, "cuda": 8}  # scenes to a call of render


class SceneStream:
    """A Stream of crops of a pool of scenes, seen by two imperfect cameras.

    size: (width, height) of the crops. batch: how many. pool: scenes held in memory (about 2 MB each at 512x256).
    fresh: new scenes a step (0.25: one every fourth); the oldest go. textures: a folder of photographs to use beside the
    procedural textures.
    max_disparity_px: the scenes have no more than this; of a crop that was enlarged, what exceeds it is not known.
    zoom: how crops are resized; None in the usual way.

    Scene k is a function of (seed, k), the pool at a step holds the scenes from int(step * fresh) on, and what is drawn from
    it is a function of (seed, step): any step can be asked for, in any order. Raises ConfigError for a folder without
    photographs, ValueError for numbers that make no stream.
    """

    def __init__(
        self,
        size: tuple[int, int] = (512, 256),
        batch: int = 4,
        seed: int = 0,
        device: torch.device | str = "cpu",
        pool: int = 256,
        fresh: float = 1,
        textures: Path | None = None,
        max_disparity_px: float = 192,
        zoom: Zoom | None = None,
    ) -> None:
        if min(batch, pool) < 1 or not 0 <= fresh <= pool or max_disparity_px < 16 or min(size) < 32:
            raise ValueError(f"batch {batch}, pool {pool}, fresh {fresh}, size {size} and {max_disparity_px} px are no stream")
        self.size, self.seed, self.max_disparity_px, self.zoom = size, seed, max_disparity_px, zoom
        self._batch, self._pool, self._fresh, self._device = batch, pool, fresh, torch.device(device)
        self._textures = make_textures(TEXTURES, seed, self._device, textures)
        width, height = self._scene_size = (round(size[0] * MARGIN), round(size[1] * MARGIN))
        self._images = torch.empty(pool, 6, height, width, dtype=torch.uint8, device=self._device)
        self._disparity_px = torch.empty(pool, height, width, device=self._device)
        self._occluded = torch.empty(pool, height, width, dtype=torch.bool, device=self._device)
        self._held = [-1] * pool  # the scene in each place of the pool

    def batch(self, step: int) -> Batch:
        first = int(step * self._fresh)
        self._hold(range(first, first + self._pool))
        chance = generator(self.seed, step)
        crops = [self._crop(chance) for _ in range(self._batch)]
        images, disparity_px, occluded = (torch.stack(field) for field in zip(*crops, strict=True))
        left, right = sense(images[:, :3], images[:, 3:], chance)
        return Batch(left, right, disparity_px.masked_fill(disparity_px > self.max_disparity_px, torch.nan), occluded)

    def _crop(self, chance: torch.Generator) -> tuple[Tensor, ...]:
        place = int(torch.randint(self._pool, (), generator=chance))
        crop = draw_crop(chance, self._scene_size, self.size, self.zoom)
        return cut(crop, self._images[place], self._disparity_px[place], self._occluded[place], self.size)

    def _hold(self, scenes: range) -> None:
        """Renders those of the scenes that the pool does not hold, each in the place of one it no longer needs."""
        missing = [k for k in scenes if self._held[k % self._pool] != k]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # many small operations: two threads take longer than one
        try:
            self._draw(missing)
        finally:
            torch.set_num_threads(threads)

    def _draw(self, missing: list[int]) -> None:
        at_once = AT_ONCE.get(self._device.type, 1)
        for first in range(0, len(missing), at_once):
            some = missing[first : first + at_once]
            layouts = [
                sample_layout(self.seed, k, self._scene_size, self.max_disparity_px, self._textures.deviation) for k in some
            ]
            rendered = render(layouts, self._textures, self._device)
            places = [k % self._pool for k in some]
            self._images[places] = torch.cat(rendered.images, 1).mul(255).round().to(torch.uint8)
            self._disparity_px[places], self._occluded[places] = rendered.disparity_px[0], rendered.occluded[0]
            for place, k in zip(places, some, strict=True):
                self._held[place] = k
