"""The running average of a network's weights: what is evaluated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """net: the average, a network of the same kind that takes no gradients, in eval mode.

    decay: share of the average that a step keeps; less in the first steps, so that the random start is forgotten.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.decay = decay
        self.net = copy.deepcopy(source).eval().requires_grad_(False)
        mine, theirs = self.net.state_dict(), source.state_dict()
        means = [name for name, value in mine.items() if value.is_floating_point()]
        counts = [name for name in mine if name not in set(means)]
        # state_dict shares memory with the network, so these stay what the networks hold.
        self._mine, self._theirs = ([state[name] for name in means] for state in (mine, theirs))
        self._copied = [(mine[name], theirs[name]) for name in counts]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)
        for own, current in self._copied:
            own.copy_(current)
