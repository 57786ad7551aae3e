"""The benchmark: each stage alone, the whole loop flat out, and the loop at a camera's rate, in one run on one machine.

Speed is told by ratios within the run (loop against its slowest stage, ours against another matcher); absolute
figures carry the machine and the versions they were measured with.
"""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import __version__
from .config import Config, MatchConfig
from .frames import DepthResult, StereoFrame
from .geometry import RectifiedRig
from .matchers import create_matcher
from .matchers.base import MatcherSpec
from .pipeline import Pipeline, Plan
from .post import Post
from .session import find_calibration, make_plan
from .sources import open_source
from .sources.memory import MemorySource
from .timing import percentiles

WARM_UP = 5
MEMORY_FRAMES = 16
"""Pairs held in memory and repeated: enough that caches do not see the same one twice in a row."""

Figures = dict[str, float]


@dataclass(frozen=True)
class LoopFigures:
    """One run of the loop. age_ms runs from a frame's arrival to its result reaching a sink; hud is what the loop said."""

    frames: int
    fps: float
    age_ms: Figures
    stage_ms: dict[str, Figures]
    drops: int
    hud_fps: float
    hud_age_p99_ms: float


@dataclass(frozen=True)
class MatcherBench:
    """Everything measured with one matcher.

    alone_ms: each stage by itself over the same frames. efficiency: the flat-out rate against the rate of the slowest
    stage alone. periods_p99: live frame age p99 in periods of the slower of camera and loop.
    """

    matcher: str
    backend: str
    sha256: str | None
    grid: tuple[int, int]
    alone_ms: dict[str, Figures]
    flat_out: LoopFigures
    live: LoopFigures
    live_rate_hz: float
    efficiency: float
    periods_p99: float


@dataclass(frozen=True)
class BenchReport:
    machine: dict[str, Any]
    source: str
    frame_size: tuple[int, int]
    runs: tuple[MatcherBench, ...]
    peak_memory_mb: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Meter:
    """A sink that keeps when results came and how long their stages took."""

    name = "meter"
    lossless = True

    def __init__(self) -> None:
        self.stamps_ns: list[int] = []
        self.ages_ms: list[float] = []
        self.stage_ms: list[dict[str, float]] = []

    def write(self, result: DepthResult) -> None:
        now_ns = time.monotonic_ns()
        self.stamps_ns.append(now_ns)
        self.ages_ms.append((now_ns - result.arrived_ns) / 1e6)
        self.stage_ms.append(dict(result.stage_ms))

    def close(self) -> None:
        pass


def run_bench(
    uri: str,
    cfg: Config,
    *,
    frames: int = 100,
    rate_hz: float = 30.0,
    against: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> BenchReport:
    """Measure cfg's matcher, and after it each backend of `against`, on the same frames held in memory."""
    source = open_source(uri, cfg.capture)
    try:
        calibration = find_calibration(cfg.calib, source)
        held: list[StereoFrame] = []
        while len(held) < MEMORY_FRAMES and (frame := source.read(cfg.capture.timeout_s)) is not None:
            held.append(frame)
    finally:
        source.close()

    def plan(spec: MatcherSpec) -> Plan:
        return make_plan(calibration, cfg.calib, held[0].size, spec, offline=False)

    configs = [cfg.match, *(cfg.match.model_copy(update={"backend": backend}) for backend in against)]
    runs = tuple(_bench_matcher(m, cfg, held, plan, frames, rate_hz, progress) for m in configs)
    return BenchReport(
        machine=machine(),
        source=uri,
        frame_size=held[0].size,
        runs=runs,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _bench_matcher(
    match: MatchConfig,
    cfg: Config,
    held: Sequence[StereoFrame],
    plan: Callable[[MatcherSpec], Plan],
    frames: int,
    rate_hz: float,
    progress: Callable[[str], None],
) -> MatcherBench:
    progress(f"{match.backend} {match.model}: each stage alone")
    spec, grid, alone_before = _alone(match, cfg, held, plan, max(frames // 2, 5))
    progress(f"{match.backend} {match.model}: the loop flat out")
    flat_out = _loop(match, cfg, MemorySource(held, length=frames + WARM_UP), plan, frames)
    _, _, alone_after = _alone(match, cfg, held, plan, max(frames // 2, 5))
    # Before and after the loop, so that a machine that slows down or speeds up does not shift the ratio.
    alone = {name: alone_before[name] + alone_after[name] for name in alone_before}
    progress(f"{match.backend} {match.model}: at {rate_hz:g} Hz")
    live = _loop(match, cfg, MemorySource(held, live=True, fps=rate_hz), plan, frames)
    slowest_ms = max(statistics.fmean(values) for values in alone.values())
    period_ms = 1e3 / min(rate_hz, live.fps)
    return MatcherBench(
        matcher=spec.name,
        backend=spec.backend,
        sha256=spec.sha256,
        grid=grid,
        alone_ms={name: percentiles(values) for name, values in alone.items()},
        flat_out=flat_out,
        live=live,
        live_rate_hz=rate_hz,
        efficiency=flat_out.fps * slowest_ms / 1e3,
        periods_p99=live.age_ms["p99"] / period_ms,
    )


def _alone(
    match: MatchConfig, cfg: Config, held: Sequence[StereoFrame], plan: Callable[[MatcherSpec], Plan], repeats: int
) -> tuple[MatcherSpec, tuple[int, int], dict[str, list[float]]]:
    """Every stage by itself, one after the other, on one thread."""
    matcher, post = create_matcher(match), Post(cfg.post)
    try:
        planned = plan(matcher.spec)
        rig: RectifiedRig = planned.rig
        rectify = planned.rectify or (lambda frame: frame)
        rectified = [rectify(frame) for frame in held]
        matched = [matcher(f.left, f.right) for f in rectified]
        stages: dict[str, Callable[[int], object]] = {
            "rectify": lambda i: rectify(held[i]),
            "match": lambda i: matcher(rectified[i].left, rectified[i].right),
            "post": lambda i: post(matched[i], replace(rectified[i], index=i), rig, {}),
        }
        if planned.rectify is None:
            del stages["rectify"]
        return matcher.spec, rig.size, {name: _time(stage, len(held), repeats) for name, stage in stages.items()}
    finally:
        matcher.close()


def _time(stage: Callable[[int], object], inputs: int, repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` calls, inputs in rotation, after a warm-up."""
    for i in range(WARM_UP):
        stage(i % inputs)
    times_ms = []
    for i in range(repeats):
        start_ns = time.perf_counter_ns()
        stage(i % inputs)
        times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return times_ms


def _loop(
    match: MatchConfig, cfg: Config, source: MemorySource, plan: Callable[[MatcherSpec], Plan], frames: int
) -> LoopFigures:
    meter = Meter()
    run = cfg.run.model_copy(update={"max_frames": frames + WARM_UP})
    pipeline = Pipeline(
        source,
        lambda: create_matcher(match),
        lambda _, spec: plan(spec),
        post=cfg.post,
        sinks=[meter],
        run=run,
    )
    pipeline.run()
    status = pipeline.status()
    stamps_ns, rows = meter.stamps_ns[WARM_UP:], meter.stage_ms[WARM_UP:]
    return LoopFigures(
        frames=len(stamps_ns),
        fps=(len(stamps_ns) - 1) * 1e9 / (stamps_ns[-1] - stamps_ns[0]),
        age_ms=percentiles(meter.ages_ms[WARM_UP:]),
        stage_ms={name: percentiles([row[name] for row in rows]) for name in rows[0]},
        drops=status.drops,
        hud_fps=status.fps,
        hud_age_p99_ms=status.frame_age_p99_ms,
    )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import os

    import cv2
    import numpy as np

    found = {"python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__}
    try:
        import onnxruntime

        found["onnxruntime"] = onnxruntime.__version__
    except ImportError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": platform.platform(), "cpu": _cpu(), "cores": cores, "stereo_rt": __version__, **found}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
