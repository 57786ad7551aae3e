"""What a benchmark found, as plain frozen values; as_dict() is the JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..config import Config, dump
from ..sinks.manifest import plain
from ..timing import percentiles

SCHEMA = 2
Figures = dict[str, float]
"""min, p50, p90, p95, p99 and max of one quantity."""


def settings_of(cfg: Config) -> dict[str, Any]:
    """The resolved configuration as strict JSON holds it."""
    return plain(dump(cfg))


def figures(values: list[float]) -> Figures:
    """Percentiles and the minimum; empty for no values."""
    return {"min": float(min(values)), **percentiles(values)} if values else {}


@dataclass(frozen=True)
class LoopFigures:
    """One part of the benchmark that ran the whole loop.

    frames: results measured. sent: frames the source had for them, so that sent - frames got lost on the way.
    fps: mean rate of results. best_fps: of the fastest stretch, see loop.STRETCH.
    age_ms runs from a frame's arrival to its result reaching a sink. drops, hud_*: what the loop itself said.
    jitter_ms: mean, std and max of the change from one interval between results to the next, |(t2 - t1) - (t1 - t0)|;
    the definition of isaac_ros_benchmark, as are fps, sent and the count of missed frames.
    """

    frames: int
    sent: int
    fps: float
    best_fps: float
    age_ms: Figures
    stage_ms: dict[str, Figures]
    jitter_ms: dict[str, float]
    drops: int
    hud_fps: float
    hud_age_p99_ms: float


@dataclass(frozen=True)
class Overhead:
    """What the loop costs per frame without rectification, network and display; see overhead.py.

    wall_ms: between two results, flat out. cpu_ms: processor time of all threads together. post_ms: post-processing in it.
    """

    wall_ms: float
    cpu_ms: float
    post_ms: float


@dataclass(frozen=True)
class AccuracyRow:
    """Pixels with ground truth whose confidence is at least `cut`; None where there is none.

    kept_percent: how many of all those with ground truth. epe_px, bad1, bad2: as stereo-rt eval has them.
    depth_p50_percent, depth_p95_percent: half, and 95 %, of the kept pixels are off by at most so much of their true depth.
    """

    cut: float
    kept_percent: float
    epe_px: float | None
    bad1: float | None
    bad2: float | None
    depth_p50_percent: float | None
    depth_p95_percent: float | None


@dataclass(frozen=True)
class MatcherBench:
    """Everything measured with one matcher; parts that were not asked for are empty or None.

    network_ms: the network alone on inputs that lie ready, where the backend can tell. alone_ms: each stage by itself over
    the same frames. efficiency: the flat-out rate against the rate of the slowest stage alone. live: at live_rate_hz from
    memory, or from the source itself. periods_p99: live frame age p99 in periods of the slower of camera and loop.
    """

    matcher: str
    backend: str
    sha256: str | None
    grid: tuple[int, int]
    engine: str | None = None
    network_ms: Figures = field(default_factory=dict)
    alone_ms: dict[str, Figures] = field(default_factory=dict)
    flat_out: LoopFigures | None = None
    live: LoopFigures | None = None
    live_rate_hz: float | None = None
    efficiency: float | None = None
    periods_p99: float | None = None
    accuracy: tuple[AccuracyRow, ...] = ()


@dataclass(frozen=True)
class BenchReport:
    """One run. reference_ms: by kind of reference.py's fixed work, taken between the parts. load: of load() at the start.

    telemetry: by reading, its min, mean and max during the run. settings: the resolved configuration.
    """

    machine: dict[str, Any]
    source: str
    frame_size: tuple[int, int]
    runs: tuple[MatcherBench, ...]
    peak_memory_mb: float
    overhead: Overhead | None = None
    reference_ms: dict[str, Figures] = field(default_factory=dict)
    load: float | None = None
    telemetry: dict[str, dict[str, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
