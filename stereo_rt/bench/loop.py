"""The whole loop, measured from outside by a sink: rate, age, jitter and losses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..frames import DepthResult
from ..matchers.base import Matcher, MatcherSpec
from ..pipeline import Pipeline
from ..plan import Plan
from ..session import mono_maker
from ..sources.base import Source
from ..status import Status
from .report import LoopFigures, figures

WARM_UP = 5
STRETCH = 10
"""Results in a row whose mean interval counts as one; the fastest such stretch is what others disturbed least."""


class Meter:
    """A sink that keeps when results came, how old they were and how long their stages took."""

    name = "meter"
    lossless = True

    def __init__(self) -> None:
        self.index: list[int] = []
        self.stamps_ns: list[int] = []
        self.cpu_ns: list[int] = []
        self.ages_ms: list[float] = []
        self.stage_ms: list[dict[str, float]] = []

    def write(self, result: DepthResult) -> None:
        now_ns = time.monotonic_ns()
        self.index.append(result.index)
        self.stamps_ns.append(now_ns)
        self.cpu_ns.append(time.process_time_ns())
        self.ages_ms.append((now_ns - result.arrived_ns) / 1e6)
        self.stage_ms.append(dict(result.stage_ms))

    def close(self) -> None:
        pass


@dataclass(frozen=True, eq=False)
class LoopRun:
    """The loop once, without its warm-up. meter: one entry a result."""

    meter: Meter
    status: Status

    @property
    def intervals_ms(self) -> np.ndarray:
        return np.diff(self.meter.stamps_ns[WARM_UP:]) / 1e6

    @property
    def cpu_ms(self) -> float:
        """Processor time of all threads of this process, per frame."""
        cpu_ns = self.meter.cpu_ns[WARM_UP:]
        return (cpu_ns[-1] - cpu_ns[0]) / 1e6 / (len(cpu_ns) - 1)


def run_loop(
    source: Source,
    make_matcher: Callable[[], Matcher],
    plan: Callable[[tuple[int, int], MatcherSpec], Plan],
    cfg: Config,
    frames: int,
) -> LoopRun:
    """`frames` results after the warm-up, or as many as the source has. The source is closed at the end."""
    meter = Meter()
    run = cfg.run.model_copy(update={"max_frames": frames + WARM_UP})
    pipeline = Pipeline(
        source,
        make_matcher,
        plan,
        post=cfg.post,
        sinks=[meter],
        run=run,
        timeout_s=cfg.capture.timeout_s,
        make_mono=mono_maker(cfg),
    )
    pipeline.run()
    return LoopRun(meter, pipeline.status())


def loop_figures(runs: Sequence[LoopRun]) -> LoopFigures:
    """Several runs as one. Needs two results in each beyond the warm-up."""
    intervals = [run.intervals_ms for run in runs]
    jitter = np.abs(np.concatenate([np.diff(i) for i in intervals]))
    index = [run.meter.index[WARM_UP:] for run in runs]
    rows = [row for run in runs for row in run.meter.stage_ms[WARM_UP:]]
    return LoopFigures(
        frames=sum(map(len, index)),
        sent=sum(i[-1] - i[0] + 1 for i in index),
        fps=1e3 / float(np.concatenate(intervals).mean()),
        best_fps=1e3 / min(_best_stretch(i) for i in intervals),
        age_ms=figures([age for run in runs for age in run.meter.ages_ms[WARM_UP:]]),
        stage_ms={name: figures([row[name] for row in rows]) for name in rows[0]},
        jitter_ms={"mean": float(jitter.mean()), "std": float(jitter.std()), "max": float(jitter.max())} if len(jitter) else {},
        drops=sum(run.status.drops for run in runs),
        hud_fps=runs[-1].status.fps,
        hud_age_p99_ms=runs[-1].status.frame_age_p99_ms,
    )


def _best_stretch(intervals_ms: np.ndarray) -> float:
    """The smallest mean of STRETCH intervals in a row, or of all where there are fewer."""
    width = min(STRETCH, len(intervals_ms))
    return float(np.convolve(intervals_ms, np.ones(width) / width, "valid").min())
