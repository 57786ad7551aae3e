"""The protocol of one camera or stream, and the one that stands on cv2.VideoCapture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import SourceError


@dataclass(frozen=True, eq=False)
class Shot:
    """One image of one camera. image: (H, W, 3) uint8 BGR or (H, W) uint8. stamp_ns, arrived_ns: monotonic clock."""

    image: np.ndarray
    stamp_ns: int
    arrived_ns: int


class Device(Protocol):
    """One connection to a camera: opened once, drained by one thread, closed by that same thread.

    A lost connection is never repaired; another Device is made instead.
    """

    def open(self) -> None:
        """Raises SourceError: what is wrong, and the next command."""
        ...

    def grab(self) -> bool:
        """Wait for the next image and note its time. False when the device gives up waiting, or is gone."""
        ...

    def retrieve(self) -> Shot | None:
        """Decode the image grabbed last; None when it is damaged."""
        ...

    def close(self) -> None: ...


class VideoCapture(Protocol):
    """The part of cv2.VideoCapture we use; tests put a scripted camera in its place."""

    def isOpened(self) -> bool: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, Any]: ...

    def get(self, prop: int) -> float: ...

    def set(self, prop: int, value: float) -> bool: ...

    def release(self) -> None: ...


class CvDevice:
    """A Device on OpenCV. connect makes the capture; refused is the sentence for when it does not open.

    configure is called once after opening. stamp_ns(capture, now_ns) -> time of the image grabbed last, and then also of its
    arrival; without it the time at which grab() returned counts, before the costly decoding. decode(what retrieve() gave)
    -> (H, W, 3) uint8 BGR or (H, W) uint8, None when damaged.
    """

    def __init__(
        self,
        connect: Callable[[], VideoCapture],
        refused: Callable[[], str],
        *,
        configure: Callable[[VideoCapture], None] | None = None,
        stamp_ns: Callable[[VideoCapture, int], int] | None = None,
        decode: Callable[[np.ndarray], np.ndarray | None] | None = None,
    ) -> None:
        self._connect = connect
        self._refused = refused
        self._configure = configure
        self._stamp_of = stamp_ns
        self._decode = decode
        self._capture: VideoCapture | None = None
        self._stamp_ns = self._arrived_ns = 0

    def open(self) -> None:
        capture = self._connect()
        if not capture.isOpened():
            capture.release()
            raise SourceError(self._refused())
        self._capture = capture
        if self._configure:
            self._configure(capture)

    def grab(self) -> bool:
        assert self._capture is not None
        with _lost_where_opencv_fails():
            grabbed = self._capture.grab()
        if not grabbed:
            return False
        self._stamp_ns = self._arrived_ns = time.monotonic_ns()
        if self._stamp_of:
            self._stamp_ns = self._stamp_of(self._capture, self._arrived_ns)
            self._arrived_ns = min(self._arrived_ns, self._stamp_ns)  # the wait in the driver is part of a frame's age
        return True

    def retrieve(self) -> Shot | None:
        assert self._capture is not None
        with _lost_where_opencv_fails():
            ok, image = self._capture.retrieve()
            if not ok or image is None or not image.size:
                return None
            decoded = self._decode(image) if self._decode else image
        return None if decoded is None else Shot(decoded, self._stamp_ns, self._arrived_ns)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


@contextmanager
def _lost_where_opencv_fails() -> Iterator[None]:
    """A camera that changes under its driver can make OpenCV raise; a new connection puts it right."""
    try:
        yield
    except cv2.error as e:
        raise SourceError(f"OpenCV gave up: {' '.join(str(e.err or e).split())}") from None
