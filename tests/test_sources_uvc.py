"""Two UVC cameras through the whole of open_source, with scripted cameras in the place of the hardware."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from scripted import ScriptedCamera, wait_for

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError
from stereo_rt.sources import Source, open_source, uvc
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
    ]


def test_options_of_the_uri_win_over_the_settings() -> None:
    uri = parse_source("v4l2:///dev/video0?layout=sbs&fourcc=YUYV&width=2560&fps=15")
    asked = uvc.asked(uri, CaptureConfig(width=640, height=480, fps=30))
    assert (asked.fourcc, asked.width, asked.height, asked.fps) == ("YUYV", 2560, 480, 15.0)


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
