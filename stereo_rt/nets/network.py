"""Network: what the networks beside the student have in common. Needs torch (the extra [train])."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import fold
from .predictions import Predictions


class Network(nn.Module):
    """forward(left, right): each (B, 3, H, W) float RGB in [0, 1], H and W multiples of multiple_px.

    Returns disparity in px (x_right = x_left - d) and confidence in (0, 1), each (B, 1, H, W).
    """

    multiple_px = 32
    grid = (640, 480)
    """(width, height) of the input that it is meant for; it takes any."""
    others: tuple[tuple[int, int], ...] = ()
    """The same for frames of other shapes, where it has some."""
    max_disparity_px = 192
    has_distributions = True
    """Of disparities; False for a network that regresses them."""

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        """Each network's own; with a certainty."""
        raise NotImplementedError

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        found = self.predict(left, right)
        assert found.certainty is not None
        return found.disparity_px, torch.sigmoid(found.certainty.float())

    def bounded(self, x: Tensor) -> Tensor:
        """Any numbers -> disparities in (0, max_disparity_px), for a network that regresses them; 0 is an eighth of it, about
        where the disparities of most scenes lie."""
        return self.max_disparity_px * torch.sigmoid(x.float() - 2)

    def folded(self) -> Network:
        """Itself, for inference: batch norms folded into their convolutions. In place."""
        self.eval()
        fold(self)
        return self
