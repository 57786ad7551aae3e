"""The protocol every matcher follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ..frames import Disparity
from .grid import suited


@dataclass(frozen=True)
class MatcherSpec:
    """What a matcher is.

    width, height: the network's fixed input grid in pixels; None when it works on any size as it comes.
    max_disparity_px: the largest disparity it can find, on the grid it takes.
    others: (width, height) of more grids, for frames of other shapes, which would leave a part of the first one empty.
    """

    name: str
    backend: str
    width: int | None
    height: int | None
    max_disparity_px: float
    has_confidence: bool
    sha256: str | None = None
    others: tuple[tuple[int, int], ...] = ()

    def grid_for(self, frame_size: tuple[int, int]) -> tuple[int, int] | None:
        """(width, height) of the grid that frames of this size are brought to; None when they stay as they are."""
        if self.width is None or self.height is None:
            return None
        return suited(frame_size, (self.width, self.height), self.others)


@runtime_checkable
class Matcher(Protocol):
    """Turns a rectified pair into a disparity map on the pair's own grid.

    left, right: (H, W, 3) uint8 BGR or (H, W) uint8 of any one size. Resizing to the network's grid and back,
    with the values scaled by the width, happens inside (grid.py). One thread calls; close() from the same thread.
    """

    @property
    def spec(self) -> MatcherSpec: ...

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity: ...

    def close(self) -> None: ...


@runtime_checkable
class Preparing(Protocol):
    """What a matcher offers as well when frames of some size need something that is not open yet."""

    def prepare(self, frame_size: tuple[int, int]) -> None:
        """Get ready for frames of this size (width, height), so that the first takes no longer than the others."""
        ...


@runtime_checkable
class NetworkTimer(Protocol):
    """What a matcher offers as well when it can time its network by itself."""

    def network_ms(self, repeats: int) -> list[float]:
        """Milliseconds of each of `repeats` runs on inputs that lie ready: no resizing, no conversion, no copies."""
        ...
