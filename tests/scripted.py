"""A scripted camera in the place of cv2.VideoCapture: what hardware does to a program, at a word."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np

PERIOD_S = 0.02


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    """Generous, because a shared machine stalls; a condition that never holds fails the test."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)


def alive(process: subprocess.Popen[str]) -> bool:
    """Fails the test, with what the program said, once it has ended."""
    assert process.poll() is None, process.communicate()[1]
    return True


def taken_ns(capture: ScriptedCapture, now_ns: int) -> int:
    """The stamp of the camera, believed whenever it comes."""
    return round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)


class ScriptedCamera:
    """One camera with a plug. Images carry the number of the tick at which they were taken, in every pixel (mod 251).

    All cameras tick together, on multiples of PERIOD_S of the monotonic clock. late_s delays the ticks of this one.
    plugged: False refuses connections and breaks existing ones. silent: grab() gives up after its time-out.
    hung: grab() never comes back until release_hung is set. broken: retrieve() raises as OpenCV does.
    jpeg: what the camera sends of an image, where it is asked not to convert its JPEGs itself.
    empty: grab() succeeds and no image can be had, as of a GStreamer pipeline that stalls.
    limits: settings it insists on, by property. ticks: take an image at each of these ticks, one after the other, and at
    no other; a tick is done when its image was delivered.
    """

    def __init__(self, size: tuple[int, int] = (64, 48), *, late_s: float = 0.0) -> None:
        self.size = size
        self.late_s = late_s
        self.plugged = True
        self.silent = False
        self.broken = False
        self.empty = False
        self.jpeg: Callable[[np.ndarray], bytes] | None = None
        self.hung = False
        self.release_hung = threading.Event()
        self.limits: dict[int, float] = {}
        self.monotonic_stamps = True
        self.ticks: queue.Queue[int] | None = None
        self.handles: list[ScriptedCapture] = []

    def connect(self) -> ScriptedCapture:
        self.handles.append(ScriptedCapture(self))
        return self.handles[-1]

    @property
    def connections(self) -> int:
        return sum(handle.connected for handle in self.handles)


class ScriptedCapture:
    """The methods of cv2.VideoCapture, for one connection to a ScriptedCamera."""

    def __init__(self, camera: ScriptedCamera) -> None:
        self._camera = camera
        self._opened = self.connected = camera.plugged
        self.released = False
        self.settings: dict[int, float] = {}
        self._tick = 0
        self._delivering = False

    def isOpened(self) -> bool:
        return self._opened

    def grab(self) -> bool:
        camera = self._camera
        if camera.hung:
            camera.release_hung.wait(60)
        if camera.silent:
            time.sleep(0.05)
            return False
        if camera.ticks is not None:
            return self._told(camera.ticks)
        now_s = time.monotonic() - camera.late_s
        self._tick = max(self._tick, int(now_s / PERIOD_S)) + 1
        time.sleep(max(0.0, self._tick * PERIOD_S - now_s))
        self._opened = self._opened and camera.plugged
        return self._opened

    def _told(self, ticks: queue.Queue[int]) -> bool:
        if self._delivering:
            ticks.task_done()
        self._delivering = False
        while not (self._delivering or self._camera.release_hung.is_set()):
            with suppress(queue.Empty):
                self._tick, self._delivering = ticks.get(timeout=0.05), True
        return self._delivering

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        if self._camera.broken:
            raise cv2.error("the image does not fit its buffer")
        if self._camera.empty:
            return False, None
        width, height = self._camera.size
        image = np.full((height, width, 3), self._tick % 251, np.uint8)
        if self._camera.jpeg is not None and self.settings.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
            return True, np.frombuffer(self._camera.jpeg(image), np.uint8)[None]
        return True, image

    def set(self, prop: int, value: float) -> bool:
        self.settings[prop] = value
        return True

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_POS_MSEC:
            stamp_s = self._tick * PERIOD_S + self._camera.late_s
            return stamp_s * 1000 if self._camera.monotonic_stamps else time.time() * 1000
        return self._camera.limits.get(prop, self.settings.get(prop, 0.0))

    def release(self) -> None:
        self._opened = False
        self.released = True
