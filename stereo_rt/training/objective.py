"""Objective: from a batch to the number that is minimised; a module of its own, so that several processes can share it."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ..devices import fast_bf16
from ..nets.predictions import StereoNet
from .batch import Batch
from .losses import training_loss
from .recipe import Recipe


class ExtraTerm(Protocol):
    """A further term of the loss, such as distillation's: an nn.Module, whose parameters are trained along."""

    def __call__(self, net: StereoNet, ema: StereoNet, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(what to add to the loss, its parts for the curves)."""
        ...


class Objective(nn.Module):
    """forward(batch, ema, step) -> (loss, the terms for the curves). Passes run in bf16 where the recipe and the hardware
    have it, the losses in FP32."""

    def __init__(self, net: nn.Module, recipe: Recipe, device: torch.device, extra: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.extra = net, extra
        self._predict = cast(StereoNet, net).predict
        self._recipe, self._device = recipe, device
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and fast_bf16(device))

    def forward(self, batch: Batch, ema: nn.Module, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bf16):
            predictions = self._predict(batch.left, batch.right)
        loss, terms = training_loss(predictions, batch, self._recipe.loss, step / self._recipe.steps)
        if self.extra is not None:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bf16):
                more, parts = self.extra(self.net, ema, step)
            loss = loss + more.float()
            terms |= {f"extra_{name}": value.detach() for name, value in parts.items()}
        return loss, terms
