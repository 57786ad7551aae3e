"""The strong view of a pair: what two poor, unequal cameras would have made of it, part of the right one covered.

The geometry stays, so that labels stay true and a network can be asked to say what it says of the clean pair.
"""

from __future__ import annotations

from torch import Tensor

from .chance import generator
from .sensor import Sensor, sense

STRONG = Sensor(
    exposure=1.0, difference=2.0, noise=0.06, blur_px=1.5, vertical_px=0.0, patches=0.5, jpeg=0.4, grey=0.3, good=0.0
)


def strong_view(left: Tensor, right: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """left, right: (B, 3, H, W) RGB in [0, 1] -> the same shape and range, a function of the arguments alone."""
    return sense(left, right, generator(seed, step), STRONG)
