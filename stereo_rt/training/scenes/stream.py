"""SceneStream: an endless stream of synthetic pairs, as a network in training sees them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from ..batch import Batch
from ..chance import generator
from ..crops import Zoom, cut, draw_crop, draw_enlarged, mirrored
from ..sensor import sense
from .layout import sample_layout
from .rendering import Rendered, render
from .textures import make_textures

MARGIN = 1.25  # scenes are that much larger than the crops of them
TEXTURES = 256
AT_ONCE = {"cuda": 8}  # scenes to a call of render, one elsewhere; a CPU makes so many calls at a time as it has cores


class SceneStream:
    """A Stream of crops of a pool of scenes, seen by two imperfect cameras.

    size: (width, height) of the crops. batch: how many. pool: scenes held in memory (about 3 MB each at 512x256).
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
        self.size, self.seed, self.max_disparity_px, self.zoom = size, seed, max_disparity_px, zoom or Zoom()
        self._batch, self._pool, self._fresh, self._device = batch, pool, fresh, torch.device(device)
        self._textures = make_textures(TEXTURES, seed, self._device, textures)
        width, height = self._scene_size = (round(size[0] * MARGIN), round(size[1] * MARGIN))
        self._at_once = AT_ONCE.get(self._device.type, 1)
        self._workers = torch.get_num_threads() if self._device.type == "cpu" else 1
        # Some are drawn before their step, so that they can be drawn together.
        places = pool + self._at_once * self._workers - 1
        self._images = torch.empty(places, 6, height, width, dtype=torch.uint8, device=self._device)
        self._disparity_px = torch.empty(places, 2, height, width, device=self._device)
        self._occluded = torch.empty(places, 2, height, width, dtype=torch.bool, device=self._device)
        self._held = [-1] * places  # the scene in each of them

    def batch(self, step: int) -> Batch:
        first = int(step * self._fresh)
        self._hold(first)
        chance = generator(self.seed, step)
        crops = [self._crop(first, chance) for _ in range(self._batch)]
        images, disparity_px, occluded = (torch.stack(field) for field in zip(*crops, strict=True))
        seen = torch.cat(sense(images[:, :3], images[:, 3:], chance), 1)
        for i in range(self._batch):
            window = draw_enlarged(chance, self.size, self.zoom.enlarged)
            if window is not None:
                pixels = seen[i].mul(255).round().to(torch.uint8)
                seen[i], disparity_px[i], occluded[i] = cut(window, pixels, disparity_px[i], occluded[i], self.size)
        known_px = disparity_px.masked_fill(disparity_px > self.max_disparity_px, torch.nan)
        return Batch(seen[:, :3], seen[:, 3:], known_px, occluded)

    def _crop(self, first: int, chance: torch.Generator) -> tuple[Tensor, ...]:
        scene = first + (int(torch.randint(self._pool, (), generator=chance)) - first) % self._pool
        crop = draw_crop(chance, self._scene_size, self.size, self.zoom)
        place, eye = scene % len(self._held), int(torch.randint(2, (), generator=chance))
        pair = self._images[place], self._disparity_px[place, eye], self._occluded[place, eye]
        return cut(crop, *(mirrored(*pair) if eye else pair), self.size)

    def _hold(self, first: int) -> None:
        """Draws the scenes of the pool from `first` on that are missing, and with them some that are next."""
        if not self._missing(range(first, first + self._pool)):
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # many small operations: two threads take longer than one, but two scenes are drawn at once
        try:
            self._draw(self._missing(range(first, first + len(self._held) if self._fresh else first + self._pool)))
        finally:
            torch.set_num_threads(threads)

    def _missing(self, scenes: Iterable[int]) -> list[int]:
        return [k for k in scenes if self._held[k % len(self._held)] != k]

    def _draw(self, missing: list[int]) -> None:
        parts = [missing[first : first + self._at_once] for first in range(0, len(missing), self._at_once)]
        with ThreadPoolExecutor(self._workers) as pool:
            drawn = (pool.map if self._workers > 1 else map)(self._rendered, parts)
            for scenes, rendered in zip(parts, drawn, strict=True):
                places = [k % len(self._held) for k in scenes]
                self._images[places] = torch.cat(rendered.images, 1).mul(255).round().to(torch.uint8)
                self._disparity_px[places] = torch.stack(rendered.disparity_px, 1)
                self._occluded[places] = torch.stack(rendered.occluded, 1)
                for place, k in zip(places, scenes, strict=True):
                    self._held[place] = k

    def _rendered(self, scenes: list[int]) -> Rendered:
        deviation = self._textures.deviation
        layouts = [sample_layout(self.seed, k, self._scene_size, self.max_disparity_px, deviation) for k in scenes]
        return render(layouts, self._textures, self._device)
