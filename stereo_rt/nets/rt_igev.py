"""An iterative network in the manner of RT-IGEV: a first estimate from a geometry volume, then a few recurrent corrections.

After Xu, Wang, Ding and Yang, "Iterative geometry encoding volume for stereo matching", CVPR 2023, and IGEV++ (Xu et al.,
2024), whose real-time form this follows: the volume is filtered by a two-dimensional hourglass, and a convolutional GRU
(Teed and Deng, "RAFT", ECCV 2020) at 1/4 reads it around its own estimate. Reading is a gather along the bins, which every
runtime has, where the papers sample a grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import channels, correlate, prepare
from .layers import ConvNorm, Hourglass, halving
from .network import Network
from .predictions import Distribution, Predictions
from .upsample import Lift

BIN_PX = 4
ITERATIONS = 4
RADIUS = 4
"""Bins to either side of the estimate that a correction sees; twice as far in the pooled volume."""
HIDDEN = 28


class RtIgev(Network):
    def __init__(self) -> None:
        super().__init__()
        self.bins = self.max_disparity_px // BIN_PX
        self.enter = nn.Sequential(ConvNorm(4, 16, 3, 2), halving(16, 32))
        self.encoder = Hourglass((32, 48, 64))
        self.descriptor = nn.Conv2d(32, 32, 1)
        self.aggregate = nn.Sequential(ConvNorm(self.bins + 32, 32), Hourglass((32, 64, 96)))
        self.correction = nn.Conv2d(32, self.bins, 1)
        self.correlation_gain = nn.Parameter(torch.tensor(10.0))
        self.start = nn.Conv2d(32, HIDDEN, 1)
        self.update = Update(context=32)
        self.lift = Lift(HIDDEN, BIN_PX)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        features = self.encoder(self.enter(prepare(torch.cat([left, right]))))[0]
        volume = channels(correlate(self.descriptor(features), self.bins, groups=1))
        own = features.chunk(2)[0]
        quarter, *_, deepest = self.aggregate(torch.cat([volume, own], 1))
        matching = volume * self.correlation_gain
        geometry = self.correction(quarter).float() + matching
        scores = Distribution(geometry, BIN_PX)
        estimates = [scores.mean_px() / BIN_PX]  # in bins

        pooled = geometry.unflatten(1, (-1, 2)).mean(2)
        hidden, gates = torch.tanh(self.start(quarter)), self.update.context(quarter)
        for _ in range(ITERATIONS):
            place = estimates[-1].detach()
            # A pooled bin is two, and its middle lies between them.
            seen = [around(geometry, place, RADIUS), around(pooled, (place - 0.5) / 2, RADIUS), place]
            hidden, change = self.update(hidden, gates, torch.cat(seen, 1))
            estimates.append(place + change)
        full, certainty = self.lift(estimates[-1] * BIN_PX, hidden)
        coarse = tuple(estimate * BIN_PX for estimate in reversed(estimates))
        distributions = (scores, Distribution(matching, BIN_PX, matching_only=True))
        return Predictions(full, certainty, coarse, distributions, (own, deepest))


class Update(nn.Module):
    """A convolutional GRU. What the context adds to its gates is the same each time, so it is computed once."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = nn.Conv2d(context, 3 * HIDDEN, 3, padding=1)
        self.read = nn.Sequential(
            nn.Conv2d(2 * (2 * RADIUS + 1) + 1, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1), nn.ReLU()
        )
        self.gates = nn.Conv2d(2 * HIDDEN, 2 * HIDDEN, 3, padding=1)
        self.candidate = nn.Conv2d(2 * HIDDEN, HIDDEN, 3, padding=1)
        self.change = nn.Conv2d(HIDDEN, 1, 3, padding=1)

    def forward(self, hidden: Tensor, context: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The next hidden state, and the correction of the estimate in bins."""
        keep, reset, new = context.chunk(3, 1)
        read = self.read(seen)
        more_keep, more_reset = self.gates(torch.cat([hidden, read], 1)).chunk(2, 1)
        keep, reset = torch.sigmoid(keep + more_keep), torch.sigmoid(reset + more_reset)
        new = torch.tanh(new + self.candidate(torch.cat([reset * hidden, read], 1)))
        hidden = new + keep * (hidden - new)
        return hidden, self.change(F.relu(hidden)).float()


def around(scores: Tensor, place: Tensor, radius: int) -> Tensor:
    """Scores of the bins about an estimate: (B, bins, h, w), the largest disparity first, at (B, 1, h, w) in bins.

    Returns (B, 2 * radius + 1, h, w) at place + radius ... place - radius, linearly between bins; the last ones repeat.
    """
    bins = scores.shape[1]
    channel = bins - 1 - place.float()
    before = channel.floor()
    steps = torch.arange(-radius, radius + 2, device=scores.device, dtype=torch.float32).view(1, -1, 1, 1)
    found = scores.gather(1, (before + steps).clamp(0, bins - 1).long())
    return found[:, :-1] + (found[:, 1:] - found[:, :-1]) * (channel - before)
