"""Recorder: keeps the raw pairs without loss, as one side-by-side video (.mkv) or as ROS 2 messages (.mcap).

A video plays back as SOURCE `FILE?layout=sbs`, with the calibration beside it. With PyAV each frame keeps its own time
stamp; without it OpenCV writes at a constant rate. An .mcap holds calibration and stamps itself. The file grows under a
temporary name and takes its own when it is whole.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shlex
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ..atomic import replacing
from ..calib.formats import write_calibration
from ..calib.rig import StereoRig
from ..errors import OutputError, StereoError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from . import mcap

log = logging.getLogger(__name__)

QUEUE_FRAMES = 8
"""Pairs that may wait for the disk; beyond that they are left out and counted."""


class Recorder:
    """A frame sink that is idle until `start`. Any thread may start and stop it.

    calibration: saved with the pairs when known (beside a video as FILE.calib.yaml). fps: the source's rate, where known.
    patient: write() waits for the disk; otherwise it never does, and pairs that it has no time for are left out.
    """

    def __init__(
        self, calibration: StereoRig | RectifiedRig | None = None, fps: float | None = None, *, patient: bool = False
    ) -> None:
        self.calibration, self.fps, self._patient = calibration, fps, patient
        self._take: _Take | None = None
        self._newest: _Take | None = None
        self._lock = threading.Lock()
        self._error: OutputError | None = None

    @property
    def path(self) -> Path | None:
        """The file being recorded, None when idle."""
        take = self._take
        return take.path if take else None

    @property
    def dropped(self) -> int:
        """Pairs left out of the file being recorded."""
        take = self._take
        return take.dropped if take else 0

    @property
    def written(self) -> int:
        """Pairs in the newest recording, running or not."""
        return self._newest.written if self._newest else 0

    @property
    def error(self) -> OutputError | None:
        """What broke the newest recording, if anything did."""
        return self._newest.error if self._newest else None

    def start(self, path: Path) -> Path:
        """Begin a recording to a new .mkv or .mcap; returns its path.

        Raises OutputError when one is running, or the file exists; MissingExtra.
        """
        check_name(path)
        with self._lock:
            if self._take is not None:
                raise OutputError(f"{self._take.path} is being recorded; stop that first")
            self._take = self._newest = _Take(path, self.calibration, self.fps or 30.0, patient=self._patient)
        return path

    def stop(self) -> str:
        """Finish the file; says what is in it and how to play it. Empty when idle. Raises OutputError."""
        with self._lock:
            take, self._take = self._take, None
        return take.finish() if take else ""

    def write(self, frame: StereoFrame) -> None:
        """Take a pair if recording."""
        take = self._take
        if take is not None and not take.offer(frame):
            with self._lock:  # it broke; the loop goes on and close() tells
                self._take = None
            self._error = take.error
            log.error("%s", take.error)

    def close(self) -> None:
        """Finish. Raises OutputError when a recording broke on the way."""
        if said := self.stop():
            log.warning("%s", said)
        if self._error is not None:
            raise self._error


def check_name(path: Path) -> None:
    """Raises OutputError when a recording cannot go there, MissingExtra when its format cannot be written."""
    if path.suffix not in (".mkv", ".mcap"):
        raise OutputError(f"{path}: a recording keeps every bit, which needs a name that ends in .mkv or .mcap")
    if path.suffix == ".mcap":
        mcap.require()
    if path.exists():
        raise OutputError(f"{path} exists already; choose another name, or move it away")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder; make it first with: mkdir -p {path.parent}")


class _Take:
    """One recording: a queue, and the thread that encodes."""

    def __init__(self, path: Path, calibration: StereoRig | RectifiedRig | None, fps: float, *, patient: bool) -> None:
        self.path, self.calibration, self.fps, self._patient = path, calibration, fps, patient
        self.written = self.dropped = 0
        self.error: OutputError | None = None
        self._queue: queue.Queue[StereoFrame | None] = queue.Queue(QUEUE_FRAMES)
        self._thread = threading.Thread(target=self._run, name="stereo_rt record", daemon=True)
        self._thread.start()

    def offer(self, frame: StereoFrame) -> bool:
        """Queue a pair, or count it as dropped. False once the recording is broken."""
        if self.error is not None:
            return False
        if self._patient:
            return self._hand_over(frame)
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1
        return True

    def _hand_over(self, frame: StereoFrame | None) -> bool:
        """Queue a pair, or the end, as soon as there is room. False when nobody takes it any more."""
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):  # it is still encoding, or it just broke
                self._queue.put(frame, timeout=0.1)
                return True
        return False

    def finish(self) -> str:
        self._hand_over(None)
        self._thread.join()
        if self.error is not None:
            raise self.error
        if not self.written:
            return f"nothing was recorded to {self.path}: no frame came"
        lost = f" ({self.dropped} left out: the disk or the processor was too slow)" if self.dropped else ""
        return f"{self.written} pairs{lost} in {self.path}; play them with: stereo-rt view {self._played}"

    @property
    def _played(self) -> str:
        """The file as an argument of view."""
        video = self.path.suffix == ".mkv"
        source = shlex.quote(f"{self.path}?layout=sbs" if video else str(self.path))
        if self.calibration is None:
            return f"{source} --rectified"
        return f"{source} --calib {shlex.quote(str(self._calib_path))}" if video else source

    @property
    def _calib_path(self) -> Path:
        return self.path.with_name(self.path.name + ".calib.yaml")

    def _run(self) -> None:
        try:
            first = self._queue.get()
            if first is None:
                return
            if self.calibration is not None and self.path.suffix == ".mkv":
                write_calibration(self.calibration, self._calib_path)
            with replacing(self.path) as temporary:
                broken = self._encode(first, temporary)
            self.error = broken  # not before the file has its name: whoever hears of it may end the program
        except StereoError as e:
            self.error = OutputError(str(e))
        except Exception as e:  # whatever the encoder says when it is opened
            self.error = OutputError(f"{self.path}: cannot be recorded to ({e}); see what is missing with: stereo-rt doctor")

    def _encode(self, first: StereoFrame, path: Path) -> OutputError | None:
        """Write until the end. Returns what broke it; what was written before is kept."""
        writer: _Writer
        writer = mcap.PairMessages(path, self.calibration) if path.suffix == ".mcap" else _video(path, first, self.fps)
        frame: StereoFrame | None = first
        try:
            while frame is not None:
                if frame.size == first.size:
                    writer.add(frame, frame.stamp_ns - first.stamp_ns)
                    self.written += 1
                else:
                    log.warning("%s: a pair of another size is left out", self.path)
                    self.dropped += 1
                frame = self._queue.get()
            writer.close()
        except Exception as e:  # whatever the encoder or the disk says
            broken = OutputError(f"{self.path}: recording stopped after {self.written} pairs ({e}); free some space")
            with contextlib.suppress(Exception):
                writer.close()
            return broken
        return None


def side_by_side(frame: StereoFrame) -> np.ndarray:
    """(H, 2 W, 3) uint8 BGR: the left image, then the right one."""
    pair = np.hstack([frame.left, frame.right])
    return pair if pair.ndim == 3 else cv2.cvtColor(pair, cv2.COLOR_GRAY2BGR)


class _Writer(Protocol):
    def add(self, frame: StereoFrame, since_ns: int) -> None:
        """since_ns: time since the first pair."""
        ...

    def close(self) -> None: ...


def _video(path: Path, frame: StereoFrame, fps: float) -> _Writer:
    width, height = frame.size[0] * 2, frame.size[1]
    try:
        import av
    except ImportError:
        return _OpenCVWriter(path, width, height, fps)
    return _AvWriter(av, path, width, height, fps)


class _AvWriter:
    """Lossless H.264 in RGB, every frame a key frame: half the work of FFV1, which stands in where x264 is missing."""

    def __init__(self, av: Any, path: Path, width: int, height: int, fps: float) -> None:
        self._av = av
        self._container = av.open(str(path), "w")
        x264 = "libx264rgb" in av.codecs_available
        self._format = "bgr24" if x264 else "bgr0"
        stream = self._container.add_stream("libx264rgb" if x264 else "ffv1", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, self._format
        stream.options = {"preset": "ultrafast", "qp": "0", "g": "1"} if x264 else {"level": "3", "slices": "4"}
        stream.codec_context.time_base = Fraction(1, 1000)  # what Matroska keeps
        self._stream, self._last_ms = stream, -1

    def add(self, frame: StereoFrame, since_ns: int) -> None:
        picture = self._av.VideoFrame.from_ndarray(side_by_side(frame), format="bgr24").reformat(format=self._format)
        self._last_ms = max(self._last_ms + 1, round(since_ns / 1e6))
        picture.pts, picture.time_base = self._last_ms, Fraction(1, 1000)
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


class _OpenCVWriter:
    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), fps, (width, height))
        if not self._writer.isOpened():
            raise OutputError(f"{path}: this OpenCV cannot write video; install PyAV with: pip install 'stereo_rt[video]'")

    def add(self, frame: StereoFrame, since_ns: int) -> None:
        self._writer.write(side_by_side(frame))

    def close(self) -> None:
        self._writer.release()
