"""Pairs from memory, over and over: what the benchmark and the tests feed the loop with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..calib.rig import StereoRig
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from .base import SourceStatus
from .clock import FrameClock


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
        self._clock = FrameClock(skips=True) if live else None
        self._period_s = 1 / fps
        self.name, self.live, self.length, self.calibration = name, live, length, calibration
        self.fps: float | None = fps
        self.size = frames[0].size
        self.status = SourceStatus()

    def read(self, timeout_s: float) -> StereoFrame | None:
        index = self._next
        if self._clock is not None:
            late_s = self._clock.wait_for(index * self._period_s, timeout_s)
            if late_s is None:
                return None
            index += int(late_s / self._period_s)
        if self.length is not None and index >= self.length:
            self.status = SourceStatus("ended")
            return None
        self._next = index + 1
        frame = self._frames[index % len(self._frames)]
        return replace(frame, index=index, stamp_ns=round(index * self._period_s * 1e9), arrived_ns=time.monotonic_ns())

    def close(self) -> None:
        self.status = SourceStatus("ended")
        if self._clock is not None:
            self._clock.stop()
