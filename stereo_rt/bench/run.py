"""One run of the benchmark: which parts, in which order, on which frames.

Every candidate is measured in ROUNDS rounds, the even ones in the opposite order (A B, then B A; and within each the
stages, the loop flat out and the loop at a rate, then the reverse). A machine that slowly warms up or gets busier
weighs on all of them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, changed
from ..errors import SourceError
from ..frames import StereoFrame
from ..matchers import create_matcher
from ..matchers.base import Matcher, MatcherSpec
from ..plan import Plan
from ..session import find_calibration, make_plan
from ..sources import open_source
from ..sources.memory import MemorySource
from ..sources.rtsp import without_password
from ..telemetry import Sampler, find_probes
from .accuracy import Truth, accuracy_at_cuts, scene_in, truth_of
from .loop import LoopRun, loop_figures, run_loop
from .machine import load, machine, peak_memory_mb
from .overhead import overhead
from .reference import KINDS, reference_ms
from .report import AccuracyRow, BenchReport, LoopFigures, MatcherBench, Overhead, figures, settings_of
from .stages import Alone, engine_of, network_alone, stages_alone

MEMORY_FRAMES = 8
"""Pairs held in memory and repeated: enough that caches do not see the same one twice in a row."""
ROUNDS = 2

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Held:
    """Frames of a source in memory, how they are rectified for a matcher, and what is known of their truth."""

    frames: list[StereoFrame]
    plan: Callable[[MatcherSpec], Plan]
    truth: Truth | None


@dataclass(eq=False)
class _Candidate:
    """One matcher and what was measured with it so far."""

    cfg: Config
    alone: list[Alone] = field(default_factory=list)
    flat_out: list[LoopRun] = field(default_factory=list)
    live: list[LoopRun] = field(default_factory=list)

    @property
    def title(self) -> str:
        match = self.cfg.match
        return match.backend if match.backend == "sgbm" else f"{match.model} ({match.backend})"


def run_bench(
    uri: str,
    cfg: Config,
    *,
    frames: int = 100,
    rate_hz: float = 30.0,
    against: Sequence[str] = (),
    engine_only: bool = False,
    live: bool = False,
    progress: Progress = lambda _: None,
) -> BenchReport:
    """Measure cfg's matcher, and beside it each backend of `against`, on the same frames held in memory.

    uri: a source, or a scene's folder. engine_only: nothing but the networks. live: nothing but the loop on the source as it
    comes, a camera at its own rate. Raises SourceError, CalibrationError, ModelError, MissingExtra, UsageError; FlagError
    for an unknown backend.
    """
    candidates = [_Candidate(cfg), *(_Candidate(changed(cfg, "match", backend=backend)) for backend in against)]
    runs: list[MatcherBench]
    reference = [reference_ms()]
    around, size, cost = load(), (0, 0), None
    with Sampler(find_probes()) as sampler:
        if engine_only:
            runs = _networks(candidates, frames, progress)
        elif live:
            runs = []  # one after the other: a camera cannot serve two at once
            for candidate in candidates:
                progress(f"{candidate.title}: the loop on {without_password(uri)}")
                size, figures_of_one = _on_source(uri, candidate, frames)
                runs.append(figures_of_one)
        else:
            held = hold(uri, cfg)
            size = held.frames[0].size
            for turn in range(ROUNDS):
                for candidate in candidates[:: -1 if turn % 2 else 1]:
                    _round(candidate, held, -(-frames // ROUNDS), rate_hz, bool(turn % 2), progress)
                    reference.append(reference_ms())
            progress("the loop around a matcher that costs nothing")
            cost = _overhead(candidates[0])
            runs = [_figures(c, rate_hz, _accuracy(c, held)) for c in candidates]
        reference.append(reference_ms())
    return BenchReport(
        machine=machine(cfg.match.device),
        source=without_password(uri),
        frame_size=size,
        runs=tuple(runs),
        peak_memory_mb=peak_memory_mb(),
        overhead=cost,
        reference_ms={kind: figures([ms for taken in reference for ms in taken[kind]]) for kind in KINDS},
        load=around,
        telemetry=sampler.summary(),
        settings=settings_of(cfg),
    )


def hold(uri: str, cfg: Config) -> Held:
    """The first MEMORY_FRAMES frames of a source, or a scene's one pair. Raises SourceError, CalibrationError."""
    scene = scene_in(uri)
    source = open_source(f"{uri}/left.png,{uri}/right.png" if scene else uri, cfg.capture)
    try:
        calibration = find_calibration(cfg.calib, source)
        held: list[StereoFrame] = []
        while len(held) < MEMORY_FRAMES and (frame := source.read(cfg.capture.timeout_s)) is not None:
            held.append(frame)
    finally:
        source.close()
    if not held:
        raise SourceError(f"{without_password(uri)}: ended before its first frame; look at it with: stereo-rt info")

    def plan(spec: MatcherSpec) -> Plan:
        return make_plan(calibration, cfg.calib, held[0].size, spec, offline=False)

    return Held(held, plan, truth_of(source, scene))


def _round(c: _Candidate, held: Held, frames: int, rate_hz: float, backwards: bool, progress: Progress) -> None:
    def alone() -> None:
        progress(f"{c.title}: each stage alone")
        c.alone.append(stages_alone(c.cfg.match, c.cfg.post, held.frames, held.plan, max(frames, 5)))

    def flat_out() -> None:
        progress(f"{c.title}: the loop flat out")
        c.flat_out.append(_loop(c, held, MemorySource(held.frames), frames))

    def at_rate() -> None:
        progress(f"{c.title}: the loop at {rate_hz:g} Hz")
        c.live.append(_loop(c, held, MemorySource(held.frames, live=True, fps=rate_hz), frames))

    parts = [alone, flat_out, at_rate]
    for part in parts[::-1] if backwards else parts:
        part()


def _loop(c: _Candidate, held: Held, source: MemorySource, frames: int) -> LoopRun:
    return run_loop(source, lambda: create_matcher(c.cfg.match), lambda size, spec: held.plan(spec), c.cfg, max(frames, 3))


def _figures(c: _Candidate, rate_hz: float, accuracy: tuple[AccuracyRow, ...]) -> MatcherBench:
    first = c.alone[0]
    alone = {name: [ms for part in c.alone for ms in part.ms[name]] for name in first.ms}
    flat_out, live = loop_figures(c.flat_out), loop_figures(c.live)
    slowest_ms = max(statistics.fmean(values) for values in alone.values())
    return MatcherBench(
        **_identity(first.spec, first.engine, first.rig.size),
        network_ms=figures([ms for part in c.alone for ms in part.network_ms]),
        alone_ms={name: figures(values) for name, values in alone.items()},
        flat_out=flat_out,
        live=live,
        live_rate_hz=rate_hz,
        efficiency=flat_out.fps * slowest_ms / 1e3,
        periods_p99=_periods(live, rate_hz),
        accuracy=accuracy,
    )


def _networks(candidates: Sequence[_Candidate], repeats: int, progress: Progress) -> list[MatcherBench]:
    """The networks alone, in rounds as everything else."""
    found: dict[int, tuple[MatcherSpec, str | None, list[float]]] = {}
    for turn in range(ROUNDS):
        for k in range(len(candidates))[:: -1 if turn % 2 else 1]:
            progress(f"{candidates[k].title}: the network alone")
            spec, engine, times_ms = network_alone(candidates[k].cfg.match, -(-repeats // ROUNDS))
            found[k] = spec, engine, [*(found[k][2] if k in found else []), *times_ms]
    return [
        MatcherBench(**_identity(spec, engine, (spec.width or 0, spec.height or 0)), network_ms=figures(times_ms))
        for spec, engine, times_ms in (found[k] for k in range(len(candidates)))
    ]


def _on_source(uri: str, c: _Candidate, frames: int) -> tuple[tuple[int, int], MatcherBench]:
    """The loop on the source itself: the size of its frames, and the figures."""
    source = open_source(uri, c.cfg.capture, realtime=True)
    try:
        calibration = find_calibration(c.cfg.calib, source)
    except BaseException:
        source.close()
        raise
    made: list[Matcher] = []
    plans: list[Plan] = []

    def make_matcher() -> Matcher:
        made.append(create_matcher(c.cfg.match))
        return made[-1]

    def plan(size: tuple[int, int], spec: MatcherSpec) -> Plan:
        plans.append(make_plan(calibration, c.cfg.calib, size, spec, offline=False))
        return plans[-1]

    run = run_loop(source, make_matcher, plan, c.cfg, frames)
    if len(run.intervals_ms) < 2:
        raise SourceError(f"{without_password(uri)}: gave too few frames to measure; take a longer recording, or a camera")
    live = loop_figures([run])
    return source.size, MatcherBench(
        **_identity(made[-1].spec, engine_of(made[-1]), plans[-1].rig.size),
        live=live,
        live_rate_hz=source.fps,
        periods_p99=_periods(live, source.fps or live.fps),
    )


def _periods(live: LoopFigures, rate_hz: float) -> float:
    return live.age_ms["p99"] * min(rate_hz, live.fps) / 1e3


def _identity(spec: MatcherSpec, engine: str | None, grid: tuple[int, int]) -> dict[str, Any]:
    return {"matcher": spec.name, "backend": spec.backend, "sha256": spec.sha256, "grid": grid, "engine": engine}


def _overhead(c: _Candidate) -> Overhead:
    alone = c.alone[0]
    return overhead(alone.spec, alone.rig, alone.rectified, alone.matched, c.cfg)


def _accuracy(c: _Candidate, held: Held) -> tuple[AccuracyRow, ...]:
    if held.truth is None:
        return ()
    alone = c.alone[0]
    truths = [held.truth(frame, alone.plan) for frame in held.frames]
    return accuracy_at_cuts(truths, alone.matched, alone.rig)
