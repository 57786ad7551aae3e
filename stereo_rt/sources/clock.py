"""When a made-up frame is due on the wall clock."""

from __future__ import annotations

import threading
import time

from ..errors import SourceTimeout

_LATE_S = 0.25


class FrameClock:
    """skips: a reader who is late gets the newest frame, as from a camera; otherwise every frame, as from a recording.

    A recording read after a pause goes on at its own pace instead of rushing to catch up.
    """

    def __init__(self, fps: float, *, skips: bool) -> None:
        self._period_s = 1 / fps
        self._skips = skips
        self._start_s: float | None = None
        self._stopped = threading.Event()

    def wait(self, index: int, timeout_s: float) -> int | None:
        """Returns the index to show once frame `index` is due, None when stopped. Raises SourceTimeout."""
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s - index * self._period_s
        late_s = now_s - self._start_s - index * self._period_s
        if late_s >= 0:
            if self._skips:
                return index + int(late_s / self._period_s)
            if late_s > _LATE_S:
                self._start_s += late_s
            return index
        if self._stopped.wait(min(-late_s, timeout_s)):
            return None
        if -late_s > timeout_s:
            raise SourceTimeout(f"the next frame is due in {-late_s - timeout_s:.2f} s")
        return index

    def stop(self) -> None:
        self._stopped.set()
