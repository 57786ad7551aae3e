"""Ctrl-C and SIGTERM as a wish that is read between steps, so that no step is left half done."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """Within the block, the first signal is noted in `signum`; a second one acts as it would have done outside.

    Outside the main thread, where signals never arrive, it does nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signum: int | None = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        else:
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self.__exit__()
        self._before = {}
