"""Recordings of robots as a source: topics, encodings, stamps, and the calibration in CameraInfo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt import rosmsg
from stereo_rt.calib.formats import ros
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.config import CaptureConfig
from stereo_rt.describe import describe
from stereo_rt.errors import SourceError
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources import open_source

pytest.importorskip("mcap_ros2")
from recordings import MS, images, picture, played, raw_rig, write

from stereo_rt.sinks.mcap import Messages
from stereo_rt.sources.mcap import McapBag

RIG = RectifiedRig(48, 32, fx_px=60, cx_px=23.5, cy_px=15.5, baseline_m=0.1, doffs_px=1.5)

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
def test_camera_info_carries_the_geometry(tmp_path: Path, rig: StereoRig | RectifiedRig) -> None:
    """Without our attachment, as other programs write it: equal up to rounding."""
    name = "image_rect" if isinstance(rig, RectifiedRig) else "image_raw"
    rows = images((f"/cam/left/{name}", f"/cam/right/{name}"), [(1, 1), (34, 34)])
    for eye, info in zip(("left", "right"), ros.camera_infos(rig), strict=True):
        rows.append((f"/cam/{eye}/camera_info", rosmsg.CAMERA_INFO, rosmsg.camera_info(info, 0, "c"), 0))
    source = open_source(str(write(tmp_path / "run.mcap", rows)))
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


def test_a_camera_info_of_single_eyes_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = images(("/left/image_raw", "/right/image_raw"), [(1, 1)])
    left, _ = ros.camera_infos(RIG)
    rows += [(f"/{eye}/camera_info", rosmsg.CAMERA_INFO, rosmsg.camera_info(left, 0, "c"), 0) for eye in ("left", "right")]
    source = open_source(str(write(tmp_path / "run.mcap", rows)))
    source.close()
    assert source.calibration is None
    assert "is not used: the baseline is 0 m" in caplog.text


def test_exchanged_eyes_are_told_with_the_address_that_mends_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = images(("/left/image_raw", "/right/image_raw"), [(1, 1)])
    infos = zip(("right", "left"), ros.camera_infos(raw_rig(verdict=None)), strict=True)
    rows += [(f"/{eye}/camera_info", rosmsg.CAMERA_INFO, rosmsg.camera_info(info, 0, "c"), 0) for eye, info in infos]
    path = write(tmp_path / "run.mcap", rows)
    open_source(str(path)).close()
    assert f"read it as '{path}?left=/right/image_raw&right=/left/image_raw'" in caplog.text
    mended = open_source(f"{path}?left=/right/image_raw&right=/left/image_raw")
    mended.close()
    assert isinstance(mended.calibration, StereoRig)


def test_a_loop_of_frames_with_a_clock_of_their_own_goes_on_at_once(tmp_path: Path) -> None:
    epoch_ms = 1.7e12
    path = write(tmp_path / "run.mcap", images(("/left/image_raw", "/right/image_raw"), [(epoch_ms + t,) * 2 for t in (0, 20)]))
    source = open_source(str(path), CaptureConfig(loop=True), realtime=True)
    frames = [source.read(5) for _ in range(6)]
    source.close()
    stamps_ns = [f.stamp_ns for f in frames if f is not None]
    assert len(stamps_ns) == 6 and np.diff(stamps_ns).min() > 0 and np.diff(stamps_ns).max() < 200 * MS


# -- what others record ----------------------------------------------------------------------------------------------

ENCODED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mono8": lambda bgr: bgr[:, :, 0],
    "rgb8": lambda bgr: bgr[:, :, ::-1],
    "bgra8": lambda bgr: np.dstack([bgr, bgr[:, :, :1]]),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings_and_padded_rows(tmp_path: Path, encoding: str) -> None:
    def make(seed: int, stamp: int) -> dict:
        rows = np.ascontiguousarray(ENCODED[encoding](picture(seed))).reshape(32, -1)
        padded = np.pad(rows, ((0, 0), (0, 7)))
        message = rosmsg.image(padded, stamp, "c")
        return message | {"encoding": encoding, "width": 48}

    (frame,) = played(str(write(tmp_path / "run.mcap", images(("/infra1/image_raw", "/infra2/image_raw"), [(1, 1)], make))))
    for seed, got in ((0, frame.left), (1, frame.right)):
        np.testing.assert_array_equal(got, picture(seed)[:, :, 0] if encoding == "mono8" else picture(seed))


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_compressed_images(tmp_path: Path, suffix: str) -> None:
    def make(seed: int, stamp: int) -> dict:
        smooth = cv2.GaussianBlur(picture(seed), (0, 0), 5)
        data = cv2.imencode(f".{suffix}", smooth)[1].tobytes()
        return {"header": rosmsg.header(stamp, "c"), "format": suffix, "data": data}

    (frame,) = played(
        str(write(tmp_path / "run.mcap", images(("/cam0/image_raw/compressed", "/cam1/image_raw/compressed"), [(5, 6)], make)))
    )
    assert (frame.stamp_ns, frame.skew_ns) == (5 * MS, MS)
    error = np.abs(frame.left.astype(int) - cv2.GaussianBlur(picture(0), (0, 0), 5))
    assert error.max() == 0 if suffix == "png" else error.mean() < 4


def test_pairs_are_made_by_stamp(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second right image is missing, and right ones come 3 ms late."""
    rows = images(("/left/image_raw", "/right/image_raw"), [(0.1, 3), (33, 36), (66, 69), (99, 102)])
    del rows[3]
    got = played(str(write(tmp_path / "run.mcap", rows)))
    assert [f.index for f in got] == [0, 2, 3]
    assert [f.stamp_ns / MS for f in got] == [0.1, 66, 99]
    assert "1 images had no partner" in caplog.text


def test_images_without_a_stamp_go_by_the_time_of_recording(tmp_path: Path) -> None:
    rows = [
        (topic, kind, message | {"header": rosmsg.header(0, "c")}, log_ns)
        for topic, kind, message, log_ns in images(("/left/image", "/right/image"), [(7, 7), (40, 41)])
    ]
    assert [(f.stamp_ns / MS, f.skew_ns / MS) for f in played(str(write(tmp_path / "run.mcap", rows)))] == [(7, 0), (40, 1)]


def test_pairs_too_far_apart_say_how_to_allow_them(tmp_path: Path) -> None:
    path = write(tmp_path / "run.mcap", images(("/left/image", "/right/image"), [(100, 120), (200, 220)]))
    with pytest.raises(SourceError, match=r"nearest are 20\.0 ms apart.*capture\.max_skew_ms=24"):
        open_source(str(path))
    assert len(played(str(path), max_skew_ms=24)) == 2


def test_topics_are_chosen_by_name(tmp_path: Path) -> None:
    rows = images(("/a/left/image", "/a/right/image"), [(1, 1)]) + images(("/b/left/image", "/b/right/image"), [(1, 1), (2, 2)])
    path = write(tmp_path / "run.mcap", rows)
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


def test_what_is_no_pair_is_a_sentence(tmp_path: Path) -> None:
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
            open_source(str(write(tmp_path / "run.mcap", rows)))


def test_it_loops(tmp_path: Path) -> None:
    path = write(tmp_path / "run.mcap", images(("/left/image", "/right/image"), [(1, 1), (34, 34)]))
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
