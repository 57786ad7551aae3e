"""Batch: what every source of training data gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """B rectified pairs with what is known of them, all on one device.

    left, right: (B, 3, H, W) float32 RGB in [0, 1].
    disparity_px: (B, H, W) float32 of the left image, x_right = x_left - d; NaN where it is not known.
    occluded: (B, H, W) bool, True where the right eye does not see the point (False where nobody knows).
    weight: (B, H, W) float32 in [0, 1], how far a label is to be trusted; None for exact ones.
    """

    left: Tensor
    right: Tensor
    disparity_px: Tensor
    occluded: Tensor
    weight: Tensor | None = None


class Stream(Protocol):
    """An endless source of batches. A batch depends on the step and on what the stream was made with, on nothing else:
    that is what makes a run that was interrupted end like one that was not."""

    def batch(self, step: int) -> Batch: ...
