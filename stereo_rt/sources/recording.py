"""A recording played as a Source: one pass of a Reel, repeated and paced as asked."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..frames import StereoFrame
from .base import SourceStatus
from .clock import FrameClock

if TYPE_CHECKING:
    from ..calib.rig import StereoRig
    from ..geometry import RectifiedRig


class Reel(Protocol):
    """One pass over recorded pairs. length: pairs expected, None where the container does not say."""

    size: tuple[int, int]
    fps: float | None
    length: int | None

    @property
    def unpaired(self) -> int: ...

    def next(self) -> StereoFrame | None:
        """The next pair, or None at the end. Raises SourceError when frames that should be there cannot be read."""
        ...

    def rewind(self) -> None: ...

    def close(self) -> None: ...


class Recording:
    """realtime: frames come no earlier than their time stamps say. loop: starts again at the end, stamps going on.

    read() may be called from one thread while close() comes from another.
    """

    live = False
    calibration: StereoRig | RectifiedRig | None = None

    def __init__(self, name: str, reel: Reel, *, loop: bool = False, realtime: bool = False) -> None:
        self.name = name
        self.size = reel.size
        self.fps = reel.fps
        self.length = None if loop else reel.length
        self._reel = reel
        self._loop = loop
        self._clock = FrameClock() if realtime else None
        self._lock = threading.Lock()
        self._ended = False
        self._held: StereoFrame | None = None  # read ahead of its time
        self._offset_ns = self._offset_index = 0
        self._first_ns: int | None = None  # stamps of a recording may be of its camera's clock, which began long before
        self._last: StereoFrame | None = None

    @property
    def status(self) -> SourceStatus:
        return SourceStatus("ended" if self._ended else "ok", unpaired=self._reel.unpaired)

    def read(self, timeout_s: float) -> StereoFrame | None:
        frame, self._held = self._held or self._next(), None
        if frame is None:
            self._ended = True
            return None
        if self._clock is not None:
            self._held = frame
            if self._clock.wait_for(frame.stamp_ns / 1e9, timeout_s) is None:
                return None
            self._held = None
        return replace(frame, arrived_ns=time.monotonic_ns())

    def close(self) -> None:
        if self._clock is not None:
            self._clock.stop()
        with self._lock:
            self._ended = True
            self._reel.close()

    def _next(self) -> StereoFrame | None:
        with self._lock:
            if self._ended:
                return None
            frame = self._reel.next()
            if frame is None and self._loop and self._last is not None:
                self._start_again(self._last)
                frame = self._reel.next()
        if frame is None:
            return None
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        self._last = replace(frame, index=frame.index + self._offset_index, stamp_ns=frame.stamp_ns + self._offset_ns)
        return self._last

    def _start_again(self, last: StereoFrame) -> None:
        self._reel.rewind()
        self._offset_index = last.index + 1
        self._offset_ns = last.stamp_ns + round(1e9 / (self.fps or 10.0)) - (self._first_ns or 0)
