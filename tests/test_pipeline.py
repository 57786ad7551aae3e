"""The loop's promises: nothing lost offline, nothing old live, one failure told once, everything closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from keeping import Keep

from stereo_rt.config import PostConfig, RunConfig
from stereo_rt.errors import CalibrationError, SourceError, SourceTimeout
from stereo_rt.frames import DepthResult, Disparity, StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.pipeline import Pipeline
from stereo_rt.plan import Plan
from stereo_rt.sources.base import SourceStatus
from stereo_rt.sources.memory import MemorySource

RIG = RectifiedRig(32, 24, fx_px=30.0, cx_px=15.5, cy_px=11.5, baseline_m=0.1)
WAIT_S = 60.0


def frame(index: int = 0, size: tuple[int, int] = RIG.size) -> StereoFrame:
    image = np.full((size[1], size[0]), index % 256, np.uint8)
    return StereoFrame(image, image, index, stamp_ns=index * 33_000_000, arrived_ns=time.monotonic_ns())


class Shade:
    """A matcher whose disparity is the left image's grey value: each result tells which frame it came from."""

    spec = MatcherSpec("shade", "test", None, None, 255.0, True)

    def __init__(self, busy_s: float = 0.0) -> None:
        self.busy_s = busy_s
        self.threads = {threading.get_ident()}
        self.closed = 0

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        self.threads.add(threading.get_ident())
        time.sleep(self.busy_s)
        return Disparity(left.astype(np.float32) + 1, np.ones(left.shape, np.float32))

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


class Scripted:
    """A source that plays a list: frames are delivered, exceptions raised, callables called for a frame."""

    name, fps, length, calibration, size = "scripted", 30.0, None, None, RIG.size

    def __init__(self, script: list[StereoFrame | Exception | Callable[[], StereoFrame | None]], live: bool = False) -> None:
        self.live = live
        self.status = SourceStatus()
        self.closed = 0
        self._script = iter(script)

    def read(self, timeout_s: float) -> StereoFrame | None:
        step = next(self._script, None)
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step

    def close(self) -> None:
        self.closed += 1


def loop(source, *sinks, matcher: Shade | None = None, plan=None, max_frames: int | None = None, **more) -> Pipeline:
    matcher = matcher or Shade()
    return Pipeline(
        source,
        lambda: matcher,
        plan or (lambda size, spec: Plan(replace(RIG, width=size[0], height=size[1]))),
        post=PostConfig(edge_px=0),
        sinks=sinks,
        run=RunConfig(max_frames=max_frames, queue=2),
        **more,
    )


def indices(sink: Keep) -> list[int]:
    return [r.index for r in sink.results]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_recording_loses_nothing_however_slow_the_sink() -> None:
    slow, quick = Keep(busy_s=0.005), Keep()
    loop(MemorySource([frame(i) for i in range(10)], length=40), slow, quick).run()
    assert indices(slow) == indices(quick) == list(range(40))
    assert [r.disparity_px[0, 0] for r in slow.results] == [i % 10 + 1 for i in range(40)]
    assert slow.closed == quick.closed == 1


def test_the_plan_is_made_for_what_the_matcher_is_once_it_has_seen_the_frames_shape() -> None:
    class Fitting(Shade):
        def prepare(self, frame_size: tuple[int, int]) -> None:
            self.spec = replace(self.spec, name="fitted to {}x{}".format(*frame_size))

    planned: list[str] = []

    def plan(size: tuple[int, int], spec: MatcherSpec) -> Plan:
        planned.append(spec.name)
        return Plan(RIG)

    loop(MemorySource([frame()], length=2), Keep(), matcher=Fitting(), plan=plan).run()
    assert planned == ["fitted to 32x24"]


def test_a_result_carries_its_frame_and_stage_times() -> None:
    sink = Keep()
    loop(MemorySource([frame(7)], length=1), sink, plan=lambda size, spec: Plan(RIG, lambda f: f)).run()
    (result,) = sink.results
    assert set(result.stage_ms) == {"capture", "rectify", "match", "post"}
    assert result.rig == RIG and result.left.shape == (24, 32)
    assert result.depth_m[0, 0] == pytest.approx(RIG.depth_m(np.float32(8)))


def test_a_slow_matcher_drops_live_frames_and_keeps_the_newest() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Shade):
        def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
            begun.set()
            assert go_on.wait(WAIT_S)
            return super().__call__(left, right)

    def second() -> StereoFrame:
        assert begun.wait(WAIT_S)
        return frame(1)

    def end() -> None:
        """All but the one being matched and the newest are left out."""
        until(lambda: pipeline.status().drops == 48)
        go_on.set()

    sink = Keep()
    source = Scripted([frame(0), second, *(frame(i) for i in range(2, 50)), end], live=True)
    pipeline = loop(source, sink, matcher=Slow())
    pipeline.run()
    assert indices(sink) == [0, 49]
    assert pipeline.status().frames == 2 and pipeline.status().drops == 48


def test_a_slow_viewer_does_not_hold_the_loop() -> None:
    viewer, files = Keep(lossless=False, name="viewer"), Keep()
    keep = viewer.write

    def write(result: DepthResult) -> None:
        """Takes as long as the whole recording."""
        until(lambda: len(files.results) == 60)
        keep(result)

    viewer.write = write  # type: ignore[method-assign]
    pipeline = loop(MemorySource([frame()], length=60), viewer, files)
    pipeline.run()
    assert indices(files) == list(range(60))
    assert len(viewer.results) + pipeline.status().sink_drops["viewer"] == 60
    assert len(viewer.results) <= 2
    assert indices(viewer)[-1] == 59  # the newest is what a viewer is left with


def test_one_thread_owns_the_matcher() -> None:
    made: list[Shade] = []

    def make() -> Shade:
        made.append(Shade())
        return made[0]

    Pipeline(MemorySource([frame()], length=3), make, lambda size, spec: Plan(RIG), post=PostConfig()).run()
    assert len(made[0].threads) == 1 and threading.get_ident() not in made[0].threads
    assert made[0].closed == 1


class Broken(Exception):
    pass


def _raise(*_: object) -> None:
    raise Broken("on purpose")


@pytest.mark.parametrize("where", ["source", "plan", "matcher", "load", "sink"])
@pytest.mark.parametrize("live", [False, True])
def test_the_first_failure_is_raised_once_and_everything_is_closed(where: str, live: bool) -> None:
    frames = [frame(i) for i in range(50)]
    source = Scripted([*frames[:3], Broken("on purpose")] if where == "source" else frames, live)
    sink, other, matcher = Keep(), Keep(), Shade()
    if where == "matcher":
        matcher.__class__ = type("BrokenShade", (Shade,), {"__call__": _raise})
    if where == "sink":
        sink.write = _raise  # type: ignore[method-assign]
    plan = _raise if where == "plan" else lambda size, spec: Plan(RIG)
    pipeline = Pipeline(source, _raise if where == "load" else lambda: matcher, plan, post=PostConfig(), sinks=[sink, other])
    with pytest.raises(Broken):
        pipeline.run()
    assert pipeline.wait(1.0) is True  # told once
    assert pipeline.status().state == "failed"
    assert sink.closed == other.closed == source.closed == 1
    assert matcher.closed == (0 if where == "load" else 1)


@pytest.mark.parametrize("where", ["matcher", "sink"])
def test_a_failure_after_the_source_was_lost_ends_the_loop_too(where: str) -> None:
    def fail(*_: object) -> None:
        until(lambda: pipeline.status().state == "failed")  # all neighbours wait for this thread by then
        raise Broken

    sink, matcher = Keep(), Shade()
    if where == "matcher":
        matcher.__class__ = type("BrokenShade", (Shade,), {"__call__": fail})
    else:
        sink.write = fail  # type: ignore[assignment]
    source = Scripted([*(frame(i) for i in range(5)), SourceError("unplugged")])
    pipeline = loop(source, sink, matcher=matcher)
    pipeline.start()
    with pytest.raises(SourceError, match="unplugged"):
        assert pipeline.wait(WAIT_S)
    assert sink.closed == source.closed == matcher.closed == 1


def test_stop_finishes_what_was_read() -> None:
    sink = Keep(busy_s=0.002)
    pipeline = loop(MemorySource([frame()]), sink)
    pipeline.start()
    until(lambda: len(sink.results) >= 5)
    pipeline.stop()
    assert pipeline.wait(WAIT_S)
    assert indices(sink) == list(range(len(sink.results)))
    assert sink.closed == 1 and pipeline.status().state == "ended"


def test_stop_is_heard_while_the_network_loads_and_while_paused() -> None:
    release = threading.Event()

    def slow_load() -> Shade:
        release.wait(WAIT_S)
        return Shade()

    loading = Pipeline(MemorySource([frame()]), slow_load, lambda size, spec: Plan(RIG), post=PostConfig())
    loading.start()
    assert loading.status().state == "starting"
    loading.stop()
    release.set()
    assert loading.wait(WAIT_S)

    paused = loop(MemorySource([frame()]))
    paused.paused = True
    paused.start()
    paused.stop()
    assert paused.wait(WAIT_S)


@pytest.mark.parametrize("live", [False, True])
def test_pause_and_step(live: bool) -> None:
    sink = Keep()
    pipeline = loop(MemorySource([frame()], live=live, fps=500), sink)
    pipeline.paused = True
    pipeline.start()
    for wanted in (1, 2):
        pipeline.step()
        until(lambda n=wanted: len(sink.results) == n)
        time.sleep(0.05)
        assert len(sink.results) == wanted and pipeline.status().state == "paused"
    if not live:
        assert indices(sink) == [0, 1]  # a recording stood still meanwhile
    pipeline.paused = False
    until(lambda: len(sink.results) > 5)
    pipeline.stop()
    assert pipeline.wait(WAIT_S)


def test_the_frame_that_was_read_as_the_loop_paused_waits() -> None:
    def read_while_pausing() -> StereoFrame:
        pipeline.paused = True
        return frame(1)

    sink = Keep()
    pipeline = loop(Scripted([frame(0), read_while_pausing, frame(2)]), sink)
    pipeline.start()
    until(lambda: pipeline.paused and len(sink.results) == 1)
    time.sleep(0.05)
    assert indices(sink) == [0]
    pipeline.step()
    until(lambda: len(sink.results) == 2)
    pipeline.paused = False
    assert pipeline.wait(WAIT_S)
    assert indices(sink) == [0, 1, 2]


def test_a_time_out_is_stale_and_not_the_end() -> None:
    seen: list[str] = []
    pipeline: Pipeline

    def look() -> StereoFrame:
        seen.append(pipeline.status().state)
        seen.append(pipeline.status().detail)
        return frame(1)

    sink = Keep()
    pipeline = loop(Scripted([frame(0), SourceTimeout("the left eye is silent"), look, frame(2)], live=False), sink)
    pipeline.run()
    assert seen == ["stale", "the left eye is silent"]
    assert indices(sink) == [0, 1, 2]


def test_a_lost_source_is_an_error() -> None:
    with pytest.raises(SourceError, match="gone for good"):
        loop(Scripted([frame(0), SourceError("gone for good")])).run()


def test_a_camera_that_changes_size_is_followed() -> None:
    sink = Keep()
    loop(Scripted([frame(0), frame(1, (64, 48)), frame(2)]), sink).run()
    assert [r.rig.size for r in sink.results] == [(32, 24), (64, 48), (32, 24)]


def test_a_live_size_that_does_not_fit_is_waited_out() -> None:
    def plan(size: tuple[int, int], spec: MatcherSpec) -> Plan:
        if size != RIG.size:
            raise CalibrationError("the aspect differs")
        return Plan(RIG)

    sink, details = Keep(), []

    def first_again() -> StereoFrame:
        until(lambda: pipeline.status().state == "stale")
        details.append(pipeline.status().detail)
        return frame(2)

    def one() -> StereoFrame:
        until(lambda: len(sink.results) == 1)
        return frame(1, (50, 24))

    pipeline = loop(Scripted([frame(0), one, first_again], live=True), sink, plan=plan)
    pipeline.run()
    assert details == ["the aspect differs"]
    assert indices(sink) == [0, 2]

    with pytest.raises(CalibrationError):  # a recording must not lose frames silently
        loop(Scripted([frame(0), frame(1, (50, 24))]), plan=plan).run()


class Recorder:
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.closed = 0

    def write(self, f: StereoFrame) -> None:
        self.seen.append(f.index)

    def close(self) -> None:
        self.closed += 1


def test_recorders_see_every_captured_pair() -> None:
    recorder = Recorder()
    loop(MemorySource([frame()], length=20), frame_sinks=[recorder]).run()
    assert recorder.seen == list(range(20)) and recorder.closed == 1


def test_a_recording_goes_on_while_the_camera_is_paused() -> None:
    recorder, sink = Recorder(), Keep()
    pipeline = loop(MemorySource([frame()], live=True, fps=500), sink, frame_sinks=[recorder])
    pipeline.paused = True
    pipeline.start()
    until(lambda: len(recorder.seen) >= 5)
    pipeline.stop()
    assert pipeline.wait(WAIT_S)
    assert sink.results == []


def test_max_frames_counts_frames_of_a_recording_and_results_of_a_camera() -> None:
    recording, camera = Keep(), Keep()
    loop(MemorySource([frame()]), recording, max_frames=7).run()
    loop(MemorySource([frame()], live=True, fps=300), camera, matcher=Shade(busy_s=0.01), max_frames=7).run()
    assert indices(recording) == list(range(7))
    assert len(camera.results) == 7


def test_warnings_of_the_inspection_reach_the_status() -> None:
    looked: list[int] = []

    def inspect(f: StereoFrame) -> list[str] | None:
        looked.append(f.index)
        return ["1.2 px off"] if len(looked) == 3 else None

    pipeline = loop(MemorySource([frame()], length=9), inspect=inspect)
    pipeline.run()
    assert looked == [0, 1, 2]
    assert pipeline.status().warnings == ("1.2 px off",)


def test_a_reopened_camera_is_inspected_again() -> None:
    """Two cameras may come back exchanged; what an inspector gathered before says nothing about that."""

    class Gathering:
        def __init__(self) -> None:
            self.looked: list[int] = []

        def __call__(self, f: StereoFrame) -> list[str] | None:
            self.looked.append(f.index)
            return [f"looked at {self.looked}"] if len(self.looked) == 2 else None

    def reopened() -> StereoFrame:
        until(lambda: len(sink.results) == 3)
        source.status = SourceStatus(reopened=1)
        return frame(3)

    sink = Keep()
    source = Scripted([frame(0), frame(1), frame(2), reopened, frame(4), frame(5)])
    pipeline = loop(source, sink, inspect=Gathering())
    pipeline.run()
    assert len(sink.results) == 6
    assert pipeline.status().warnings == ("looked at [3, 4]",)


def test_thresholds_can_change_while_it_runs() -> None:
    sink = Keep()
    pipeline = loop(MemorySource([frame()]), sink)
    pipeline.start()
    until(lambda: len(sink.results) > 2)
    assert sink.results[-1].mask.all()
    pipeline.post_config = pipeline.post_config.model_copy(update={"range_m": (100.0, 200.0)})
    until(lambda: not sink.results[-1].mask.any())
    pipeline.stop()
    assert pipeline.wait(WAIT_S)
