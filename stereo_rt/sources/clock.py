"""When a recorded or made-up frame is due on the wall clock."""

from __future__ import annotations

import threading
import time

from ..errors import SourceTimeout

_LATE_S = 0.25


class FrameClock:
    """skips: a reader who is late is told by how much, as with a camera; otherwise no frame is passed over.

    A recording read after a pause goes on at its own pace instead of rushing to catch up.
    """

    def __init__(self, *, skips: bool = False) -> None:
        self._skips = skips
        self._start_s: float | None = None
        self._stopped = threading.Event()

    def wait_for(self, due_s: float, timeout_s: float) -> float | None:
        """Sleep until the frame of time due_s, the first of which is due at once.

        Returns the seconds that a reader who skips is late (else 0), None when stopped. Raises SourceTimeout.
        """
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s - due_s
        late_s = now_s - self._start_s - due_s
        if late_s < 0:
            if self._stopped.wait(min(-late_s, timeout_s)):
                return None
            if -late_s > timeout_s:
                raise SourceTimeout(f"the next frame is due in {-late_s - timeout_s:.2f} s")
            return 0.0
        if self._skips:
            return late_s
        if late_s > _LATE_S:
            self._start_s += late_s
        return 0.0

    def stop(self) -> None:
        self._stopped.set()
