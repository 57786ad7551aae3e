"""Confidence from many runs: where the answer moves when the network or the images are disturbed, it is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from .base import Evidence, falling

PASSES = 15
DROPOUT = 0.03
"""A network that was trained without bears little: on rendered pairs 0.1 ranks worse, and 0.25 far worse."""
SEED = 0

Disturbance = Callable[[np.ndarray], np.ndarray]


def mc_dropout(evidence: Evidence, passes: int = PASSES) -> np.ndarray:
    """1 / (1 + s), s the standard deviation in px of the disparity over `passes` runs under dropout.

    Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016. A network trained without dropout gets it at test
    time only, on the feature maps inside its residual blocks: the infer-dropout of Mi et al., "Training-free uncertainty
    estimation for dense regression", AAAI 2022.
    """
    network = evidence.network

    import torch

    with torch.random.fork_rng(), dropped_out(network.net):
        torch.manual_seed(SEED)
        return falling(_spread(network(evidence.left, evidence.right).disparity_px for _ in range(passes)))


def test_time_augmentation(evidence: Evidence) -> np.ndarray:
    """1 / (1 + s), s the standard deviation in px of the disparity over the pair as it is and under DISTURBANCES.

    Ayhan and Berens, "Test-time data augmentation for estimation of heteroscedastic aleatoric uncertainty in deep neural
    networks", MIDL 2018.
    """
    left, right = evidence.left, evidence.right

    def seen() -> Iterator[np.ndarray]:
        yield evidence.estimate.disparity_px
        for of_left, of_right in DISTURBANCES:
            yield evidence.matcher(of_left(left), of_right(right)).disparity_px
        upside_down = (np.ascontiguousarray(image[::-1]) for image in (left, right))
        yield evidence.matcher(*upside_down).disparity_px[::-1]

    return falling(_spread(seen()))


def gain(factor: float) -> Disturbance:
    """Brighter or darker; (H, W[, 3]) uint8 to the same."""
    return lambda image: cv2.convertScaleAbs(image, alpha=factor)


def gamma(power: float) -> Disturbance:
    table = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return lambda image: cv2.LUT(image, table)


def same(image: np.ndarray) -> np.ndarray:
    return image


DISTURBANCES: tuple[tuple[Disturbance, Disturbance], ...] = (
    (gain(0.7), gain(0.7)),
    (gamma(0.7), gamma(0.7)),
    (gamma(1.4), gamma(1.4)),
    (gain(0.85), same),
    (same, gain(0.85)),
)
"""What is done to the left and to the right image; both eyes alike, or one alone as when their exposure differs."""


@contextmanager
def dropped_out(net, share: float = DROPOUT) -> Iterator[None]:
    """Drop whole channels of the output of every 3x3 convolution that keeps their number (those of residual blocks)."""
    import torch.nn.functional as F
    from torch import nn

    def drop(module, inputs, output):
        return F.dropout2d(output, share)

    inside = [
        m for m in net.modules() if isinstance(m, nn.Conv2d) and m.in_channels == m.out_channels and m.kernel_size == (3, 3)
    ]
    hooks = [m.register_forward_hook(drop) for m in inside]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _spread(maps: Iterator[np.ndarray]) -> np.ndarray:
    """(H, W) standard deviation over maps (H, W); NaN where any of them has no estimate. Welford's running sums."""
    for count, values in enumerate(maps, 1):
        if count == 1:
            mean, squares = values.astype(np.float64), np.zeros(values.shape)
            continue
        step = values - mean
        mean = mean + step / count
        squares += step * (values - mean)
    return np.sqrt(squares / count)
