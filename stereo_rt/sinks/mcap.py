"""MCAP files in the messages of ROS 2: raw pairs that `view` and `process` read, results that Foxglove Studio shows."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import rosmsg
from ..atomic import replacing
from ..calib.formats.ours import to_yaml
from ..calib.formats.ros import camera_infos
from ..calib.rig import StereoRig
from ..errors import MissingExtra, OutputError
from ..frames import DepthResult, StereoFrame
from ..geometry import RectifiedRig
from ..post.cloud import cloud_of
from ..sources.mcap import CALIBRATION

LEFT = "left_camera"
"""A frame in the sense of ROS: x right, y down, z forward."""
RESULTS = {
    "/left/image_rect": "the rectified left image",
    "/left/camera_info": "its geometry",
    "/left/depth": "32FC1, m along the optical axis, masked, NaN where not valid",
    "/left/disparity": "32FC1, px, not masked, NaN where there is none",
    "/left/confidence": "32FC1, 0 to 1",
    "/left/points": "points in m, coloured, masked",
}
"""What a file of results holds (the metric ones where there is a calibration)."""


def require() -> None:
    """Raises MissingExtra where MCAP cannot be written."""
    if importlib.util.find_spec("mcap") is None or importlib.util.find_spec("mcap_ros2") is None:
        raise MissingExtra("writing MCAP", "mcap")


class Messages:
    """A new MCAP file at `path`, compressed without loss and indexed when it is closed. Raises OutputError."""

    def __init__(self, path: Path) -> None:
        require()
        from mcap_ros2.writer import Writer

        self._path = path
        with self._said():
            self._file = path.open("wb")
            self._writer = Writer(self._file)
            self._schemas: dict[str, Any] = {}

    def add(self, topic: str, kind: str, message: dict[str, Any], stamp_ns: int) -> None:
        with self._said():
            if kind not in self._schemas:
                name = kind.replace("/", "/msg/")
                self._schemas[kind] = self._writer.register_msgdef(name, rosmsg.DEFINITIONS[kind])
            self._writer.write_message(topic, self._schemas[kind], message, log_time=stamp_ns, publish_time=stamp_ns)

    def attach(self, name: str, text: str) -> None:
        with self._said():
            self._writer.add_attachment(0, 0, name, "application/yaml", text.encode())

    def close(self) -> None:
        with self._said(), self._file:
            self._writer.finish()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written ({e.strerror or e}); free some space") from None


class PairMessages:
    """Raw pairs as the recorder hands them over: <eye>/image_raw, or image_rect for rectified ones, and camera_info."""

    def __init__(self, path: Path, calibration: StereoRig | RectifiedRig | None) -> None:
        """Raises OutputError, MissingExtra, and CalibrationError for a rig that cannot be rectified."""
        self._infos = () if calibration is None else camera_infos(calibration)
        self._image = "image_rect" if isinstance(calibration, RectifiedRig) else "image_raw"
        self._file = Messages(path)
        if calibration is not None:
            self._file.attach(CALIBRATION, to_yaml(calibration))

    def add(self, frame: StereoFrame, since_ns: int) -> None:
        stamps = frame.stamp_ns, frame.stamp_ns + frame.skew_ns
        for i, (eye, image, stamp) in enumerate(zip(("left", "right"), (frame.left, frame.right), stamps, strict=True)):
            if self._infos:
                info = rosmsg.camera_info(self._infos[i], stamp, f"{eye}_camera")
                self._file.add(f"/{eye}/camera_info", rosmsg.CAMERA_INFO, info, stamp)
            message = rosmsg.image(image, stamp, f"{eye}_camera")
            self._file.add(f"/{eye}/{self._image}", rosmsg.IMAGE, message, stamp)

    def close(self) -> None:
        self._file.close()


class ResultMessages:
    """Results as RESULTS says. The file appears under its name when it is closed and whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = contextlib.ExitStack()
        self._file: Messages | None = None

    def add(self, result: DepthResult) -> None:
        if self._file is None:
            self._file = Messages(self._open.enter_context(replacing(self.path)))
        stamp = result.stamp_ns
        images = {"image_rect": result.left, "disparity": result.disparity_px, "confidence": result.confidence}
        if result.rig.metric:
            images["depth"] = result.depth_m
            info = rosmsg.camera_info(camera_infos(result.rig)[0], stamp, LEFT)
            self._file.add("/left/camera_info", rosmsg.CAMERA_INFO, info, stamp)
            self._file.add("/left/points", rosmsg.POINTS, rosmsg.points(cloud_of(result), stamp, LEFT), stamp)
        for name, values in images.items():
            self._file.add(f"/left/{name}", rosmsg.IMAGE, rosmsg.image(values, stamp, LEFT), stamp)

    def close(self) -> None:
        """Finish the file. Nothing appears when no result was added."""
        with self._open:
            if self._file is not None:
                self._file.close()
                self._file = None
