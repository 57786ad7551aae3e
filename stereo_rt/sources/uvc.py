"""UVC cameras through V4L2: one that delivers both eyes, or two that are paired by time stamp.

Not run on hardware: the decisions are tested on a scripted camera in place of cv2.VideoCapture.
"""

from __future__ import annotations

import logging
import math
import os
import re
from functools import partial
from pathlib import Path

import cv2

from ..config import CaptureConfig
from .device import CvDevice, VideoCapture
from .live import Feed, LiveSource
from .uri import SourceUri

log = logging.getLogger(__name__)
BANDWIDTH = (
    "most often two cameras ask for more USB bandwidth than their controller has (errno 28, 'select timeout'): keep MJPG, "
    "lower capture.width, capture.height or capture.fps, or plug them into different USB controllers"
)
_CLOCK_NS = 1_000_000_000  # a kernel stamp further from now than this is not of the monotonic clock


def open_uvc(uri: SourceUri, capture: CaptureConfig) -> LiveSource:
    """Raises SourceError when a camera is absent, busy, forbidden, or delivers nothing."""
    capture = asked(uri, capture)
    # OpenCV reads this once, at its first camera; its own choice is 10 s of silence.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, math.ceil(capture.timeout_s))))
    reported: set[str] = set()
    feeds = [Feed(path, partial(_device, path, capture, reported)) for path in uri.paths]
    return LiveSource(uri.text, feeds, capture, layout=uri.layout, silent=BANDWIDTH)


def asked(uri: SourceUri, capture: CaptureConfig) -> CaptureConfig:
    """The settings with those of the URI put over them."""
    own = {key: value for key, value in uri.options.items() if key in CaptureConfig.model_fields}
    return CaptureConfig.model_validate(capture.model_dump() | own)


def configure(name: str, asked: CaptureConfig, reported: set[str], camera: VideoCapture) -> None:
    """Ask for the settings and read them back; every difference is said once, with both values.

    The pixel format goes first: which sizes and rates a camera offers depends on it.
    """
    camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.fourcc))
    numbers = {"width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT, "fps": cv2.CAP_PROP_FPS}
    for setting, prop in numbers.items():
        if (value := getattr(asked, setting)) is not None:
            camera.set(prop, value)
    differences = []
    got = fourcc_text(camera.get(cv2.CAP_PROP_FOURCC))
    if got != asked.fourcc.upper():
        differences.append(f"fourcc {asked.fourcc} was asked, it delivers {got}")
    for setting, prop in numbers.items():
        value, got_value = getattr(asked, setting), camera.get(prop)
        if value is not None and abs(got_value - value) > 0.01 * value:
            differences.append(f"{setting} {value:g} was asked, it delivers {got_value:g}")
    for difference in differences:
        line = f"{name}: {difference}"
        if line not in reported:
            reported.add(line)
            log.warning("%s", line)


def kernel_stamp_ns(camera: VideoCapture, now_ns: int) -> int:
    """When the kernel received the image, where the driver stamps on the monotonic clock; else when it was grabbed."""
    stamp_ns = round(camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
    return stamp_ns if 0 <= now_ns - stamp_ns < _CLOCK_NS else now_ns


def fourcc_text(code: float) -> str:
    number = int(code) if code > 0 else 0
    return "".join(chr(number >> shift & 0xFF) for shift in (0, 8, 16, 24)) if number else "an unknown format"


def _device(path: str, capture: CaptureConfig, reported: set[str]) -> CvDevice:
    return CvDevice(
        partial(_connect, path),
        lambda: _refused(path),
        configure=partial(configure, path, capture, reported),
        stamp_ns=kernel_stamp_ns,
    )


def _connect(path: str) -> VideoCapture:
    """OpenCV 5 takes V4L2 cameras by number only; names such as /dev/v4l/by-id/... are links to a numbered one."""
    number = re.fullmatch(r"/dev/video(\d+)", str(Path(path).resolve()))
    return cv2.VideoCapture(int(number[1]), cv2.CAP_V4L2) if number else cv2.VideoCapture()


def _refused(path: str) -> str:
    if not Path(path).exists():
        there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*")))
        return f"{path}: no such camera; {f'there are {there}' if there else 'no camera is connected'}; see: stereo-rt doctor"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path}: may not be opened by this user; add yourself with: sudo usermod -aG video $USER, then log in again"
    return f"{path}: cannot be opened; another program may use it (see: fuser -v {path}), or it is not a capture device"
