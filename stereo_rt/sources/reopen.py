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


class Camera:
    """Calls deliver(shot) from its own thread for every image, as fast as the camera sends them.

    connect makes a fresh Device for every connection; the first is opened here, which raises SourceError, and is
    drained after start(). Later failures show in `trouble`. reopened: connections that delivered after one was lost.
    failure: what ended the thread by surprise.
    """

    def __init__(self, name: str, connect: Callable[[], Device], capture: CaptureConfig) -> None:
        self.name = name
        self.reopened = 0
        self.failure: BaseException | None = None
        self._connect = connect
        self._capture = capture
        self._deliver: Callable[[Shot], None] = lambda shot: None
        self._trouble = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._stuck: threading.Thread | None = None
        self._last_ns = self._alive_ns = time.monotonic_ns()
        self._first = connect()
        self._first.open()

    def start(self, deliver: Callable[[Shot], None]) -> None:
        self._deliver = deliver
        self._spawn(self._first)

    def _spawn(self, device: Device | None) -> None:
        self._last_ns = self._alive_ns = time.monotonic_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(device, self._stop), name=self.name, daemon=True)
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
        self._spawn(None)

    def stop(self) -> None:
        """Ask the thread to end; join() waits for it."""
        self._stop.set()
        if self._thread is None:
            self._first.close()

    def join(self, timeout_s: float) -> None:
        """The thread closes its own device: releasing one under a running call crashes some drivers."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, device: Device | None, stop: threading.Event) -> None:
        wait_s = self._capture.reopen_s
        try:
            while not stop.is_set():
                if device is not None:
                    shots, why = self._drain(device, stop)
                    device.close()
                    device = None
                    if stop.is_set():
                        return
                    wait_s = self._capture.reopen_s if shots else wait_s
                    self._lost(why, wait_s)
                if stop.wait(wait_s):
                    return
                wait_s = min(2 * wait_s, self._capture.reopen_max_s)
                device = self._try_open(wait_s, stop)
        except BaseException as e:  # reported by the reader: a thread has nobody to raise to
            self.failure = e
        finally:
            if device is not None:
                device.close()

    def _try_open(self, wait_s: float, stop: threading.Event) -> Device | None:
        self._alive_ns = time.monotonic_ns()
        device = self._connect()
        try:
            device.open()
        except SourceError as e:
            device.close()
            if not stop.is_set():
                self._trouble = f"lost; next try in {wait_s:g} s ({e})"
            return None
        finally:
            self._alive_ns = time.monotonic_ns()
        return device

    def _drain(self, device: Device, stop: threading.Event) -> tuple[int, str]:
        """Deliver until the device fails. Returns how many shots came, and why it ended."""
        shots = 0
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
