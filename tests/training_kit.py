"""For tests of training: a network and a stream of next to no size, and a folder of labelled pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stereo_rt.nets.predictions import Distribution, Predictions
from stereo_rt.sinks.files import write_pfm
from stereo_rt.training.batch import Batch
from stereo_rt.training.chance import generator


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are slower on several threads; and the order of a sum depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TinyNet(nn.Module):
    """Has what a run must keep: convolutions, a batch norm and its counter, dropout, which draws from torch's own state."""

    multiple_px, max_disparity_px = 4, 16

    def __init__(self, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Conv2d(6, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout2d(dropout)
        self.scores = nn.Conv2d(8, 17, 3, padding=1)
        self.certainty = nn.Conv2d(8, 1, 1)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        x = self.dropout(F.relu(self.norm(self.features(torch.cat([left, right], 1)))))
        logits = self.scores(x).float()
        bins = torch.arange(16, -1, -1).view(1, -1, 1, 1)
        coarse = (torch.softmax(logits, 1) * bins).sum(1, keepdim=True)
        full, certainty = (F.interpolate(m.float(), scale_factor=2.0) for m in (coarse, self.certainty(x)))
        return Predictions(full, certainty, (coarse,), (Distribution(logits, 1.0),))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        found = self.predict(left, right)
        assert found.certainty is not None
        return found.disparity_px, torch.sigmoid(found.certainty)


class TinyStream:
    """Stripes of noise, shifted by a disparity of 0 to 12 px that the brightness tells; unknown at the left border."""

    def __init__(self, batch: int = 2, seed: int = 0, size: tuple[int, int] = (32, 16)) -> None:
        self.batch_size, self.seed, self.size = batch, seed, size

    def batch(self, step: int) -> Batch:
        chance = generator(self.seed, step)
        width, height = self.size
        shift = torch.randint(0, 13, (self.batch_size,), generator=chance)
        left = 0.1 * torch.rand(self.batch_size, 3, height, width, generator=chance) + shift.view(-1, 1, 1, 1) / 13
        right = torch.stack([image.roll(-int(d), 2) for image, d in zip(left, shift, strict=True)])
        disparity = shift.view(-1, 1, 1).expand(-1, height, width).float().clone()
        disparity[:, :, :2] = torch.nan
        return Batch(left, right, disparity, torch.zeros_like(disparity, dtype=torch.bool))


def write_pairs(folder: Path, number: int = 4, size: tuple[int, int] = (96, 64)) -> Path:
    """Pairs in our own layout: noise, shifted by a disparity of its own each."""
    for n in range(number):
        scene = folder / f"pair{n}"
        scene.mkdir(parents=True)
        chance = np.random.default_rng(n)
        texture = chance.integers(0, 256, (size[1], size[0] + 16, 3), np.uint8)
        disparity = 3 + 2 * n
        cv2.imwrite(str(scene / "left.png"), texture[:, : size[0]])
        cv2.imwrite(str(scene / "right.png"), texture[:, disparity : disparity + size[0]])
        write_pfm(scene / "disp.pfm", np.full(size[::-1], disparity, np.float32))
        encoding = {"file": "disp.pfm", "scale": 1.0, "invalid": "inf", "offset": 0.0}
        (scene / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    return folder
