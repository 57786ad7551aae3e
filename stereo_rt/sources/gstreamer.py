"""GStreamer pipelines, and the CSI cameras of a Jetson, through an OpenCV that was built with GStreamer.

The CSI pipeline was not run on hardware; other pipelines are tested with videotestsrc.
"""

from __future__ import annotations

import re
from functools import partial

import cv2

from ..config import CaptureConfig
from ..errors import SourceError
from .arrival import ArrivalClock
from .device import CvDevice, VideoCapture
from .live import Feed, LiveSource
from .uri import SourceUri
from .uvc import asked

SINK = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
_DEFAULT_CSI = (1280, 720, 30.0)
_ARGUS = "where it stays so: sudo systemctl restart nvargus-daemon"


def open_gstreamer(uri: SourceUri, capture: CaptureConfig) -> LiveSource:
    """One pipeline per eye, or one and a layout. A pipeline that ends counts as a lost camera and is started again."""
    feeds = [(f"pipeline {i}", with_sink(pipeline)) for i, pipeline in enumerate(uri.paths, 1)]
    return _open(uri, feeds, capture)


def open_csi(uri: SourceUri, capture: CaptureConfig) -> LiveSource:
    capture = asked(uri, capture)
    feeds = [(f"csi sensor {sensor}", csi_pipeline(sensor, capture)) for sensor in uri.paths]
    return _open(uri, feeds, capture, remedy=_ARGUS)


def csi_pipeline(sensor: str, capture: CaptureConfig) -> str:
    """The Jetson's own capture (ISP, NVMM memory) converted to BGR."""
    width, height, fps = capture.width or _DEFAULT_CSI[0], capture.height or _DEFAULT_CSI[1], capture.fps or _DEFAULT_CSI[2]
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={round(fps * 1000)}/1000,format=NV12 ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! {SINK}"
    )


def with_sink(pipeline: str) -> str:
    """The pipeline as typed where it ends in an appsink, else with one that keeps only the newest BGR frame."""
    return pipeline if re.search(r"\bappsink\b", pipeline) else f"{pipeline} ! {SINK}"


def has_gstreamer() -> bool:
    return bool(re.search(r"GStreamer:\s*YES", cv2.getBuildInformation()))


class PositionClock:
    """When the images of one connection were taken, by OpenCV's position of the pipeline; by their arrival where it has none.

    The newest OpenCV tells the stamp of the image itself, older ones where the sink is: at that image, or at the present.
    """

    def __init__(self) -> None:
        self._clock = ArrivalClock()
        self._position_ns = 0

    def stamp_ns(self, camera: VideoCapture, arrived_ns: int) -> int:
        position_ns = round(camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if position_ns <= self._position_ns:
            return arrived_ns
        self._position_ns = position_ns
        return self._clock.stamp_ns(position_ns, arrived_ns)


def _open(uri: SourceUri, feeds: list[tuple[str, str]], capture: CaptureConfig, remedy: str = "") -> LiveSource:
    if not has_gstreamer():
        raise SourceError(
            f"{uri.text}: needs an OpenCV built with GStreamer, which pip's is not; use the system's "
            "(apt install python3-opencv, or JetPack's) in a venv made with --system-site-packages, without opencv-python in it"
        )
    return LiveSource(
        uri.text,
        [Feed(name, partial(_device, pipeline, capture), remedy) for name, pipeline in feeds],
        capture,
        layout=uri.layout,
        silent="try each pipeline alone with: gst-launch-1.0 PIPELINE ! fakesink",
    )


def _device(pipeline: str, capture: CaptureConfig) -> CvDevice:
    return CvDevice(
        partial(_capture, pipeline, capture),
        lambda: f"the GStreamer pipeline does not start: {pipeline}; try it with: gst-launch-1.0 -v PIPELINE ! fakesink",
        stamp_ns=PositionClock().stamp_ns,
    )


def _capture(pipeline: str, capture: CaptureConfig) -> VideoCapture:
    # OpenCV has time-outs here from 4.7 on; before, a silent pipeline is left to the watchdog.
    version = tuple(int(n) for n in cv2.__version__.split(".")[:2])
    timeout_ms = round(capture.timeout_s * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 3 * timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER, limits if version >= (4, 7) else [])
