"""Cameras that stall, drop an eye, change size, die and come back, or never do: the source recovers or says why not."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Iterator

import pytest
from scripted import PERIOD_S, ScriptedCamera, taken_ns, wait_for

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError, SourceTimeout
from stereo_rt.frames import StereoFrame
from stereo_rt.sources.base import Source
from stereo_rt.sources.device import CvDevice
from stereo_rt.sources.live import Feed, LiveSource

CAPTURE = CaptureConfig(timeout_s=1.0, reopen_s=0.02, reopen_max_s=0.1, max_skew_ms=5)


class Rig:
    """Cameras under test, and whatever was opened on them."""

    def __init__(self) -> None:
        self.left, self.right = ScriptedCamera(), ScriptedCamera()
        self.opened: list[LiveSource] = []
        self.now = 0

    def open(self, capture: CaptureConfig = CAPTURE, *, layout: str | None = None, remedy: str = "") -> LiveSource:
        cameras = [self.left] if layout else [self.left, self.right]
        feeds = [
            Feed(name, lambda c=c: CvDevice(c.connect, lambda: "refused", stamp_ns=taken_ns), remedy)
            for name, c in zip(("left camera", "right camera"), cameras, strict=False)
        ]
        self.opened.append(LiveSource("rig", feeds, capture, layout=layout, silent="check the plugs"))
        return self.opened[-1]

    def tick(self) -> None:
        """Both cameras take an image of the same moment and deliver it; from the first time on they take no others."""
        self.now = self.now + 1 if self.left.ticks else round(time.monotonic() / PERIOD_S) + 1000
        waiting = [camera.ticks or queue.Queue() for camera in (self.left, self.right)]
        self.left.ticks, self.right.ticks = waiting
        for ticks in waiting:
            ticks.put(self.now)
        wait_for(lambda: not any(ticks.unfinished_tasks for ticks in waiting), "the images are delivered")


@pytest.fixture
def rig() -> Iterator[Rig]:
    threads = set(threading.enumerate())
    rig = Rig()
    yield rig
    for camera in (rig.left, rig.right):
        camera.release_hung.set()
    for source in rig.opened:
        source.close()
    wait_for(lambda: set(threading.enumerate()) <= threads, "every camera thread ended")
    assert all(handle.released for handle in rig.left.handles + rig.right.handles)


def next_frame(source: Source, limit_s: float = 60.0) -> StereoFrame:
    """The next pair, patient with time-outs."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            frame = source.read(0.2)
        except SourceTimeout:
            continue
        assert frame is not None
        return frame
    raise AssertionError("no frame came")


def test_pairs_are_of_the_same_tick_and_in_order(rig: Rig) -> None:
    source = rig.open()
    frames = [next_frame(source) for _ in range(20)]
    assert all((f.left == f.right[0, 0, 0]).all() for f in frames)
    assert all(f.skew_ns == 0 and f.arrived_ns > 0 for f in frames)
    assert frames[0].index == 0
    assert all(b.index > a.index and b.stamp_ns > a.stamp_ns for a, b in itertools.pairwise(frames))
    assert source.live and source.size == (64, 48)
    wait_for(lambda: source.status.state == "ok", "ok")


def test_a_slow_reader_gets_the_newest_pair_and_the_index_counts_what_it_missed(rig: Rig) -> None:
    source = rig.open()
    rig.tick()
    first, unpaired = next_frame(source), source.status.unpaired
    for _ in range(15):
        rig.tick()
    second = next_frame(source)
    assert second.stamp_ns - first.stamp_ns == pytest.approx(15 * PERIOD_S * 1e9)
    assert second.index - first.index == 15
    assert source.status.unpaired == unpaired
    with pytest.raises(SourceTimeout):
        source.read(0.05)  # the fourteen between are not queued


def test_one_camera_with_both_eyes_is_split(rig: Rig) -> None:
    rig.left.size = (128, 48)
    frame = next_frame(rig.open(layout="sbs"))
    assert frame.size == (64, 48)
    rig.left.size = (64, 96)
    assert next_frame(rig.open(layout="tb")).size == (64, 48)


def test_a_camera_that_dies_comes_back(rig: Rig) -> None:
    source = rig.open()
    before = next_frame(source)
    rig.left.plugged = rig.right.plugged = False
    for name in ("left", "right"):
        wait_for(lambda eye=name: f"{eye} camera: lost" in source.status.detail, "the loss is told")  # type: ignore[misc]
    assert source.status.state == "stale"
    with pytest.raises(SourceTimeout, match=r"lost"):
        for _ in range(100):
            source.read(0.1)
    rig.left.plugged = rig.right.plugged = True
    after = next_frame(source)
    wait_for(lambda: source.status.state == "ok", "ok again")
    assert source.status.reopened == 2
    assert after.index > before.index and after.stamp_ns > before.stamp_ns


def test_one_eye_dropped_stops_the_frames_until_it_is_back(rig: Rig) -> None:
    source = rig.open()
    next_frame(source)
    rig.right.plugged = False
    wait_for(lambda: source.status.detail.startswith("right camera: lost"), "the lost eye alone is told")
    assert source.status.state == "stale"
    wait_for(lambda: source.status.unpaired > 3, "left images given up")
    rig.right.plugged = True
    wait_for(lambda: source.status.state == "ok", "ok again")
    frame = next_frame(source)
    frame = next_frame(source)
    assert (frame.left == frame.right).all()  # of one tick, not an old left with a new right


def test_a_stalled_camera_is_connected_again(rig: Rig) -> None:
    source = rig.open()
    next_frame(source)
    rig.right.silent = True
    wait_for(lambda: source.status.state == "stale", "stale")
    wait_for(lambda: rig.right.connections > 2, "connected again and again")
    rig.right.silent = False
    wait_for(lambda: source.status.state == "ok", "ok again")
    assert source.status.reopened == 1
    next_frame(source)


def test_a_pipeline_that_stalls_and_still_answers_is_connected_again(rig: Rig) -> None:
    """OpenCV's GStreamer says True to grab() after its time-out, and then has no image."""
    source = rig.open(remedy="restart the daemon")
    next_frame(source)
    rig.right.empty = True
    wait_for(lambda: "no image within 1 s; restart the daemon" in source.status.detail, "the reason and the remedy")
    wait_for(lambda: rig.right.connections > 2, "connected again and again")
    rig.right.empty = False
    wait_for(lambda: source.status.state == "ok", "ok again")
    assert source.status.reopened == 1
    next_frame(source)


def test_an_opencv_that_raises_is_connected_again(rig: Rig) -> None:
    source = rig.open()
    next_frame(source)
    rig.left.broken = True
    wait_for(lambda: "does not fit its buffer" in source.status.detail, "the reason")
    rig.left.broken = False
    wait_for(lambda: source.status.state == "ok" and source.status.reopened == 1, "back")


def test_a_driver_that_hangs_is_left_behind(rig: Rig) -> None:
    source = rig.open(CAPTURE.model_copy(update={"timeout_s": 0.5}))
    next_frame(source)
    rig.right.hung = True

    with pytest.raises(SourceTimeout):
        for _ in range(100):
            source.read(0.05)
    rig.right.hung = False  # for new connections; the old one still waits
    next_frame(source)
    assert rig.right.connections == 2
    assert not rig.right.release_hung.is_set()


def test_waiting_for_the_next_try_is_not_taken_for_a_hang(rig: Rig) -> None:
    source = rig.open(CAPTURE.model_copy(update={"timeout_s": 0.5, "reopen_s": 30.0, "reopen_max_s": 60.0}))
    rig.right.plugged = False
    wait_for(lambda: "right camera: lost" in source.status.detail, "the loss is told")
    with pytest.raises(SourceTimeout):  # after the last pair
        for _ in range(100):
            source.read(0.05)
    for _ in range(6):  # twice the watchdog's patience
        with pytest.raises(SourceTimeout, match=r"next try in 30 s"):
            source.read(0.5)
    assert len(rig.right.handles) == 1


def test_both_eyes_change_size(rig: Rig) -> None:
    source = rig.open()
    next_frame(source)
    rig.left.size = rig.right.size = (80, 60)
    wait_for(lambda: next_frame(source).size == (80, 60), "the new size")
    assert source.size == (80, 60)


def test_frames_are_withheld_while_the_eyes_disagree_in_size(rig: Rig) -> None:
    source = rig.open()
    next_frame(source)
    rig.left.size = (80, 60)
    wait_for(lambda: "80x60" in source.status.detail and source.status.state == "stale", "a sentence with both sizes")
    rig.left.size = (64, 48)
    wait_for(lambda: source.status.state == "ok", "ok again")
    assert next_frame(source).size == (64, 48)


def test_a_camera_that_is_gone_for_good_stays_stale_and_close_is_prompt(rig: Rig) -> None:
    source = rig.open(CAPTURE.model_copy(update={"reopen_s": 30.0, "reopen_max_s": 60.0}))
    next_frame(source)
    rig.left.plugged = rig.right.plugged = False
    wait_for(lambda: "left camera: lost" in source.status.detail and "right camera: lost" in source.status.detail, "lost")
    start = time.monotonic()
    source.close()
    assert time.monotonic() - start < 20  # not the 30 s of the back-off
    assert source.status.state == "ended"
    assert source.read(0.1) is None


def test_cameras_too_far_apart_say_by_how_much(rig: Rig) -> None:
    rig.right.late_s = PERIOD_S / 2.5
    with pytest.raises(SourceError, match=r"8\.0 ms apart.*max_skew_ms=1\d"):
        rig.open()
    source = rig.open(CAPTURE.model_copy(update={"max_skew_ms": 9.0}))
    assert next_frame(source).skew_ns == pytest.approx(8e6, abs=1e3)


def test_eyes_of_different_size_are_refused_at_the_start(rig: Rig) -> None:
    rig.left.size = (80, 60)
    with pytest.raises(SourceError, match=r"80x60.*64x48"):
        rig.open()


def test_a_camera_that_opens_but_stays_silent_is_refused_with_the_remedy(rig: Rig) -> None:
    rig.right.silent = True
    with pytest.raises(SourceError, match=r"right camera.*check the plugs"):
        rig.open()


def test_a_camera_that_does_not_open_is_refused_at_once(rig: Rig) -> None:
    rig.right.plugged = False
    with pytest.raises(SourceError, match=r"refused"):
        rig.open()
