"""Cameras as a Source: one that holds both eyes, or two paired by time stamp; only the newest pair is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..channels import Closed, Latest
from ..config import CaptureConfig
from ..errors import SourceError, SourceTimeout
from ..frames import StereoFrame
from .base import SourceState, SourceStatus
from .device import Device, Shot
from .pairing import PairQueue
from .reopen import Camera
from .split import check_same_size, split_eyes
from .uri import Layout

if TYPE_CHECKING:
    from ..calib.rig import StereoRig
    from ..geometry import RectifiedRig

_CLOSE_S = 0.8


@dataclass(frozen=True)
class Feed:
    """One camera to connect to. connect makes a fresh Device, not opened yet. remedy: what to do where it falls silent."""

    name: str
    connect: Callable[[], Device]
    remedy: str = ""


class LiveSource:
    """feeds: the left and the right camera, or one camera and a layout. silent: what to do when no image comes at all.

    Each camera is drained by a thread of its own: frames never queue up in a driver, and both cameras are grabbed side
    by side before either is decoded. Opening waits for the first pair; SourceError when there is none. Later a lost
    camera makes read() raise SourceTimeout and the status 'stale' until it is back. Frames change size when both
    eyes do, and are withheld while the eyes disagree.
    """

    live = True
    length: int | None = None
    calibration: StereoRig | RectifiedRig | None = None

    def __init__(
        self, name: str, feeds: Sequence[Feed], capture: CaptureConfig, *, layout: Layout | None = None, silent: str
    ) -> None:
        self.name = name
        self.fps = capture.fps
        self._capture = capture
        self._layout = layout
        self._mailbox: Latest[StereoFrame] = Latest()
        self._queue: PairQueue[Shot] = PairQueue(capture.max_skew_ms)
        self._lock = threading.Lock()
        self._pairs = self._unpaired_at_start = 0
        self._first_index: int | None = None
        self._withheld = ""
        self._pair_ns = time.monotonic_ns()
        self._closed = False
        self._cameras: list[Camera] = []
        try:
            takes: list[Callable[[Shot], None]] = [partial(self._join, 0), partial(self._join, 1)]
            for feed, take in zip(feeds, [self._split] if layout else takes, strict=True):
                self._cameras.append(Camera(feed.name, feed.connect, take, capture, feed.remedy))
            for camera in self._cameras:
                camera.await_open()
            self.size = self._await_first(silent)
        except BaseException:
            self.close()
            raise

    @property
    def status(self) -> SourceStatus:
        detail = self._trouble()
        state: SourceState = "ended" if self._closed else "stale" if detail else "ok"
        return SourceStatus(state, detail, sum(c.reopened for c in self._cameras), self._unpaired)

    @property
    def _unpaired(self) -> int:
        return self._queue.pairer.unpaired - self._unpaired_at_start

    def read(self, timeout_s: float) -> StereoFrame | None:
        try:
            frame = self._mailbox.get(timeout_s)
        except Closed:
            return None
        except TimeoutError:
            for camera in self._cameras:
                if camera.failure is not None:
                    raise camera.failure from None
                camera.watch()
            raise SourceTimeout(f"{self.name}: no pair within {timeout_s:g} s; {self._trouble() or 'still waiting'}") from None
        self.size = frame.size
        if self._first_index is None:
            self._first_index = frame.index
        return replace(frame, index=frame.index - self._first_index)

    def close(self) -> None:
        """Returns within a second; a thread that is inside its driver ends when the driver's own time-out does."""
        self._closed = True
        self._mailbox.close(discard=True)
        for camera in self._cameras:
            camera.stop()
        deadline = time.monotonic() + _CLOSE_S
        for camera in self._cameras:
            camera.join(max(0.0, deadline - time.monotonic()))

    def _await_first(self, silent: str) -> tuple[int, int]:
        """Wait for a pair, to learn the size. It is old by the time the loop runs, so it is not handed out."""
        try:
            frame = self._mailbox.get(3 * self._capture.timeout_s)
        except TimeoutError:
            why = self._withheld or f"{self._trouble() or 'nothing arrived'}; {silent}"
            raise SourceError(f"{self.name}: opened, but no pair came: {why}") from None
        self._unpaired_at_start = self._queue.pairer.unpaired  # one camera starts before the other
        return frame.size

    def _split(self, shot: Shot) -> None:
        assert self._layout is not None
        self._emit(*(replace(shot, image=image) for image in split_eyes(shot.image, self._layout, self.name)))

    def _join(self, eye: Literal[0, 1], shot: Shot) -> None:
        with self._lock:
            before = self._queue.pairer.unpaired
            for left, right in self._queue.push(eye, shot):
                self._emit(left, right)
            if self._queue.pairer.unpaired > before and (skew_ms := self._queue.pairer.least_skew_ms) is not None:
                self._withheld = (
                    f"the eyes are {skew_ms:.1f} ms apart at best; synchronise the cameras, "
                    f"or allow it with: --set capture.max_skew_ms={skew_ms * 1.2 + 1:.0f}"
                )

    def _emit(self, left: Shot, right: Shot) -> None:
        index = self._pairs + self._queue.pairer.unpaired
        self._pairs += 1
        try:
            check_same_size(left.image, right.image, "the left eye", "the right eye")
        except SourceError as e:
            self._withheld = str(e)
            return
        self._withheld = ""
        self._pair_ns = time.monotonic_ns()
        arrived_ns = max(left.arrived_ns, right.arrived_ns)
        frame = StereoFrame(left.image, right.image, index, left.stamp_ns, right.stamp_ns - left.stamp_ns, arrived_ns)
        try:
            self._mailbox.put(frame)
        except Closed:
            return

    def _trouble(self) -> str:
        """Why no pairs come; empty while they do."""
        if detail := "; ".join(t for camera in self._cameras if (t := camera.trouble)):
            return detail
        silent_s = (time.monotonic_ns() - self._pair_ns) / 1e9
        if silent_s <= self._capture.timeout_s:
            return ""
        return self._withheld or f"no pair for {silent_s:.1f} s"
