"""MCAP as we write it: recordings round trip bit for bit, results hold what the files hold, damage is one sentence."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stereo_rt import rosmsg
from stereo_rt.calib.formats.ours import to_yaml
from stereo_rt.cli.app import main
from stereo_rt.describe import describe
from stereo_rt.errors import SourceError, StereoError
from stereo_rt.frames import StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sinks import files
from stereo_rt.sinks.manifest import read_manifest
from stereo_rt.sinks.recorder import Recorder
from stereo_rt.sources import open_source

pytest.importorskip("mcap_ros2")
from recordings import CAMERA, MS, picture, played, raw_rig

from stereo_rt.sources.mcap import McapBag

RIG = RectifiedRig(48, 32, fx_px=60, cx_px=23.5, cy_px=15.5, baseline_m=0.1, doffs_px=1.5)

# -- what we record --------------------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    """Whether two rigs are equal to the last bit."""
    return type(a) is type(b) and to_yaml(a) == to_yaml(b)


@pytest.mark.parametrize("rig", [RIG, None], ids=["rectified", "unknown"])
@pytest.mark.parametrize("shape", [(32, 48, 3), (32, 48)], ids=["colour", "grey"])
def test_pairs_come_back_bit_for_bit(tmp_path: Path, rig: RectifiedRig | None, shape: tuple[int, ...]) -> None:
    path = tmp_path / "run.mcap"
    recorder = Recorder(rig, patient=True)
    recorder.start(path)
    start = 1_700_000_000_123_456_789
    sent = [StereoFrame(picture(i, shape), picture(i + 50, shape), i, start + 33 * MS * i, skew_ns=17) for i in range(20)]
    for frame in sent:
        recorder.write(frame)
    assert recorder.stop() == f"20 pairs in {path}; play them with: stereo-rt view {path}{'' if rig else ' --rectified'}"
    source = open_source(str(path))
    assert (source.size, source.length, source.live, source.calibration) == ((48, 32), 20, False, rig)
    assert source.fps == pytest.approx(1 / 0.033, rel=1e-3)
    for frame in sent:
        got = source.read(5)
        assert got is not None
        np.testing.assert_array_equal(got.left, frame.left)
        np.testing.assert_array_equal(got.right, frame.right)
        assert (got.index, got.stamp_ns, got.skew_ns) == (frame.index, frame.stamp_ns, 17)
    assert source.read(5) is None
    source.close()
    assert [p.name for p in tmp_path.iterdir()] == ["run.mcap"]


def test_processing_the_recording_equals_processing_the_source(tmp_path: Path) -> None:
    run = tmp_path / "run.mcap"
    main_ok("record", CAMERA, "-o", run)
    source = open_source(str(run))
    source.close()
    assert same(source.calibration, raw_rig())
    for name, uri in (("direct", CAMERA), ("recorded", str(run))):
        main_ok("process", uri, "-o", tmp_path / name, "--backend", "sgbm", "--format", "pfm")
    for i in range(4):
        direct, recorded = (files.read_pfm(tmp_path / n / f"disparity/{i:06d}.pfm") for n in ("direct", "recorded"))
        np.testing.assert_array_equal(recorded, direct)
    stamps = [
        [f["timestamp_ns"] for f in read_manifest(tmp_path / n / "manifest.json")["frames"]] for n in ("direct", "recorded")
    ]
    assert stamps[0] == stamps[1]


def main_ok(*args: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in args])
    assert end.value.code == 0


# -- results ---------------------------------------------------------------------------------------------------------


def test_results_hold_what_the_files_hold(tmp_path: Path) -> None:
    out = tmp_path / "out"
    main_ok("process", CAMERA, "-o", out, "--backend", "sgbm", "--format", "npz,ply,mcap")
    manifest = read_manifest(out / "manifest.json")
    assert {f["files"]["mcap"] for f in manifest["frames"]} == {"result.mcap"}
    assert manifest["units"]["mcap"]["topics"]["/left/disparity"].startswith("32FC1, px")
    bag = McapBag(str(out / "result.mcap"))
    assert {name: topic.count for name, topic in bag.topics.items()} == dict.fromkeys(manifest["units"]["mcap"]["topics"], 4)
    messages = {(topic, ns): m for topic, ns, m in bag.messages(tuple(bag.topics))}
    bag.close()
    for frame in manifest["frames"]:
        arrays, stamp = files.read_npz(out / frame["files"]["npz"]), frame["timestamp_ns"]
        for topic, name in (("depth", "depth_m"), ("disparity", "disparity_px"), ("confidence", "confidence")):
            message = messages[f"/left/{topic}", stamp]
            assert (message.encoding, rosmsg.stamp_ns(message)) == ("32FC1", stamp)
            values = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
            np.testing.assert_array_equal(values, arrays[name])
        info = messages["/left/camera_info", stamp]
        assert (info.p[0], info.k[2]) == (frame["rig"]["fx_px"], frame["rig"]["cx_px"])
        cloud, points = files_cloud(out / frame["files"]["ply"]), messages["/left/points", stamp]
        rows = np.frombuffer(points.data, np.float32).reshape(-1, 4)
        np.testing.assert_array_equal(rows[:, :3], cloud[0])
        rgb = rows[:, 3].copy().view(np.uint32)
        np.testing.assert_array_equal(np.stack([rgb >> 16, rgb >> 8 & 255, rgb & 255], axis=1), cloud[1])
    assert not [p for p in out.iterdir() if ".part" in p.name]


def test_another_decoder_understands_what_we_write(tmp_path: Path) -> None:
    """rosbags has its own CDR and its own definitions, those of ROS itself."""
    pytest.importorskip("rosbags.typesys")
    from rosbags.typesys import Stores, get_typestore

    main_ok("record", CAMERA, "-o", tmp_path / "run.mcap", "--max-frames", 1)
    main_ok("process", tmp_path / "run.mcap", "-o", tmp_path / "out", "--backend", "sgbm", "--format", "mcap")
    types, seen = get_typestore(Stores.ROS2_HUMBLE), {}
    for path in (tmp_path / "run.mcap", tmp_path / "out/result.mcap"):
        bag = McapBag(str(path))
        for schema, channel, message in bag._reader.iter_messages():
            assert schema is not None
            seen[channel.topic] = types.deserialize_cdr(message.data, schema.name)
        bag.close()
    source = open_source(CAMERA)
    frame = source.read(5)
    source.close()
    assert frame is not None
    right = seen["/right/image_raw"]
    np.testing.assert_array_equal(right.data.reshape(120, 160, 3), frame.right)
    assert (right.encoding, right.step, right.header.frame_id) == ("bgr8", 480, "right_camera")
    rig = raw_rig()
    np.testing.assert_array_equal(seen["/right/camera_info"].k.reshape(3, 3), rig.right.K)
    assert seen["/right/camera_info"].p[3] == pytest.approx(-0.12 * seen["/right/camera_info"].p[0])
    points = seen["/left/points"]
    assert [(f.name, f.offset) for f in points.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
    assert points.width * points.point_step == points.row_step == points.data.size
    depth = seen["/left/depth"].data.view(np.float32)
    assert np.isfinite(depth).sum() == points.width


def files_cloud(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from stereo_rt.sinks.ply import read_ply

    cloud = read_ply(path)
    return cloud.points_m, cloud.colors_rgb


def test_a_continued_run_writes_a_part_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("process", CAMERA, "-o", out, "--backend", "sgbm", "--format", "mcap")
    main_ok(*args, "--max-frames", 2)
    before = (out / "result.mcap").read_bytes()
    main_ok(*args, "--resume")
    assert (out / "result.mcap").read_bytes() == before
    assert [f["files"]["mcap"] for f in read_manifest(out / "manifest.json")["frames"]] == ["result.mcap"] * 2 + [
        "result.000002.mcap"
    ] * 2


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.mcap"
    main_ok("record", CAMERA, "-o", path)
    capsys.readouterr()
    main_ok("info", path, "--json")
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["duration_s"] == 0.1
    assert facts["topics"]["/left/image_raw"] == "sensor_msgs/Image, 4"
    assert (facts["stereo"]["size"], facts["stereo"]["frames"]) == ([160, 120], 4)
    assert facts["stereo"]["calibration"] == "its own, baseline 0.12 m"


# -- what is damaged -------------------------------------------------------------------------------------------------


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    """Cut or with bytes changed anywhere: the pairs that were read are right, and what is raised is a StereoError."""
    good, bad = tmp_path / "good.mcap", tmp_path / "bad.mcap"
    recorder = Recorder(RIG, patient=True)
    recorder.start(good)
    for i in range(3):
        recorder.write(StereoFrame(picture(i, (8, 16)), picture(i, (8, 16)), i, (i + 1) * 33 * MS))
    recorder.stop()
    data, rng = good.read_bytes(), random.Random(0)
    told = 0
    for trial in range(150):
        broken = bytearray(data)
        if trial % 3 == 0:
            del broken[rng.randrange(len(data)) :]
        for _ in range(trial % 3 * 2):
            broken[rng.randrange(len(data))] = rng.randrange(256)
        bad.write_bytes(broken)
        try:
            frames = played(str(bad))
            describe(str(bad))
        except StereoError as e:
            assert "\n" not in str(e)
            told += 1
        else:
            assert all(np.array_equal(f.left, f.right) for f in frames)
    assert told > 50
    bad.write_bytes(b"something else")
    with pytest.raises(SourceError, match=r"is no MCAP recording.*mcap recover .*bad\.mcap"):
        open_source(str(bad))


@pytest.mark.parametrize(
    "command",
    [("view", "run.mcap"), ("record", CAMERA, "-o", "new.mcap"), ("process", CAMERA, "-o", "out", "--format", "mcap")],
)
def test_a_missing_package_is_named_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (tmp_path / "run.mcap").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for name in ("mcap", "mcap.reader", "mcap_ros2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as end:
        main(list(command))
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert "pip install 'stereo_rt[mcap]'" in error and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.mcap"]
