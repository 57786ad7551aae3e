"""Encoder: draws and compresses each watched pane once a frame, however many watch it, and not at all when nobody does.

A watcher takes the newest picture when it is ready for one. A slow watcher therefore misses pictures; it never has a
queue, and it never slows the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from ..versions import Versioned

log = logging.getLogger(__name__)

MAX_FPS = 30
"""Pictures a second at most: a browser shows no more, and each costs a few milliseconds of the processor."""


class Encoder:
    """Encodes on a thread of its own; `next` is awaited on the event loop that `start` is given.

    pictures: its version grows with every new picture. encode: the JPEG of a pane by name, None when there is none yet.
    """

    def __init__(self, pictures: Versioned, encode: Callable[[str], bytes | None]) -> None:
        self._shown, self._encode = pictures, encode
        self._waiting: Counter[str] = Counter()
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._trouble = ""
        self._fresh = asyncio.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="stereo_rt jpeg", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        """End every `next`; call it on the event loop."""
        self._closing = True
        self._wake()
        self._shown.touch()

    async def next(self, pane: str, seen: int) -> tuple[int, bytes] | None:
        """The newest (version, JPEG) of a pane, once it is newer than version `seen`; None when closing.

        Only panes that somebody waits for at this moment are drawn.
        """
        self._waiting[pane] += 1
        try:
            newest = self._shown.version
            if newest != seen:
                newest = self._shown.touch()
            while not self._closing:
                fresh = self._fresh
                version, jpeg = self._pictures.get(pane, (-1, b""))
                if version >= newest and version != seen:
                    return version, jpeg
                await fresh.wait()
            return None
        finally:
            self._waiting[pane] -= 1

    def _run(self) -> None:
        version = -1
        while not self._closing:
            started_s = time.monotonic()
            seen, version = version, self._shown.wait(version, 0.5)
            wanted = [pane for pane, waiters in list(self._waiting.items()) if waiters]
            if version != seen and wanted:
                for pane in wanted:
                    if (jpeg := self._drawn(pane)) is not None:
                        self._pictures[pane] = version, jpeg
                with contextlib.suppress(RuntimeError):  # the event loop has ended
                    self._loop.call_soon_threadsafe(self._wake)
            time.sleep(max(0.0, 1 / MAX_FPS - (time.monotonic() - started_s)))

    def _drawn(self, pane: str) -> bytes | None:
        """As encode; a picture that cannot be drawn is told and left out, so that the next one is still shown."""
        try:
            return self._encode(pane)
        except Exception as e:
            trouble = f"the picture '{pane}' cannot be drawn ({type(e).__name__}: {e})"
            if trouble != self._trouble:  # once, not with every frame
                log.error("%s", trouble, exc_info=log.isEnabledFor(logging.DEBUG))
            self._trouble = trouble
            return None

    def _wake(self) -> None:
        self._fresh.set()
        self._fresh = asyncio.Event()
