"""MCAP and ROS 1 bags: recordings round trip bit for bit, foreign ones are read, damaged ones are one sentence."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stereo_rt import rosmsg
from stereo_rt.calib.formats import ros
from stereo_rt.calib.formats.ours import to_yaml
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.cli.app import main
from stereo_rt.config import CaptureConfig
from stereo_rt.describe import describe
from stereo_rt.errors import MissingExtra, SourceError, StereoError
from stereo_rt.frames import StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sinks import files
from stereo_rt.sinks.manifest import read_manifest
from stereo_rt.sinks.recorder import Recorder
from stereo_rt.sources import open_source

pytest.importorskip("mcap_ros2")
from stereo_rt.sinks.mcap import Messages
from stereo_rt.sources.mcap import McapBag

RIG = RectifiedRig(48, 32, fx_px=60, cx_px=23.5, cy_px=15.5, baseline_m=0.1, doffs_px=1.5)
CAMERA = "synthetic://room?raw=1&width=160&height=120&frames=4"
MS = 1_000_000


def played(uri: str, **capture: Any) -> list[StereoFrame]:
    source = open_source(uri, CaptureConfig(**capture))
    try:
        return list(iter(lambda: source.read(5), None))
    finally:
        source.close()


def picture(seed: int, shape: tuple[int, ...] = (32, 48, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def raw_rig(**changes: Any) -> StereoRig:
    source = open_source(CAMERA)
    source.close()
    assert isinstance(source.calibration, StereoRig)
    return replace(source.calibration, **changes)


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes (topic, kind, message, log_ns) rows to run.mcap."""

    def write(rows: list[tuple[str, str, dict, int]]) -> Path:
        path = tmp_path / "run.mcap"
        file = Messages(path)
        for row in rows:
            file.add(*row)
        file.close()
        return path

    yield write


def images(
    topics: tuple[str, str], stamps_ms: list[tuple[float, float]], make: Callable[[int, int], dict] | None = None
) -> list:
    """A row per eye and pair of stamps."""
    make = make or (lambda seed, stamp: rosmsg.image(picture(seed), stamp, "c"))
    rows = []
    for n, stamps in enumerate(stamps_ms):
        for eye, topic in enumerate(topics):
            stamp = round(stamps[eye] * MS)
            message = make(2 * n + eye, stamp)
            rows.append((topic, rosmsg.IMAGE if "encoding" in message else rosmsg.COMPRESSED, message, stamp))
    return rows


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


# -- calibration in CameraInfo ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rig",
    [
        RIG,
        raw_rig(verdict=None),
        StereoRig(
            *(
                CameraModel(160, 120, np.array([[90, 0, 80], [0, 90, 60], [0, 0, 1]]), np.array(k) / 100, "fisheye")
                for k in ([1, 2, 0, 0], [0, 1, 0, 0])
            ),
            np.eye(3),
            np.array([-0.1, 0.001, 0]),
        ),
    ],
    ids=["rectified", "raw", "fisheye"],
)
def test_camera_info_carries_the_geometry(write: Callable[..., Path], rig: StereoRig | RectifiedRig) -> None:
    """Without our attachment, as other programs write it: equal up to rounding."""
    name = "image_rect" if isinstance(rig, RectifiedRig) else "image_raw"
    rows = images((f"/cam/left/{name}", f"/cam/right/{name}"), [(1, 1), (34, 34)])
    for eye, info in zip(("left", "right"), ros.camera_infos(rig), strict=True):
        rows.append((f"/cam/{eye}/camera_info", rosmsg.CAMERA_INFO, rosmsg.camera_info(info, 0, "c"), 0))
    source = open_source(str(write(rows)))
    source.close()
    got = source.calibration
    if isinstance(rig, RectifiedRig):
        assert isinstance(got, RectifiedRig)
        np.testing.assert_allclose([got.fx_px, got.cx_px, got.cy_px, got.baseline_m, got.doffs_px], [60, 23.5, 15.5, 0.1, 1.5])
        return
    assert isinstance(got, StereoRig)
    np.testing.assert_allclose(got.R_right_left, rig.R_right_left, atol=1e-12)
    np.testing.assert_allclose(got.T_right_left_m, rig.T_right_left_m, atol=1e-12)
    for a, b in ((got.left, rig.left), (got.right, rig.right)):
        np.testing.assert_array_equal(a.K, b.K)
        assert a.model == b.model
        np.testing.assert_array_equal(a.dist[: b.dist.size], b.dist)


def test_a_camera_info_of_single_eyes_is_left_out_with_a_warning(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    rows = images(("/left/image_raw", "/right/image_raw"), [(1, 1)])
    left, _ = ros.camera_infos(RIG)
    rows += [(f"/{eye}/camera_info", rosmsg.CAMERA_INFO, rosmsg.camera_info(left, 0, "c"), 0) for eye in ("left", "right")]
    source = open_source(str(write(rows)))
    source.close()
    assert source.calibration is None
    assert "is not used: the baseline is 0 m" in caplog.text


# -- what others record ----------------------------------------------------------------------------------------------

ENCODED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mono8": lambda bgr: bgr[:, :, 0],
    "rgb8": lambda bgr: bgr[:, :, ::-1],
    "bgra8": lambda bgr: np.dstack([bgr, bgr[:, :, :1]]),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings_and_padded_rows(write: Callable[..., Path], encoding: str) -> None:
    def make(seed: int, stamp: int) -> dict:
        rows = np.ascontiguousarray(ENCODED[encoding](picture(seed))).reshape(32, -1)
        padded = np.pad(rows, ((0, 0), (0, 7)))
        message = rosmsg.image(padded, stamp, "c")
        return message | {"encoding": encoding, "width": 48}

    (frame,) = played(str(write(images(("/infra1/image_raw", "/infra2/image_raw"), [(1, 1)], make))))
    for seed, got in ((0, frame.left), (1, frame.right)):
        np.testing.assert_array_equal(got, picture(seed)[:, :, 0] if encoding == "mono8" else picture(seed))


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_compressed_images(write: Callable[..., Path], suffix: str) -> None:
    def make(seed: int, stamp: int) -> dict:
        smooth = cv2.GaussianBlur(picture(seed), (0, 0), 5)
        data = cv2.imencode(f".{suffix}", smooth)[1].tobytes()
        return {"header": rosmsg.header(stamp, "c"), "format": suffix, "data": data}

    (frame,) = played(str(write(images(("/cam0/image_raw/compressed", "/cam1/image_raw/compressed"), [(5, 6)], make))))
    assert (frame.stamp_ns, frame.skew_ns) == (5 * MS, MS)
    error = np.abs(frame.left.astype(int) - cv2.GaussianBlur(picture(0), (0, 0), 5))
    assert error.max() == 0 if suffix == "png" else error.mean() < 4


def test_pairs_are_made_by_stamp(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    """The second right image is missing, and right ones come 3 ms late."""
    rows = images(("/left/image_raw", "/right/image_raw"), [(0.1, 3), (33, 36), (66, 69), (99, 102)])
    del rows[3]
    got = played(str(write(rows)))
    assert [f.index for f in got] == [0, 2, 3]
    assert [f.stamp_ns / MS for f in got] == [0.1, 66, 99]
    assert "1 images had no partner" in caplog.text


def test_images_without_a_stamp_go_by_the_time_of_recording(write: Callable[..., Path]) -> None:
    rows = [
        (topic, kind, message | {"header": rosmsg.header(0, "c")}, log_ns)
        for topic, kind, message, log_ns in images(("/left/image", "/right/image"), [(7, 7), (40, 41)])
    ]
    assert [(f.stamp_ns / MS, f.skew_ns / MS) for f in played(str(write(rows)))] == [(7, 0), (40, 1)]


def test_pairs_too_far_apart_say_how_to_allow_them(write: Callable[..., Path]) -> None:
    path = write(images(("/left/image", "/right/image"), [(100, 120), (200, 220)]))
    with pytest.raises(SourceError, match=r"nearest are 20\.0 ms apart.*capture\.max_skew_ms=24"):
        open_source(str(path))
    assert len(played(str(path), max_skew_ms=24)) == 2


def test_topics_are_chosen_by_name(write: Callable[..., Path]) -> None:
    rows = images(("/a/left/image", "/a/right/image"), [(1, 1)]) + images(("/b/left/image", "/b/right/image"), [(1, 1), (2, 2)])
    path = write(rows)
    with pytest.raises(
        SourceError, match=r"2 pairs of image topics; choose one, such as '.*run\.mcap\?left=/a/left/image&right="
    ):
        open_source(str(path))
    assert len(played(f"{path}?left=/b/left/image&right=b/right/image")) == 2
    swapped = played(f"{path}?left=/b/right/image&right=/b/left/image")
    np.testing.assert_array_equal(swapped[0].left, picture(1))
    for options, said in (
        ("left=/c&right=/b/right/image", r"has no images in '/c'; give both eyes, of these topics: /a/left/image"),
        ("left=/b/left/image", r"has no images in '/'"),
        ("left=/a/left/image&right=/a/left/image", r"both eyes are /a/left/image"),
    ):
        with pytest.raises(SourceError, match=said):
            open_source(f"{path}?{options}")


def test_what_is_no_pair_is_a_sentence(write: Callable[..., Path]) -> None:
    depth = rosmsg.image(np.ones((4, 4), np.float32), 1, "c")
    for rows, said in (
        ([("/left/depth", rosmsg.IMAGE, depth, 1)], r"no two image topics.*images: /left/depth"),
        ([(f"/{eye}/depth", rosmsg.IMAGE, depth, 1) for eye in ("left", "right")], r"images are '32FC1', and mono8"),
        (
            images(("/left/i", "/right/i"), [(1, 1)], lambda n, t: rosmsg.image(picture(n, (8, 8 + n)), t, "c")),
            r"are 8x8 and 9x8",
        ),
        (
            images(("/left/i", "/right/i"), [(1, 1)], lambda n, t: rosmsg.image(picture(n), t, "c") | {"step": 10}),
            r"do not fit",
        ),
    ):
        with pytest.raises(SourceError, match=said):
            open_source(str(write(rows)))


def test_it_loops(write: Callable[..., Path]) -> None:
    path = write(images(("/left/image", "/right/image"), [(1, 1), (34, 34)]))
    source = open_source(str(path), CaptureConfig(loop=True))
    got = [source.read(5) for _ in range(5)]
    source.close()
    assert [f.index for f in got if f] == [0, 1, 2, 3, 4]
    assert np.all(np.diff([f.stamp_ns for f in got if f]) > 0)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_without_an_index_is_read_in_its_own_order(tmp_path: Path, chunked: bool) -> None:
    from mcap.writer import IndexType, Writer

    indexed, plain = tmp_path / "indexed.mcap", tmp_path / "plain.mcap"
    file = Messages(indexed)
    for row in images(("/left/image", "/right/image"), [(1, 1), (34, 34), (67, 67)]):
        file.add(*row)
    file.close()
    with plain.open("wb") as stream:
        writer = Writer(
            stream,
            use_chunking=chunked,
            index_types=IndexType.NONE,
            repeat_channels=False,
            repeat_schemas=False,
            use_statistics=False,
            use_summary_offsets=False,
        )
        writer.start()
        bag = McapBag(str(indexed))
        channels: dict[str, int] = {}
        for schema, channel, message in bag._reader.iter_messages():
            if channel.topic not in channels:
                assert schema is not None
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.topic] = writer.register_channel(channel.topic, "cdr", number)
            writer.add_message(channels[channel.topic], message.log_time, message.data, message.publish_time)
        bag.close()
        writer.finish()
    a, b = played(str(indexed)), played(str(plain))
    assert len(a) == len(b) == 3
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.left, y.left)
        assert x.stamp_ns == y.stamp_ns
    assert describe(str(plain))["duration_s"] == 0.066


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
    pytest.importorskip("rosbags")
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


# -- ROS 1 -----------------------------------------------------------------------------------------------------------


def test_a_ros1_bag_reads_as_its_mcap(tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
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
