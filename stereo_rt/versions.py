"""Versioned: something that changes, and threads that wait for it to have changed."""

from __future__ import annotations

import threading


class Versioned:
    """A number that grows with every change. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._version = 0
        self._changed = threading.Condition()

    @property
    def version(self) -> int:
        """Grows whenever the picture has to be drawn anew."""
        return self._version

    def wait(self, seen: int, timeout_s: float) -> int:
        """Block until the picture is newer than version `seen`, or for timeout_s; returns the version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout_s)
            return self._version

    def touch(self) -> int:
        """Wake whoever waits, as if the picture had changed; returns the new version."""
        with self._changed:
            self._bump()
            return self._version

    def _bump(self) -> None:
        self._version += 1
        self._changed.notify_all()
