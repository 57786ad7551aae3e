"""Crew: threads that stop together; the first exception among them is kept and raised once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .channels import Closed

log = logging.getLogger(__name__)


class Crew:
    """Starts threads, joins them, and calls on_failure once, on the failing thread, at the first exception."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._aborted = False
        self.failed = False

    def spawn(self, name: str, body: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=self._guarded, args=(body, *args), name=f"stereo_rt {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def ended(self) -> bool:
        """True once threads were started and all have ended."""
        return bool(self._threads) and not any(t.is_alive() for t in self._threads)

    def join(self, timeout_s: float | None = None) -> bool:
        """True once all have ended. Joined in slices: a signal handler runs between them, so Ctrl-C is heard at once."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            while thread.is_alive():
                left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
                if left <= 0:
                    return False
                thread.join(left)
        return True

    def raise_first(self) -> None:
        """Raise the first exception, once."""
        with self._lock:
            error, self._error = self._error, None
        if error is not None:
            raise error

    def end_with(self, error: BaseException) -> None:
        """Raise this in the end, but let the other threads finish what they have."""
        with self._lock:
            if not self.failed:
                self.failed, self._error = True, error

    def _guarded(self, body: Callable[..., None], *args: object) -> None:
        try:
            body(*args)
        except Closed:
            pass  # a neighbour stopped, and tells why
        except BaseException as e:
            self._fail(e)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self.failed:
                log.debug("after the first failure: %r", error)
            else:
                self.failed, self._error = True, error
            if self._aborted:
                return
            self._aborted = True  # after end_with too: neighbours would wait for this thread for ever
        self._on_failure()
