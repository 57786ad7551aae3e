"""Video files: PyAV's H.264 where it is installed, OpenCV's MPEG-4 elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ..atomic import replacing
from ..errors import OutputError


class _Encoder(Protocol):
    def add(self, image: np.ndarray) -> None: ...

    def close(self) -> None: ...


class VideoWriter:
    """An .mp4 of a constant rate and size, which appears under its name when it is closed and whole.

    fps: frames per second. add() takes (H, W, 3) uint8 BGR images of one size; an odd row or column is doubled, for
    video has none. Raises OutputError.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._fps = fps
        self._size: tuple[int, int] | None = None
        self._open = contextlib.ExitStack()
        self._encoder: _Encoder | None = None

    def add(self, image: np.ndarray) -> None:
        if self._encoder is None:
            self._size = image.shape[1], image.shape[0]
            temporary = self._open.enter_context(replacing(self.path))
            self._encoder = _encoder(temporary, even(image), self._fps)
        if (image.shape[1], image.shape[0]) != self._size:
            raise OutputError(f"{self.path}: the frames changed size, and a video has one; process them into another folder")
        self._encoder.add(even(image))

    def close(self) -> None:
        """Finish the file. Nothing appears when no image was added."""
        with self._open:
            if self._encoder is not None:
                self._encoder.close()
                self._encoder = None


def even(image: np.ndarray) -> np.ndarray:
    """The image with its last row or column doubled where their number is odd."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else image


def _encoder(path: Path, image: np.ndarray, fps: float) -> _Encoder:
    try:
        import av
    except ImportError:
        return _OpenCVEncoder(path, image, fps)
    return _AvEncoder(av, path, image, fps)


class _AvEncoder:
    def __init__(self, av: Any, path: Path, image: np.ndarray, fps: float) -> None:
        self._av = av
        with self._said(path):
            self._container = av.open(str(path), "w", options={"movflags": "+faststart"})  # plays while it loads
            codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
            self._stream = self._container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001 * 100))
        self._stream.height, self._stream.width = image.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "20"} if codec == "libx264" else {"qscale": "3"}
        self._path = path

    def add(self, image: np.ndarray) -> None:
        with self._said(self._path):
            for packet in self._stream.encode(self._av.VideoFrame.from_ndarray(image, format="bgr24")):
                self._container.mux(packet)

    def close(self) -> None:
        with self._said(self._path):
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()

    @contextlib.contextmanager
    def _said(self, path: Path) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as e:
            raise OutputError(f"{path}: the video cannot be written ({e}); choose formats without mp4") from None


class _OpenCVEncoder:
    def __init__(self, path: Path, image: np.ndarray, fps: float) -> None:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), fourcc, fps, (image.shape[1], image.shape[0]))
        if not self._writer.isOpened():
            raise OutputError(
                f"{path}: this OpenCV cannot write video; install PyAV with: pip install 'stereo_rt[video]', or leave mp4 out"
            )

    def add(self, image: np.ndarray) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
