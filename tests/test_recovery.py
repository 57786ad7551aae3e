"""A camera that stalls, drops one eye, changes size, or dies and comes back: the running loop recovers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from keeping import Keep
from scripted import ScriptedCamera, taken_ns, wait_for

from stereo_rt.config import CalibConfig, CaptureConfig, PostConfig
from stereo_rt.frames import Disparity
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.pipeline import Pipeline
from stereo_rt.session import make_plan
from stereo_rt.sources.device import CvDevice
from stereo_rt.sources.live import Feed, LiveSource

CAPTURE = CaptureConfig(timeout_s=1.0, reopen_s=0.02, reopen_max_s=0.1, max_skew_ms=5)
RIG = RectifiedRig(64, 48, fx_px=60.0, cx_px=31.5, cy_px=23.5, baseline_m=0.1)


class Flat:
    """A matcher that finds one pixel of disparity everywhere: these tests are about frames, not depth."""

    spec = MatcherSpec("flat", "test", None, None, 16.0, True)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        return Disparity(np.ones(left.shape[:2], np.float32), np.ones(left.shape[:2], np.float32))

    def close(self) -> None:
        pass


@dataclass
class Running:
    left: ScriptedCamera
    right: ScriptedCamera
    pipeline: Pipeline
    sink: Keep

    def flows(self, what: str) -> None:
        """Frames come, and the status says so."""
        before = len(self.sink.results)
        wait_for(lambda: len(self.sink.results) > before + 5 and self.pipeline.status().state == "ok", what)

    def is_stale(self, what: str, detail: str = "") -> None:
        def told() -> bool:
            status = self.pipeline.status()
            return status.state == "stale" and detail in status.detail

        wait_for(told, what)


@pytest.fixture
def running() -> Iterator[Running]:
    threads = set(threading.enumerate())
    cameras = ScriptedCamera(), ScriptedCamera()
    feeds = [
        Feed(name, lambda c=camera: CvDevice(c.connect, lambda: "refused", stamp_ns=taken_ns))
        for name, camera in zip(("left camera", "right camera"), cameras, strict=True)
    ]
    source = LiveSource("rig", feeds, CAPTURE, silent="check the plugs")
    sink = Keep()
    pipeline = Pipeline(
        source,
        Flat,
        lambda size, spec: make_plan(RIG, CalibConfig(), size, spec, offline=False),
        post=PostConfig(),
        sinks=[sink],
        timeout_s=CAPTURE.timeout_s,
    )
    pipeline.start()
    running = Running(*cameras, pipeline, sink)
    running.flows("the first frames")
    yield running
    for camera in cameras:
        camera.release_hung.set()
    pipeline.stop()
    assert pipeline.wait(60)
    indices = [r.index for r in sink.results]
    assert indices == sorted(set(indices)), "frames came twice or out of order"
    wait_for(lambda: set(threading.enumerate()) <= threads, "every thread ended")


def test_a_stall(running: Running) -> None:
    running.left.silent = running.right.silent = True
    running.is_stale("the stall was noticed")
    running.left.silent = running.right.silent = False
    running.flows("frames after the stall")


def test_one_eye_drops_out(running: Running) -> None:
    running.right.plugged = False
    running.is_stale("the lost eye was noticed", "right camera: lost")
    running.right.plugged = True
    running.flows("frames from both eyes again")
    assert running.pipeline.status().source.reopened >= 1


def test_a_camera_hangs_in_its_driver_and_is_replaced(running: Running) -> None:
    running.left.hung = True
    running.is_stale("the hang was noticed")
    running.left.hung = False
    running.flows("frames from a new connection")


def test_both_die_and_come_back_at_another_resolution(running: Running) -> None:
    for camera in (running.left, running.right):
        camera.plugged = False
    for name in ("left camera: lost", "right camera: lost"):
        running.is_stale("the loss was noticed", name)
    for camera in (running.left, running.right):
        camera.size, camera.plugged = (128, 96), True
    wait_for(lambda: running.sink.results[-1].rig.size == (128, 96), "frames of the new size")
    running.flows("more of them")
    rig = running.sink.results[-1].rig
    assert rig.fx_px == pytest.approx(2 * RIG.fx_px)  # the numbers were scaled with the images


def test_a_size_of_another_shape_is_waited_out(running: Running) -> None:
    for camera in (running.left, running.right):
        camera.size = (96, 48)
    running.is_stale("the shape was refused", "aspect")
    for camera in (running.left, running.right):
        camera.size = (64, 48)
    running.flows("frames of the calibrated shape")
    assert {r.rig.size for r in running.sink.results} == {(64, 48)}
