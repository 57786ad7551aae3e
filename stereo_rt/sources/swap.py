"""The one place where the eyes are exchanged (--swap), whatever the source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..frames import StereoFrame
from .base import Source


class Swapped:
    """A source with left and right exchanged; everything else is the source's own."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, timeout_s: float) -> StereoFrame | None:
        frame = self._source.read(timeout_s)
        if frame is None:
            return None
        return replace(
            frame,
            left=frame.right,
            right=frame.left,
            stamp_ns=frame.stamp_ns + frame.skew_ns,
            skew_ns=-frame.skew_ns,
        )
