"""Pairs from memory, over and over: what the benchmark and the tests feed the loop with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..calib.rig import StereoRig
from ..errors import SourceTimeout
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from .base import SourceStatus


class MemorySource:
    """Repeats `frames` until `length` pairs were delivered; None repeats for ever.

    live: paced at `fps` on the wall clock; a frame nobody was in time for is skipped, as a camera would.
    """

    def __init__(
        self,
        frames: Sequence[StereoFrame],
        *,
        calibration: StereoRig | RectifiedRig | None = None,
        length: int | None = None,
        live: bool = False,
        fps: float = 30.0,
        name: str = "memory",
    ) -> None:
        if not frames:
            raise ValueError("a memory source needs at least one frame")
        self._frames = list(frames)
        self._next = 0
        self._start_ns = 0
        self.name, self.live, self.fps, self.length, self.calibration = name, live, fps, length, calibration
        self.size = frames[0].size
        self.status = SourceStatus()

    def read(self, timeout_s: float) -> StereoFrame | None:
        index = self._wait_for_next(timeout_s) if self.live else self._next
        if self.length is not None and index >= self.length:
            self.status = SourceStatus("ended")
            return None
        self._next = index + 1
        frame = self._frames[index % len(self._frames)]
        stamp_ns = round(index * 1e9 / (self.fps or 30.0))
        return replace(frame, index=index, stamp_ns=stamp_ns, arrived_ns=time.monotonic_ns())

    def close(self) -> None:
        self.status = SourceStatus("ended")

    def _wait_for_next(self, timeout_s: float) -> int:
        """Sleep until a frame is due and return its index: the newest one whose time has come."""
        now_ns = time.monotonic_ns()
        self._start_ns = self._start_ns or now_ns
        period_ns = 1e9 / (self.fps or 30.0)
        index = max(self._next, int((now_ns - self._start_ns) / period_ns))
        wait_s = (self._start_ns + index * period_ns - now_ns) / 1e9
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            raise SourceTimeout(f"{self.name}: no frame within {timeout_s:g} s")
        if wait_s > 0:
            time.sleep(wait_s)
        return index
