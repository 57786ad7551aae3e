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
import numpy as np

from ..config import CaptureConfig
from .device import CvDevice, VideoCapture
from .images import cut_short
from .live import Feed, LiveSource
from .uri import Layout, SourceUri

log = logging.getLogger(__name__)
BANDWIDTH = (
    "most often two cameras ask for more USB bandwidth than their controller has (errno 28, 'select timeout'): keep MJPG, "
    "lower capture.width, capture.height or capture.fps, or plug them into different USB controllers"
)
BY_PATH = Path("/dev/v4l/by-path")
_FORMAT = {"width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT, "fps": cv2.CAP_PROP_FPS}
_CONTROLS = {  # the automatic ones first: while they are on, a driver refuses the others
    "auto_exposure": cv2.CAP_PROP_AUTO_EXPOSURE,
    "auto_white_balance": cv2.CAP_PROP_AUTO_WB,
    "exposure": cv2.CAP_PROP_EXPOSURE,
    "gain": cv2.CAP_PROP_GAIN,
}
_CLOCK_NS = 1_000_000_000  # a kernel stamp further from now than this is not of the monotonic clock


def open_uvc(uri: SourceUri, capture: CaptureConfig) -> LiveSource:
    """Raises SourceError when a camera is absent, busy, forbidden, or delivers nothing."""
    capture = asked(uri, capture)
    # OpenCV reads this once, at its first camera; its own choice is 10 s of silence.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, math.ceil(capture.timeout_s))))
    reported: set[str] = set()
    feeds = [Feed(path, partial(_device, path, by_path(path), capture, uri.layout, reported)) for path in uri.paths]
    return LiveSource(uri.text, feeds, capture, layout=uri.layout, silent=BANDWIDTH)


def asked(uri: SourceUri, capture: CaptureConfig) -> CaptureConfig:
    """The settings, whose size is of one eye, as the size the camera delivers; those of the URI, which says that, over them."""
    settings = capture.model_dump()
    doubled = {"sbs": "width", "tb": "height"}.get(uri.layout or "")
    if doubled and settings[doubled] is not None:
        settings[doubled] *= 2
    own = {key: value for key, value in uri.options.items() if key in CaptureConfig.model_fields}
    return CaptureConfig.model_validate(settings | own)


def by_path(device: str) -> str:
    """The port that /dev/videoN is plugged into now: after a glitch of the bus, two cameras may get each other's number."""
    links = sorted(BY_PATH.glob("*")) if re.fullmatch(r"/dev/video\d+", device) else []
    return next((str(link) for link in links if str(link.resolve()) == device), device)


def configure(name: str, asked: CaptureConfig, layout: Layout | None, reported: set[str], camera: VideoCapture) -> None:
    """Ask for the settings and read them back; every difference is said once, with both values.

    The pixel format goes first: which sizes and rates a camera offers depends on it.
    """
    camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.fourcc))
    sized = asked.width is not None or asked.height is not None
    for setting, prop in _FORMAT.items():
        if (value := getattr(asked, setting)) is not None:
            camera.set(prop, value)
        elif sized and setting != "fps":
            camera.set(prop, camera.get(prop))  # OpenCV applies a size only when it has both
    controls = {setting: value for setting in _CONTROLS if (value := _number(setting, asked)) is not None}
    for setting, value in controls.items():
        camera.set(_CONTROLS[setting], value)
    differences = []
    got = fourcc_text(camera.get(cv2.CAP_PROP_FOURCC))
    if got != asked.fourcc.upper():
        differences.append(f"fourcc {asked.fourcc} was asked, it delivers {got}")
    if got == "MJPG":
        camera.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # OpenCV would patch a damaged image with the one before: see decoded()
    for setting, prop in _FORMAT.items():
        value, got_value = getattr(asked, setting), camera.get(prop)
        if value is not None and abs(got_value - value) > 0.01 * value:
            differences.append(f"{setting} {value:g} was asked, it delivers {got_value:g}")
    for setting, value in controls.items():
        if abs((got_value := camera.get(_CONTROLS[setting])) - value) > 0.01 * abs(value):
            differences.append(f"{setting} {value:g} was asked, it has {got_value:g}")
    if layout and not sized:
        width, height = camera.get(cv2.CAP_PROP_FRAME_WIDTH), camera.get(cv2.CAP_PROP_FRAME_HEIGHT)
        differences.append(
            f"no size was asked, it delivers {width:g}x{height:g} for both eyes together; "
            "ask for another, of one eye, with: --set capture.width=W --set capture.height=H"
        )
    for difference in differences:
        line = f"{name}: {difference}"
        if line not in reported:
            reported.add(line)
            log.warning("%s", line)


def _number(setting: str, asked: CaptureConfig) -> float | None:
    """A control as V4L2 counts it; of automatic exposure 3 is on and 1 is off."""
    value = getattr(asked, setting)
    return (3 if value else 1) if setting == "auto_exposure" and value is not None else value


def decoded(image: np.ndarray) -> np.ndarray | None:
    """(1, N) uint8, a JPEG as the camera sent it -> (H, W, 3) uint8 BGR, None when damaged. Other images pass as they are.

    A driver that does not give its JPEGs away has converted them.
    """
    if 1 not in image.shape[:2]:
        return image
    return None if cut_short(image.tobytes()) else cv2.imdecode(image.reshape(-1), cv2.IMREAD_COLOR)


def kernel_stamp_ns(camera: VideoCapture, now_ns: int) -> int:
    """When the kernel received the image, where the driver stamps on the monotonic clock; else when it was grabbed."""
    stamp_ns = round(camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
    return stamp_ns if 0 <= now_ns - stamp_ns < _CLOCK_NS else now_ns


def fourcc_text(code: float) -> str:
    number = int(code) if code > 0 else 0
    return "".join(chr(number >> shift & 0xFF) for shift in (0, 8, 16, 24)) if number else "an unknown format"


def _device(path: str, port: str, capture: CaptureConfig, layout: Layout | None, reported: set[str]) -> CvDevice:
    return CvDevice(
        partial(_connect, port),
        lambda: _refused(path, port),
        configure=partial(configure, path, capture, layout, reported),
        stamp_ns=kernel_stamp_ns,
        decode=decoded,
    )


def _connect(path: str) -> VideoCapture:
    """OpenCV 5 takes V4L2 cameras by number only; names such as /dev/v4l/by-id/... are links to a numbered one."""
    number = re.fullmatch(r"/dev/video(\d+)", str(Path(path).resolve()))
    return cv2.VideoCapture(int(number[1]), cv2.CAP_V4L2) if number else cv2.VideoCapture()


def _refused(path: str, port: str) -> str:
    if not Path(port).exists():
        there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*")))
        return f"{path}: no such camera; {f'there are {there}' if there else 'no camera is connected'}; see: stereo-rt doctor"
    if not os.access(port, os.R_OK | os.W_OK):
        return f"{path}: may not be opened by this user; add yourself with: sudo usermod -aG video $USER, then log in again"
    return f"{path}: cannot be opened; another program may use it (see: fuser -v {path}), or it is not a capture device"
