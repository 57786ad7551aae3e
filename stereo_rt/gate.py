"""Gate: lets frames through, one at a time while paused, none once stopped."""

from __future__ import annotations

import threading


class Gate:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._steps = 0
        self._stopped = False

    @property
    def paused(self) -> bool:
        return self._paused

    @paused.setter
    def paused(self, value: bool) -> None:
        with self._changed:
            self._paused, self._steps = value, 0
            self._changed.notify_all()

    def step(self) -> None:
        """Let one frame through while paused."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait_open(self) -> bool:
        """Block while paused without a step to take. True when a frame may be read, False when stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._paused or self._steps > 0)
            return not self._stopped

    def admit(self, wait: bool) -> bool:
        """Whether a frame that was read goes on: always, but while paused only on a step, which it uses up.

        wait: until it does, or all is stopped, for one that does not come again.
        """
        with self._changed:
            self._changed.wait_for(lambda: not wait or self._stopped or not self._paused or self._steps > 0)
            if not self._paused:
                return True
            if not self._steps:
                return False
            self._steps -= 1
            return True
