"""RTSP streams: one per eye, or one that holds both. PyAV where installed, else OpenCV's FFmpeg."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2

from ..config import CaptureConfig
from ..errors import SourceError
from .arrival import ArrivalClock
from .device import CvDevice, Device, Shot
from .live import Feed, LiveSource
from .uri import SourceUri

# TCP: a lost UDP packet smears the image for a whole key frame interval. The rest keeps the latency low.
OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "1000000",
    "max_delay": "100000",
}


def open_rtsp(uri: SourceUri, capture: CaptureConfig) -> LiveSource:
    """Raises SourceError when a stream cannot be opened; one that is lost later is opened again."""
    device = AvStream if importlib.util.find_spec("av") else _cv_stream
    feeds = [Feed(without_password(url), partial(device, url, capture.timeout_s)) for url in uri.paths]
    return LiveSource(
        without_password(uri.text), feeds, capture, layout=uri.layout, silent="check with: ffprobe -rtsp_transport tcp URL"
    )


def without_password(text: str) -> str:
    """Addresses as they may be shown and logged."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


class AvStream:
    """A Device on PyAV."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._clock = ArrivalClock()
        self._grabbed: tuple[Any, int, int] | None = None

    def open(self) -> None:
        import av

        self._error, self._damaged = av.FFmpegError, av.InvalidDataError
        try:
            self._container = av.open(self._url, options=OPTIONS, timeout=(3 * self._timeout_s, self._timeout_s))
            stream = self._container.streams.video[0]
        except IndexError:
            raise SourceError(f"{without_password(self._url)}: the stream holds no video") from None
        except av.FFmpegError as e:
            raise SourceError(_refused(self._url, e.strerror)) from None
        stream.thread_type = "SLICE"  # frame threads would hold frames back
        self._frames = self._decode(stream)

    def grab(self) -> bool:
        try:
            frame = next(self._frames)
        except (StopIteration, self._error) as e:
            if isinstance(e, StopIteration):
                return False
            raise SourceError(f"the stream broke off: {e.strerror}") from None
        arrived_ns = time.monotonic_ns()
        stamp_ns = arrived_ns
        if frame.pts is not None:
            stamp_ns = self._clock.stamp_ns(round(frame.pts * frame.time_base * 1_000_000_000), arrived_ns)
        self._grabbed = frame, stamp_ns, arrived_ns
        return True

    def _decode(self, stream: Any) -> Iterator[Any]:
        for packet in self._container.demux(stream):
            try:
                yield from packet.decode()
            except self._damaged:
                continue  # until the next key frame; the connection is sound

    def retrieve(self) -> Shot | None:
        assert self._grabbed is not None
        frame, stamp_ns, arrived_ns = self._grabbed
        return Shot(frame.to_ndarray(format="bgr24"), stamp_ns, arrived_ns)

    def close(self) -> None:
        self._frames, self._grabbed = iter(()), None
        if self._container is not None:
            self._container.close()
            self._container = None


def _cv_stream(url: str, timeout_s: float) -> Device:
    # Its options can be set for the whole process only, where they would spoil videos; its own choice is TCP too.
    timeout_ms = round(timeout_s * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 3 * timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    return CvDevice(lambda: cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits), lambda: _refused(url, "no stream"))


def _refused(url: str, why: str | None) -> str:
    return f"{without_password(url)}: cannot be opened ({why}); check it with: ffprobe -rtsp_transport tcp URL"
