"""One video file, decoded frame by frame with its own time stamps: PyAV where installed, else OpenCV."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from ..errors import SourceError


@dataclass(frozen=True, eq=False)
class Picture:
    """image: (H, W, 3) uint8 BGR or (H, W) uint8 grey. stamp_ns: presentation time in the file."""

    image: np.ndarray
    stamp_ns: int


class Clip(Protocol):
    """size: (width, height). length, end_ns: frames and end of time promised by the container, None without a promise.

    Of this pass: count, pictures read; last_ns, stamp of the last one; damaged, packets that could not be decoded.
    """

    name: str
    size: tuple[int, int]
    fps: float | None
    length: int | None
    end_ns: int | None
    count: int
    last_ns: int
    damaged: int

    def read(self) -> Picture | None: ...

    def rewind(self) -> None: ...

    def close(self) -> None: ...


def open_clip(path: str) -> Clip:
    """Raises SourceError when the file is no video that can be decoded."""
    return AvClip(path) if importlib.util.find_spec("av") else CvClip(path)


def _unreadable(path: str, why: str) -> SourceError:
    return SourceError(f"{path}: cannot be read as a video ({why}); check it with: ffprobe {path}")


class AvClip:
    """Decodes with PyAV: exact time stamps, also of variable frame rates."""

    def __init__(self, path: str) -> None:
        import av

        self._av = av
        self.name = path
        self.count = self.last_ns = self.damaged = 0
        try:
            self._container = av.open(path)
        except av.FFmpegError as e:
            killed = " or its recorder was killed before it finished the file" if isinstance(e, av.InvalidDataError) else ""
            raise _unreadable(path, f"{(e.strerror or str(e)).lower()}{killed}") from None
        if not self._container.streams.video:
            self._container.close()
            raise _unreadable(path, "it holds no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        codec = self._stream.codec_context
        if codec is None or not codec.width or not codec.height:
            self._container.close()
            raise _unreadable(path, "its codec or image size is unknown")
        self.size = (codec.width, codec.height)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.end_ns = self._promised_end_ns()
        self.length = self._stream.frames or (round(self.end_ns * rate / 10**9) if self.end_ns and rate else None)
        self._format = "gray" if (codec.pix_fmt or "").startswith("gray") else "bgr24"
        self._pictures = self._decode()

    def read(self) -> Picture | None:
        picture = next(self._pictures, None)
        if picture is not None:
            self.count += 1
            self.last_ns = picture.stamp_ns
        return picture

    def rewind(self) -> None:
        self._pictures.close()
        self._container.seek(self._stream.start_time or 0, stream=self._stream)
        self.count = self.last_ns = self.damaged = 0
        self._pictures = self._decode()

    def close(self) -> None:
        self._pictures.close()
        self._container.close()

    def _promised_end_ns(self) -> int | None:
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            return _ns((stream.start_time or 0) + stream.duration, stream.time_base)
        if container.duration and len(container.streams) == 1:
            return _ns((container.start_time or 0) + container.duration, Fraction(1, self._av.time_base))
        return None

    def _decode(self) -> Generator[Picture, None, None]:
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except self._av.FFmpegError:
                    self.damaged += 1
                    continue
                for frame in frames:
                    yield Picture(frame.to_ndarray(format=self._format), self._stamp_ns(frame))
        except self._av.FFmpegError:
            self.damaged += 1

    def _stamp_ns(self, frame: Any) -> int:
        if frame.pts is None:
            return round(self.count * 1e9 / (self.fps or 30.0))
        return _ns(frame.pts, frame.time_base)


def _ns(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * 1_000_000_000)


class CvClip:
    """Decodes with OpenCV, the fallback of the base install."""

    def __init__(self, path: str) -> None:
        import cv2

        self._cv2 = cv2
        self.name = path
        self.count = self.last_ns = self.damaged = 0
        self._capture = cv2.VideoCapture(path)
        ok, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if first is None or not ok:
            self._capture.release()
            raise _unreadable(path, "OpenCV cannot decode it; pip install 'stereo_rt[video]' reads more kinds")
        self.size = (first.shape[1], first.shape[0])
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.length = int(frames) if 0 < frames < 2**31 else None
        self.end_ns = round(self.length * 1e9 / self.fps) if self.length and self.fps else None
        self.rewind()

    def read(self) -> Picture | None:
        ok, image = self._capture.read()
        if not ok:
            return None
        self.count += 1
        self.last_ns = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)
        return Picture(image, self.last_ns)

    def rewind(self) -> None:
        self._capture.release()
        self._capture = self._cv2.VideoCapture(self.name)
        self.count = self.last_ns = self.damaged = 0

    def close(self) -> None:
        self._capture.release()
