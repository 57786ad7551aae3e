"""The protocol every monocular network follows, and how one is found by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

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


def open_mono(name: str, match: MatchConfig, clone: Path | None = None, checkpoint: Path | None = None) -> MonoNetwork:
    """A shipped monocular network by its name, a FILE.onnx, or an adapter's network by the adapter's name.

    match: its device and threads count here too. clone, checkpoint: of an adapter, see training/adapters.
    Raises ModelError, MissingExtra, UsageError.
    """
    from .onnx import OnnxMono

    return OnnxMono(name, match)
