"""Two UVC cameras through the whole of open_source, with scripted cameras in the place of the hardware."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import ScriptedCamera, wait_for

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError
from stereo_rt.sources import Source, open_source, uvc
from stereo_rt.sources.device import CvDevice
from stereo_rt.sources.uri import parse_source

CAPTURE = CaptureConfig(timeout_s=1.0, reopen_s=0.02, reopen_max_s=0.1)
TWO = "v4l2:///dev/video0,/dev/video2"


class Bench:
    def __init__(self) -> None:
        self.cameras = {0: ScriptedCamera(), 2: ScriptedCamera()}
        self.opened: list[Source] = []

    def open(self, uri: str, capture: CaptureConfig = CAPTURE) -> Source:
        self.opened.append(open_source(uri, capture))
        return self.opened[-1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench()
    monkeypatch.setattr(uvc.cv2, "VideoCapture", lambda number, api: bench.cameras[number].connect())
    yield bench
    for source in bench.opened:
        source.close()


def test_settings_are_asked_mjpg_first_and_differences_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.cameras[2].limits = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"YUYV"))}
    with caplog.at_level(logging.WARNING):
        source = bench.open(TWO, CAPTURE.model_copy(update={"width": 1280, "height": 480, "fps": 30.0}))
        bench.cameras[2].plugged = False
        wait_for(lambda: "/dev/video2: lost" in source.status.detail, "the loss is told")
        bench.cameras[2].plugged = True
        wait_for(lambda: source.status.state == "ok" and source.status.reopened == 1, "back, and configured again")
    said = [r.message for r in caplog.records if "asked" in r.message]
    assert said == [
        "/dev/video2: fourcc MJPG was asked, it delivers YUYV",
        "/dev/video2: width 1280 was asked, it delivers 640",
    ]
    assert list(bench.cameras[0].handles[0].settings) == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
        cv2.CAP_PROP_CONVERT_RGB,
    ]


def test_options_of_the_uri_win_over_the_settings() -> None:
    uri = parse_source("v4l2:///dev/video0?layout=sbs&fourcc=YUYV&width=2560&fps=15")
    asked = uvc.asked(uri, CaptureConfig(width=640, height=480, fps=30))
    assert (asked.fourcc, asked.width, asked.height, asked.fps) == ("YUYV", 2560, 480, 15.0)


def test_the_size_of_the_settings_is_of_one_eye() -> None:
    sbs, tb = (parse_source(f"v4l2:///dev/video0?layout={layout}") for layout in ("sbs", "tb"))
    capture = CaptureConfig(width=1280, height=720)
    assert [(a.width, a.height) for a in (uvc.asked(sbs, capture), uvc.asked(tb, capture))] == [(2560, 720), (1280, 1440)]
    assert uvc.asked(parse_source(TWO), capture) == capture


def test_one_dimension_alone_is_asked_with_the_camera_s_other() -> None:
    """OpenCV applies a size only when it was told both."""
    camera = ScriptedCamera().connect()
    camera.settings[cv2.CAP_PROP_FRAME_HEIGHT] = 480.0
    told: dict[int, float] = {}
    camera.set = lambda prop, value: told.update({prop: value}) is None  # type: ignore[method-assign]
    uvc.configure("a camera", CaptureConfig(width=1280), None, set(), camera)
    assert (told[cv2.CAP_PROP_FRAME_WIDTH], told[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 480)


@pytest.mark.parametrize("asked", [{}, {"width": 640, "height": 480}])
def test_a_side_by_side_camera_left_at_its_own_size_says_which(
    bench: Bench, caplog: pytest.LogCaptureFixture, asked: dict[str, int]
) -> None:
    camera = bench.cameras[0]
    camera.size = (1344, 376)
    camera.limits = {cv2.CAP_PROP_FRAME_WIDTH: 1344.0, cv2.CAP_PROP_FRAME_HEIGHT: 376.0}
    with caplog.at_level(logging.WARNING):
        bench.open("v4l2:///dev/video0?layout=sbs", CAPTURE.model_copy(update=asked))
    said = [r.message for r in caplog.records if "no size was asked, it delivers 1344x376 for both eyes" in r.message]
    assert len(said) == (not asked)
    assert all("--set capture.width=W --set capture.height=H" in line for line in said)


def test_controls_are_set_in_order_at_every_opening_and_read_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A replug puts a camera back to its own; exposure is refused while the automatic one is on."""
    controls = {"exposure": 120.0, "auto_exposure": False, "gain": 0.0, "auto_white_balance": True}
    bench.cameras[2].limits = {cv2.CAP_PROP_GAIN: 5.0}
    with caplog.at_level(logging.WARNING):
        source = bench.open(TWO, CAPTURE.model_copy(update=controls))
        bench.cameras[2].plugged = False
        wait_for(lambda: "/dev/video2: lost" in source.status.detail, "the loss is told")
        bench.cameras[2].plugged = True
        wait_for(lambda: source.status.state == "ok" and source.status.reopened == 1, "back, and configured again")
    wanted = {cv2.CAP_PROP_AUTO_EXPOSURE: 1, cv2.CAP_PROP_AUTO_WB: 1, cv2.CAP_PROP_EXPOSURE: 120, cv2.CAP_PROP_GAIN: 0}
    for handle in (bench.cameras[0].handles[0], bench.cameras[2].handles[0], bench.cameras[2].handles[-1]):
        assert [(prop, value) for prop, value in handle.settings.items() if prop in wanted] == list(wanted.items())
    assert [r.message for r in caplog.records if "asked" in r.message] == ["/dev/video2: gain 0 was asked, it has 5"]


def test_damaged_jpegs_are_no_images(bench: Bench) -> None:
    """OpenCV's own conversion hands the image before out again, or one that is grey from the damage on."""
    sound = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1]
    shown = uvc.decoded(sound.reshape(1, -1))
    assert shown is not None and shown.shape == (48, 64, 3) and abs(int(shown.mean()) - 90) <= 1
    for damaged in (sound[: len(sound) // 2], sound[:-2], np.array([255, 216, 1, 255, 217], np.uint8)):
        assert uvc.decoded(damaged.reshape(1, -1)) is None
    converted = np.zeros((48, 64, 3), np.uint8)
    assert uvc.decoded(converted) is converted  # by a driver that does not give its JPEGs away

    turns = itertools.cycle([200, 50])

    def every_other_cut(image: np.ndarray) -> bytes:
        grey = next(turns)
        data = cv2.imencode(".jpg", np.full_like(image, grey))[1].tobytes()
        return data if grey == 200 else data[:-2]

    bench.cameras[0].jpeg, bench.cameras[0].size = every_other_cut, (128, 48)
    source = bench.open("v4l2:///dev/video0?layout=sbs")
    frames = [source.read(60) for _ in range(6)]
    assert all(f is not None and np.median(f.left) == pytest.approx(200, abs=2) for f in frames)
    assert bench.cameras[0].connections == 1  # a damaged image is no reason to connect again


def test_a_camera_is_opened_again_at_the_port_where_it_was(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a glitch of the hub the two come back with each other's number."""
    monkeypatch.setattr(uvc, "BY_PATH", tmp_path)
    for port, number in (("pci-usb-0:1:1.0", 0), ("pci-usb-0:2:1.0", 2)):
        (tmp_path / f"{port}-video-index0").symlink_to(f"/dev/video{number}")
    source = bench.open(TWO)
    for camera in bench.cameras.values():
        camera.plugged = False
    wait_for(lambda: all(f"/dev/video{n}: lost" in source.status.detail for n in (0, 2)), "the loss is told by what was typed")
    left, right = sorted(tmp_path.iterdir())
    for port, number in ((left, 2), (right, 0)):
        fresh = tmp_path.with_name("fresh")
        fresh.symlink_to(f"/dev/video{number}")
        fresh.replace(port)
    bench.cameras = {0: bench.cameras[2], 2: bench.cameras[0]}
    before = [len(bench.cameras[n].handles) for n in (2, 0)]
    bench.cameras[2].late_s, bench.cameras[2].plugged = 0.004, True  # the left one, under its new number
    bench.cameras[0].plugged = True
    wait_for(lambda: source.status.state == "ok" and source.status.reopened == 2, "both are back")
    assert [len(bench.cameras[n].handles) > b for n, b in zip((2, 0), before, strict=True)] == [True, True]
    frame = source.read(60)
    frame = source.read(60)
    assert frame is not None and frame.skew_ns == pytest.approx(-4e6, abs=1e3)  # the left one is late: not exchanged


def test_the_time_in_the_driver_is_part_of_a_frame_s_age(bench: Bench) -> None:
    """A frame arrived when the kernel had it, not when our thread came round to it."""
    capture = bench.cameras[0].connect()
    device = CvDevice(lambda: capture, lambda: "refused", stamp_ns=lambda _, now_ns: now_ns - 30_000_000)
    device.open()
    assert device.grab()
    shot = device.retrieve()
    assert shot is not None and shot.arrived_ns == shot.stamp_ns


def test_side_by_side_camera(bench: Bench) -> None:
    bench.cameras[0].size = (128, 48)
    frame = bench.open("v4l2:///dev/video0?layout=sbs").read(60)
    assert frame is not None and frame.size == (64, 48)


def test_two_cameras_that_exceed_the_bus_are_told_so(bench: Bench) -> None:
    bench.cameras[2].silent = True
    with pytest.raises(SourceError, match=r"USB bandwidth.*errno 28.*MJPG"):
        bench.open(TWO)


def test_a_clock_that_is_not_the_monotonic_one_is_not_believed(bench: Bench) -> None:
    bench.cameras[0].monotonic_stamps = False
    now_ns = 10**15
    capture = bench.cameras[0].connect()
    assert uvc.kernel_stamp_ns(capture, now_ns) == now_ns
    bench.cameras[2].handles.clear()
    fresh = bench.cameras[2].connect()
    fresh.grab()
    stamp_ns = round(fresh.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
    assert uvc.kernel_stamp_ns(fresh, stamp_ns + 5_000_000) == stamp_ns


def test_an_absent_camera_is_one_sentence(bench: Bench) -> None:
    bench.cameras[0].plugged = False
    if Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    with pytest.raises(SourceError, match=r"/dev/video0: no such camera.*stereo-rt doctor"):
        bench.open(TWO)


def test_swap_exchanges_the_eyes_and_the_sign_of_the_skew(bench: Bench) -> None:
    bench.cameras[2].late_s = 0.004
    straight = bench.open(TWO).read(60)
    swapped = bench.open(TWO, CAPTURE.model_copy(update={"swap": True})).read(60)
    assert straight is not None and swapped is not None
    assert straight.skew_ns == pytest.approx(4e6, abs=1e3)
    assert swapped.skew_ns == pytest.approx(-4e6, abs=1e3)
    assert bench.opened[1].size == (64, 48) and isinstance(bench.opened[1], Source)
