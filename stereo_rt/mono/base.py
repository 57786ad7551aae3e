"""The protocol every monocular network follows, and how one is found by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from ..config import MatchConfig


@runtime_checkable
class MonoNetwork(Protocol):
    """Says from one image what is nearer than what.

    left: (H, W, 3) uint8 BGR of any size. Returns (H, W) float32 relative inverse depth on the image's own grid: larger
    is nearer; scale and shift are unknown and may change from image to image. One thread calls; close() from the same.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, left: np.ndarray) -> np.ndarray: ...

    def close(self) -> None: ...


def bgr(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 BGR of that or of (H, W) grey."""
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


class OfDepth:
    """A MonoNetwork of a network that says depth, up to a scale; NaN where it says none."""

    def __init__(self, network: MonoNetwork) -> None:
        self._network, self.name, self.close = network, network.name, network.close

    def __call__(self, left: np.ndarray) -> np.ndarray:
        depth = self._network(left)
        return np.divide(1, depth, out=np.full_like(depth, np.nan), where=depth > 0)


def open_mono(
    name: str, match: MatchConfig, clone: Path | None = None, checkpoint: Path | None = None, says: str = "inverse_depth"
) -> MonoNetwork:
    """A shipped monocular network by its name, a FILE.onnx, or another project's by the name of its adapter.

    match: its device and threads count here too. clone, checkpoint: what an adapter needs, see training/adapters. says: as
    PostConfig.mono_says. Raises ModelError, MissingExtra, UsageError.
    """
    network = _open(name, match, clone, checkpoint)
    return OfDepth(network) if says == "depth" else network


def _open(name: str, match: MatchConfig, clone: Path | None, checkpoint: Path | None) -> MonoNetwork:
    from ..training.adapters import MONO, open_adapter

    if name in MONO:
        return open_adapter(name, clone, checkpoint, match.device)
    from .onnx import OnnxMono

    return OnnxMono(name, match)
