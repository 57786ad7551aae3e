"""How the loop is doing: a snapshot for HUDs, the web page and the benchmark, and the running figures behind it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .frames import DepthResult
from .sources.base import SourceStatus
from .timing import RateMeter

State = Literal["starting", "ok", "stale", "paused", "ended", "failed"]
RECENT = 120
"""Frames that the running figures (stage times, frame age) look back on."""


@dataclass(frozen=True)
class Status:
    """A snapshot of the loop. Ages run from a frame's arrived_ns (frames.py) to the end of post-processing.

    confidence: the method that it comes from.
    """

    state: State
    detail: str
    frames: int
    fps: float
    frame_age_ms: float
    frame_age_p99_ms: float
    drops: int
    sink_drops: dict[str, int]
    stage_ms: dict[str, float]
    skew_ms: float
    source: SourceStatus
    warnings: tuple[str, ...]
    matcher: str
    confidence: str = ""


@dataclass
class Figures:
    """Running figures of a loop; one thread adds, anyone reads a copy."""

    frames: int = 0
    rate: RateMeter = field(default_factory=RateMeter)
    ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    stages: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    skew_ms: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: DepthResult, age_ms: float) -> None:
        self.rate.tick()
        with self.lock:
            self.frames += 1
            self.ages_ms.append(age_ms)
            self.stages.append(dict(result.stage_ms))
            self.skew_ms = result.skew_ns / 1e6

    def read_ages_ms(self) -> list[float]:
        with self.lock:
            return list(self.ages_ms)

    def stage_ms(self) -> dict[str, float]:
        """Mean milliseconds of each stage over the recent frames."""
        with self.lock:
            rows = list(self.stages)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return {n: float(np.mean([row[n] for row in rows if n in row])) for n in names}
