"""Calibration of the confidence: a scale and a shift of its logit, so that 0.8 is right in 8 of 10 cases.

Fitted after training and on drawn scenes alone: a network shall not be tuned to the scenes that judge it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.reliability import TARGET_PX, TARGET_RATIO
from ..nets.predictions import StereoNet
from .batch import Batch, Stream

PIXELS = 20_000
"""Taken from each batch, at random: neighbours say the same."""
EPSILON = 1e-6
"""Logits are cut at +-13.8: float32 rounds surer confidences to 1."""


@dataclass(frozen=True)
class Platt:
    """p = sigmoid(gain * x + bias). Platt, "Probabilistic outputs for support vector machines", 1999."""

    gain: float
    bias: float


class Scalable(StereoNet, Protocol):
    """A network whose confidence can be scaled for good."""

    def scale_certainty(self, gain: float, bias: float) -> None: ...


def calibrate(net: Scalable, stream: Stream, first_step: int, batches: int, seed: int = 0) -> Platt:
    """Fit on `batches` batches of the stream from `first_step` on (steps that training never saw), and build it into the net.

    net: in eval mode, on the stream's device. Returns what was built in, on top of an earlier scaling.
    """
    chance = torch.Generator().manual_seed(seed)
    steps = range(first_step, first_step + batches)
    logits, right = zip(*(_claims(net, stream.batch(step), chance) for step in steps), strict=True)
    found = fit_platt(torch.cat(logits), torch.cat(right))
    net.scale_certainty(found.gain, found.bias)
    return found


def fit_platt(logits: Tensor, right: Tensor) -> Platt:
    """logits: (N,) float. right: (N,) bool. The maximum of the likelihood; the gain is held above 0, so ranks stay."""
    x, y = logits.detach().double().cpu(), right.detach().double().cpu()
    log_gain, bias = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.LBFGS([log_gain, bias], max_iter=100, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(log_gain.exp() * x + bias, y)
        value.backward()
        return value

    optimizer.step(loss)
    return Platt(float(log_gain.detach().exp()), float(bias.detach()))


@torch.inference_mode()
def _claims(net: StereoNet, batch: Batch, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """(n,) logits of the confidence at PIXELS pixels with known disparity, and (n,) bool, whether those are right."""
    disparity_px, confidence = (m[:, 0].float() for m in net(batch.left, batch.right))
    known = batch.disparity_px.isfinite()
    truth, estimate, claimed = batch.disparity_px[known], disparity_px[known], confidence[known]
    some = torch.randperm(len(truth), generator=chance)[:PIXELS].to(truth.device)
    right = (estimate - truth).abs() < TARGET_PX + TARGET_RATIO * truth
    return torch.logit(claimed[some], EPSILON).cpu(), right[some].cpu()
