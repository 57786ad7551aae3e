"""Completion: what pretraining minimises; and the same figure on scenes that trained nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...devices import fast_bf16
from ..batch import Batch
from ..chance import generator
from ..judge import Judge
from ..recipe import PretrainRecipe, Recipe
from .puzzle import errors, pose

MASKS = 2_000_000
"""Beside the numbers that training/streams.py draws its own samples by."""


class Completion(nn.Module):
    """As objective.Objective: forward(batch, ema, step) -> (loss, {}). The masks are a function of seed and step."""

    def __init__(self, net: nn.Module, recipe: Recipe, asked: PretrainRecipe, device: torch.device, seed: int) -> None:
        super().__init__()
        self.net = net
        self._asked, self._device, self._seed = asked, device, seed
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and fast_bf16(device))

    def forward(self, batch: Batch, ema: nn.Module, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        puzzle = pose(batch, self._asked, generator(self._seed, MASKS, step))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bf16):
            said = self.net(puzzle.left, puzzle.right)
        return errors(said, batch.left, puzzle.hidden, self._asked).mean(), {}


def judge_completion(batches: Sequence[Batch], asked: PretrainRecipe) -> Judge:
    """error: the loss on these batches, with masks that are always the same. misplaced: the same with each right image
    rolled by half its width, so that its rows show the same things but never where they belong; what this is worse by is
    what the network knows by correspondence. left_only has no such figure."""

    def judge(net: nn.Module) -> dict[str, float]:
        found = {"error": float(held_out_errors(net, batches, asked).mean())}
        if not asked.left_only:
            rolled = [replace(batch, right=batch.right.roll(batch.right.shape[3] // 2, 3)) for batch in batches]
            found["misplaced"] = float(held_out_errors(net, rolled, asked).mean())
        return found

    return judge


@torch.inference_mode()
def held_out_errors(net: nn.Module, batches: Sequence[Batch], asked: PretrainRecipe) -> Tensor:
    """(N,) on the CPU: the error of each pair of these batches, with masks that are always the same."""
    found = []
    for number, batch in enumerate(batches):
        puzzle = pose(batch, asked, generator(MASKS, number))
        found.append(errors(net(puzzle.left, puzzle.right), batch.left, puzzle.hidden, asked))
    return torch.cat(found).cpu()
