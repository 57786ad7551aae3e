"""ROS 1 bags as a source."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stereo_rt import rosmsg
from stereo_rt.calib.formats import ros
from stereo_rt.describe import describe
from stereo_rt.errors import MissingExtra, StereoError
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources import open_source

pytest.importorskip("rosbags.rosbag1")

from recordings import MS, picture, played

RIG = RectifiedRig(48, 32, fx_px=60, cx_px=23.5, cy_px=15.5, baseline_m=0.1, doffs_px=1.5)


def test_a_ros1_bag_reads_as_its_mcap(tmp_path: Path) -> None:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC)
    T = types.types
    path = tmp_path / "run.bag"

    def header(ns: int) -> Any:
        return T["std_msgs/msg/Header"](0, T["builtin_interfaces/msg/Time"](ns // 10**9, ns % 10**9), "c")

    with Writer(path) as writer:
        for eye, info in zip(("left", "right"), ros.camera_infos(RIG), strict=True):
            kind = "sensor_msgs/msg/CameraInfo"
            m = rosmsg.camera_info(info, 0, "c")
            roi = T["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
            d, k, r, p = (np.array(m[name], float) for name in "dkrp")
            message = T[kind](header(0), m["height"], m["width"], m["distortion_model"], d, k, r, p, 0, 0, roi)
            writer.write(
                writer.add_connection(f"/{eye}/camera_info", kind, typestore=types), MS, types.serialize_ros1(message, kind)
            )
        for i, eye in enumerate(("left", "right")):
            kind = "sensor_msgs/msg/Image"
            connection = writer.add_connection(f"/{eye}/image_rect", kind, typestore=types)
            for n in range(3):
                ns = (33 * n + 1) * MS + i
                message = T[kind](header(ns), 32, 48, "bgr8", 0, 144, picture(2 * n + i).ravel())
                writer.write(connection, ns, types.serialize_ros1(message, kind))
    source = open_source(str(path))
    assert isinstance(source.calibration, RectifiedRig)
    assert source.calibration.baseline_m == pytest.approx(0.1)
    got = list(iter(lambda: source.read(5), None))
    source.close()
    assert [(f.index, f.stamp_ns, f.skew_ns) for f in got] == [(n, (33 * n + 1) * MS, 1) for n in range(3)]
    for n, frame in enumerate(got):
        np.testing.assert_array_equal(frame.left, picture(2 * n))
        np.testing.assert_array_equal(frame.right, picture(2 * n + 1))
    assert describe(str(path))["topics"]["/left/image_rect"] == "sensor_msgs/Image, 3"
    data, rng = path.read_bytes(), random.Random(0)
    for _ in range(40):
        path.write_bytes(data[: rng.randrange(len(data))])
        with pytest.raises(StereoError):
            played(str(path))


def test_a_bag_without_the_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.bag").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.rosbag1", None)
    with pytest.raises(MissingExtra, match=r"stereo_rt\[bag\]"):
        open_source(str(tmp_path / "run.bag"))
