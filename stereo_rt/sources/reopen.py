"""One camera, kept open: a thread drains it and, when it is lost, connects again with back-off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..config import CaptureConfig
from ..errors import SourceError
from .device import Device, Shot

log = logging.getLogger(__name__)
_STUCK = 3.0  # times timeout_s without an answer from the driver
_OPENING = 5.0  # times timeout_s for the first connection
_FIRST = 3.0  # times timeout_s for the first image of a connection: a stream waits for its key frame


class Camera:
    """Calls deliver(shot) from its own thread for every image, as fast as the camera sends them.

    connect makes a fresh Device for every connection. await_open() says how the first one went; later failures show in
    `trouble`. reopened: connections that delivered after one was lost. failure: what ended the thread by surprise.
    remedy: what to do about a camera that stays silent.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Device],
        deliver: Callable[[Shot], None],
        capture: CaptureConfig,
        remedy: str = "",
    ) -> None:
        self.name = name
        self.reopened = 0
        self.failure: BaseException | None = None
        self._connect = connect
        self._deliver = deliver
        self._capture = capture
        self._remedy = remedy
        self._trouble = ""
        self._answered = threading.Event()
        self._opened = False
        self._stuck: threading.Thread | None = None
        self._spawn()

    def await_open(self) -> None:
        """Wait for the first connection. Raises SourceError when it is refused, or hangs in the driver."""
        limit_s = _OPENING * self._capture.timeout_s
        if not self._answered.wait(limit_s):
            raise SourceError(
                f"{self.name}: does not open within {limit_s:g} s; is it in use, or misspelt? see: stereo-rt doctor"
            )
        if self.failure is not None:
            raise self.failure

    def _spawn(self) -> None:
        self._last_ns = self._alive_ns = time.monotonic_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name=self.name, daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why no images come; empty while they do."""
        if self._trouble:
            return f"{self.name}: {self._trouble}"
        silent_s = (time.monotonic_ns() - self._last_ns) / 1e9
        return f"{self.name}: no image for {silent_s:.1f} s" if silent_s > self._capture.timeout_s else ""

    def watch(self) -> None:
        """Leave a driver that never comes back from a call to itself, and connect anew beside it (once at a time)."""
        silent_s = (time.monotonic_ns() - self._alive_ns) / 1e9
        if silent_s < _STUCK * self._capture.timeout_s or self._stop.is_set():
            return
        if self._stuck is not None and self._stuck.is_alive():
            return
        log.warning("%s: the driver has not answered for %.0f s; connecting again", self.name, silent_s)
        self._stop.set()
        self._stuck = self._thread
        self._trouble = "the driver does not answer; connecting again"
        self._spawn()

    def stop(self) -> None:
        """Ask the thread to end; join() waits for it."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """The thread closes its own device: releasing one under a running call crashes some drivers."""
        self._thread.join(timeout_s)

    def _run(self, stop: threading.Event) -> None:
        first_s, last_s = self._capture.reopen_s, self._capture.reopen_max_s
        wait_s = first_s
        try:
            while not stop.is_set():
                shots, why = self._connection(stop)
                wait_s = first_s if shots else wait_s
                if not stop.is_set():
                    self._lost(why, wait_s)
                self._alive_ns = time.monotonic_ns() + round(wait_s * 1e9)  # asleep, not stuck
                stop.wait(wait_s)
                wait_s = min(2 * wait_s, last_s)
        except BaseException as e:  # reported by the reader: a thread has nobody to raise to
            self.failure = e
        finally:
            self._answered.set()

    def _connection(self, stop: threading.Event) -> tuple[int, str]:
        """Open, drain and close one Device. Returns how many shots came, and why it ended.

        Raises SourceError when the very first one is refused.
        """
        self._alive_ns = time.monotonic_ns()
        device = self._connect()
        try:
            device.open()
            self._opened = True
            self._answered.set()
            return self._drain(device, stop)
        except SourceError as e:
            if not self._opened:
                raise
            return 0, str(e)
        finally:
            device.close()

    def _drain(self, device: Device, stop: threading.Event) -> tuple[int, str]:
        """Deliver until the device fails, or has no sound image in time. Returns how many shots came, and why it ended."""
        shots = 0
        limit_s, shot_ns = _FIRST * self._capture.timeout_s, time.monotonic_ns()
        while not stop.is_set():
            try:
                grabbed = device.grab()
                shot = device.retrieve() if grabbed else None
            except SourceError as e:
                return shots, str(e)
            if stop.is_set():
                break
            self._alive_ns = time.monotonic_ns()
            if not grabbed:
                return shots, "no more images"
            if shot is not None:
                self._found()
                self._deliver(shot)
                shots += 1
                shot_ns = time.monotonic_ns()
                limit_s = self._capture.timeout_s
            elif self._alive_ns - shot_ns > limit_s * 1e9:  # OpenCV's GStreamer grabs on when it stalls
                return shots, "; ".join(filter(None, (f"no image within {limit_s:g} s", self._remedy)))
        return shots, ""

    def _lost(self, why: str, wait_s: float) -> None:
        if not self._trouble:
            log.warning("%s: lost (%s); connecting again", self.name, why)
        self._trouble = f"lost; next try in {wait_s:g} s ({why})"

    def _found(self) -> None:
        self._last_ns = time.monotonic_ns()
        if self._trouble:
            self.reopened += 1
            self._trouble = ""
            log.warning("%s: back again", self.name)
