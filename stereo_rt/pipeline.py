"""The loop: capture -> rectify -> match -> post -> sinks, a thread each, joined by channels.

Live sources pass frames through Latest (the newest wins, drops are counted), recordings through Lossless (nothing is
lost, the source waits). The match thread creates, uses and closes the matcher, so that one thread owns the accelerator.
Each sink has a channel and a thread of its own. The first exception stops everything and is raised once, by wait().
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .channels import Channel, Closed, Latest, Lossless
from .confidence import Evidence, find_method
from .config import PostConfig, RunConfig
from .crew import Crew
from .errors import SourceError, SourceTimeout
from .frames import Disparity, StereoFrame
from .gate import Gate
from .geometry import RectifiedRig
from .matchers.base import Matcher, MatcherSpec, Preparing
from .mono import MonoNetwork, bgr
from .plan import Inspector, Planned, Planner
from .post import Post, mirrored
from .sinks.base import FrameSink, Sink
from .sources.base import Source, SourceStatus
from .status import Figures, State, Status
from .timing import StageTimer

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Matched:
    frame: StereoFrame
    rig: RectifiedRig
    disparity: Disparity
    right: Disparity | None
    stage_ms: dict[str, float]


@dataclass(eq=False)
class _Tap:
    """A sink behind its channel."""

    name: str
    sink: Sink | FrameSink
    channel: Channel[Any]


class Pipeline:
    """Runs a source through a matcher into sinks. `run()`, or `start()` and `wait()`; `stop()` from anywhere.

    make_matcher runs on the match thread, make_mono (a network to fill with) on the post thread. plan is asked once for
    every frame size. inspect sees the first rectified frames, and those after a camera was reopened. lossless: recordings
    keep every frame; defaults to what the source is.
    """

    def __init__(
        self,
        source: Source,
        make_matcher: Callable[[], Matcher],
        plan: Planner,
        *,
        post: PostConfig,
        sinks: Sequence[Sink] = (),
        frame_sinks: Sequence[FrameSink] = (),
        run: RunConfig | None = None,
        lossless: bool | None = None,
        inspect: Inspector | None = None,
        timeout_s: float = 2.0,
        make_mono: Callable[[], MonoNetwork] | None = None,
    ) -> None:
        run = run or RunConfig()
        self.source = source
        self.lossless = not source.live if lossless is None else lossless
        self._make_matcher, self._make_mono = make_matcher, make_mono
        self._planned = Planned(plan, inspect, patient=not self.lossless)
        self._post = Post(post)
        self._method = None if post.confidence_from is None else find_method(post.confidence_from)
        self._max_frames, self._timeout_s = run.max_frames, timeout_s
        self._spec: MatcherSpec | None = None
        self._matcher_ready = threading.Event()
        self._captured: Channel[tuple[StereoFrame, dict[str, float]]] = self._channel(run.queue)
        self._rectified: Channel[tuple[StereoFrame, RectifiedRig, dict[str, float]]] = self._channel(1)
        self._matched: Lossless[_Matched] = Lossless(1)
        self._taps = [_Tap(s.name, s, Lossless(run.queue) if s.lossless else Latest()) for s in sinks]
        self._frame_taps = [_Tap(type(s).__name__, s, Lossless(run.queue)) for s in frame_sinks]
        self._all_taps = [*self._taps, *self._frame_taps]
        self._crew = Crew(on_failure=self._abort)
        self._gate = Gate()
        self._figures = Figures()
        self._capture_detail = ""

    def _channel(self, capacity: int) -> Channel[Any]:
        return Lossless(capacity) if self.lossless else Latest()

    # -- control, from any thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, and wait for the end. Raises what stopped the loop."""
        self.start()
        try:
            self.wait()
        finally:
            self.stop()
            self._crew.join()

    def start(self) -> None:
        self._crew.spawn("match", self._match_loop)
        self._crew.spawn("capture", self._capture_loop)
        self._crew.spawn("rectify", self._rectify_loop)
        self._crew.spawn("post", self._post_loop)
        for tap in self._all_taps:
            self._crew.spawn(f"sink {tap.name}", self._sink_loop, tap)

    def stop(self) -> None:
        """Stop reading; what was read is finished and the files are closed. Returns at once."""
        self._gate.stop()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once every thread has ended. Re-raises, once, the exception that stopped the loop."""
        done = self._crew.join(timeout_s)
        if done:
            self._crew.raise_first()
        return done

    def _abort(self) -> None:
        """After a failure: nothing more is read, nothing queued is worked on."""
        self.stop()
        channels: list[Channel[Any]] = [self._captured, self._rectified, self._matched, *(t.channel for t in self._all_taps)]
        for channel in channels:
            channel.close(discard=True)

    @property
    def post_config(self) -> PostConfig:
        return self._post.config

    @post_config.setter
    def post_config(self, config: PostConfig) -> None:
        self._post.config = config

    @property
    def paused(self) -> bool:
        return self._gate.paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self._gate.paused = value

    def step(self) -> None:
        """Let one frame through while paused."""
        self._gate.step()

    @property
    def matcher_spec(self) -> MatcherSpec | None:
        """What the matcher turned out to be; None until it is loaded."""
        return self._spec

    def status(self) -> Status:
        figures, source = self._figures, self.source.status
        ages = figures.read_ages_ms()
        return Status(
            state=self._state(source),
            detail=self._planned.detail or self._capture_detail or source.detail,
            frames=figures.frames,
            fps=figures.rate.per_second,
            frame_age_ms=ages[-1] if ages else 0.0,
            frame_age_p99_ms=float(np.percentile(ages, 99)) if ages else 0.0,
            drops=self._captured.drops + self._rectified.drops,
            sink_drops={t.name: t.channel.drops for t in self._taps},
            stage_ms=figures.stage_ms(),
            skew_ms=figures.skew_ms,
            source=source,
            warnings=self._planned.warnings + ((note,) if (note := self._post.note) else ()),
            matcher=f"{self._spec.name} ({self._spec.backend})" if self._spec else "",
            confidence=self._method.name if self._method else "learned",
        )

    def _state(self, source: SourceStatus) -> State:
        if self._crew.failed:
            return "failed"
        if self._crew.ended:
            return "ended"
        if self.paused:
            return "paused"
        if self._planned.detail or self._capture_detail or source.state == "stale":
            return "stale"
        return "ok" if self._figures.frames else "starting"

    # -- the stages, a thread each -----------------------------------------------------------------------------------

    def _capture_loop(self) -> None:
        count = 0
        try:
            if not self._matcher_is_ready():
                return
            # A live frame may be dropped on its way, so there it is the results that are counted.
            while not self._gate.stopped and not (self.lossless and count == self._max_frames):
                # While paused a recording stands still; a camera is drained on, so that its newest frame stays new.
                if not (self.source.live or self._gate.wait_open()):
                    break
                timer = StageTimer()
                try:
                    with timer.stage("capture"):
                        frame = self.source.read(self._timeout_s)
                except SourceTimeout as e:
                    self._capture_detail = str(e)
                    continue
                except SourceError as e:  # the frames before are whole: they are finished first
                    self._crew.end_with(e)
                    break
                if frame is None:
                    break
                self._capture_detail = ""
                for tap in self._frame_taps:
                    tap.channel.put(frame)
                if not self._gate.admit(wait=not self.source.live):
                    continue
                count += 1
                self._captured.put((frame, timer.stage_ms))
        finally:
            self._captured.close()
            for tap in self._frame_taps:
                tap.channel.close()
            self.source.close()

    def _matcher_is_ready(self) -> bool:
        """Wait for the match thread to load its network. False when that failed, or the loop was stopped."""
        while not self._matcher_ready.wait(0.1):
            if self._gate.stopped:
                return False
        return True

    def _rectify_loop(self) -> None:
        try:
            reopened = 0
            for frame, stage_ms in _drain(self._captured):
                assert self._spec is not None
                if reopened != (reopened := self.source.status.reopened):
                    self._planned.look_again()
                found = self._planned.rectified(frame, self._spec, stage_ms)
                if found is not None:
                    self._rectified.put(found)
        finally:
            self._rectified.close()

    def _match_loop(self) -> None:
        matcher = self._make_matcher()
        try:
            if self._method:
                self._method.check(matcher)
            if isinstance(matcher, Preparing):
                matcher.prepare(self.source.size)
            self._spec = matcher.spec
            self._matcher_ready.set()
            for frame, rig, stage_ms in _drain(self._rectified):
                timer = StageTimer(stage_ms)
                with timer.stage("match"):
                    disparity = matcher(frame.left, frame.right)
                if self._method:
                    with timer.stage("confidence"):
                        disparity = self._method.rated(Evidence(frame.left, frame.right, disparity, matcher))
                right = None
                if self._post.config.left_right:
                    with timer.stage("match_right"):
                        right = mirrored(matcher, frame.left, frame.right)
                self._matched.put(_Matched(frame, rig, disparity, right, timer.stage_ms))
        finally:
            self._matched.close()
            matcher.close()

    def _post_loop(self) -> None:
        # The monocular network runs here, so that it never holds up the matcher.
        network, told = self._make_mono() if self._make_mono else None, False
        try:
            for m in _drain(self._matched):
                timer = StageTimer(m.stage_ms)
                mono = None
                if network is not None:
                    with timer.stage("mono"):
                        mono = network(bgr(m.frame.left))
                with timer.stage("post"):
                    result = self._post(m.disparity, m.frame, m.rig, timer.stage_ms, m.right, mono)
                if self._post.note and not told:  # the status goes on saying it
                    told = True
                    log.warning("%s", self._post.note)
                age_ms = (time.monotonic_ns() - m.frame.arrived_ns) / 1e6 if m.frame.arrived_ns else 0.0
                self._figures.add(result, age_ms)
                for tap in self._taps:
                    tap.channel.put(result)
                if not self.lossless and self._figures.frames == self._max_frames:
                    self._finish_live()
                    return
        finally:
            for tap in self._taps:
                tap.channel.close()
            if network is not None:
                network.close()

    def _finish_live(self) -> None:
        """Enough results: what is still on its way is not wanted."""
        self.stop()
        for channel in (self._captured, self._rectified, self._matched):
            channel.close(discard=True)

    def _sink_loop(self, tap: _Tap) -> None:
        try:
            for item in _drain(tap.channel):
                tap.sink.write(item)
        finally:
            tap.sink.close()


def _drain(channel: Channel[Any]) -> Iterator[Any]:
    """Items until the channel is closed and empty."""
    with contextlib.suppress(Closed):
        while True:
            yield channel.get()
