"""DatasetStream: random crops of labelled pairs, in an order that depends on nothing but the seed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets import Labelled, Sample
from .batch import Batch
from .chance import generator
from .crops import Crop, cut, draw_crop
from .sensor import Sensor, sense

PHOTOGRAPH = Sensor(
    exposure=0.5, difference=0.5, noise=0.01, blur_px=0.3, vertical_px=0.3, patches=0.2, jpeg=0.1, grey=0.1, good=0.0
)
"""What is added to images that real cameras made already."""
READERS = 8
"""Files that are read at a time, at most."""


class DatasetStream:
    """A Stream of crops (training/crops.py) of labelled pairs, seen through `sensor`.

    size: (width, height) of the crops. batch: how many. Every pair is seen once before any is seen again. A crop of a
    large image covers anything from its own size to the whole image, shrunk, so that its disparities vary as much.
    max_disparity_px: what exceeds it after that counts as not known. weight is None where all labels are trusted fully.
    Raises ValueError when there are no items; batch() raises SourceError for a damaged file.
    """

    def __init__(
        self,
        items: Sequence[Labelled],
        size: tuple[int, int] = (512, 256),
        batch: int = 4,
        seed: int = 0,
        device: torch.device | str = "cpu",
        sensor: Sensor = PHOTOGRAPH,
        max_disparity_px: float = 192,
    ) -> None:
        if not items or batch < 1:
            raise ValueError(f"{len(items)} items in batches of {batch} are no stream")
        self.size, self.seed, self.sensor, self.max_disparity_px = size, seed, sensor, max_disparity_px
        self._items, self._batch, self._device = tuple(items), batch, torch.device(device)
        self._readers = ThreadPoolExecutor(min(batch, READERS), "stereo_rt read")

    def batch(self, step: int) -> Batch:
        first = step * self._batch
        chosen = [self._items[self._place(n)] for n in range(first, first + self._batch)]
        chance = generator(self.seed, step)
        crops = [self._crop(sample, chance) for sample in self._readers.map(Labelled.load, chosen)]
        images, disparity_px, occluded, weight = (torch.stack(field) for field in zip(*crops, strict=True))
        left, right = sense(images[:, :3], images[:, 3:], chance, self.sensor)
        known = disparity_px.masked_fill(disparity_px > self.max_disparity_px, torch.nan)
        return Batch(left, right, known, occluded, None if bool((weight == 1).all()) else weight)

    def _place(self, n: int) -> int:
        """Which item is the n-th, epoch after epoch, each in an order of its own."""
        epoch, place = divmod(n, len(self._items))
        return int(_order(self.seed, epoch, len(self._items))[place])

    def _crop(self, sample: Sample, chance: torch.Generator) -> tuple[Tensor, ...]:
        height, width = sample.truth_px.shape
        most = max(1.0, min(width / self.size[0], height / self.size[1]))
        zoom = most ** float(torch.rand((), generator=chance))
        crop = draw_crop(chance, (width, height), (round(zoom * self.size[0]), round(zoom * self.size[1])))
        rgb = np.concatenate([sample.left[..., ::-1], sample.right[..., ::-1]], 2).transpose(2, 0, 1)
        nobody = np.zeros((height, width), bool)
        marked = nobody if sample.occluded is None else sample.occluded
        pair, truth_px, occluded = (self._tensor(values) for values in (rgb, sample.truth_px, marked))
        images, disparity_px, hidden = cut(crop, pair, truth_px, occluded, self.size)
        if sample.weight is None:
            return images, disparity_px, hidden, torch.ones_like(disparity_px)
        return images, disparity_px, hidden, _cut_weight(crop, self._tensor(sample.weight), self.size)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, items: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(items)


def _cut_weight(crop: Crop, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W) to the crop, each pixel with the weight of the label nearest to it."""
    window = weight[None, None, crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    window = F.interpolate(window, size[::-1], mode="nearest-exact")[0, 0]
    return window.flip(0) if crop.upside_down else window
