"""Drawn scenes that train nobody, to judge on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from ..evaluation.metrics import error_rates, mean_of
from .batch import Batch
from .scenes import SceneStream

SEED = 777_777


@lru_cache(maxsize=1)
def held_out(
    size: tuple[int, int], batch: int, number: int, device: torch.device, max_disparity_px: float = 192
) -> tuple[Batch, ...]:
    """Batches of scenes that are always the same for the same arguments, each scene seen once; drawing them takes longer
    than judging on them, so the latest are kept. size: (width, height)."""
    stream = SceneStream(size, batch, SEED, device, pool=batch, fresh=batch, max_disparity_px=max_disparity_px)
    return tuple(stream.batch(step) for step in range(number))


@torch.inference_mode()
def drawn_figures(net: nn.Module, batches: Sequence[Batch]) -> dict[str, Any]:
    """Mean figures of a network in eval mode over the pixels that both eyes see."""
    figures = []
    for batch in batches:
        found = net(batch.left, batch.right)[0][:, 0].float().cpu().numpy()
        figures.append(error_rates(batch.disparity_px.cpu().numpy(), found, ~batch.occluded.cpu().numpy()))
    return mean_of([each for each in figures if each]) or {}
