"""Stage timers and percentiles."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """{'p50': ..., 'p90': ..., 'p95': ..., 'p99': ..., 'max': ...}; empty for no values."""
    if not values_ms:
        return {}
    q = np.percentile(values_ms, PERCENTILES)
    return {f"p{p}": float(v) for p, v in zip(PERCENTILES, q, strict=True)} | {"max": float(max(values_ms))}


def timed_ms(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start_ns) / 1e6


class StageTimer:
    """Collects the milliseconds of one frame's stages.

    >>> timer = StageTimer()
    >>> with timer.stage("match"):
    ...     pass
    >>> sorted(timer.stage_ms)
    ['match']
    """

    def __init__(self, stage_ms: Mapping[str, float] | None = None) -> None:
        self.stage_ms: dict[str, float] = dict(stage_ms or {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + (time.perf_counter_ns() - start) / 1e6


class RateMeter:
    """Events per second over the last `window` events; thread-safe."""

    def __init__(self, window: int = 30) -> None:
        self._stamps_ns: deque[int] = deque(maxlen=window + 1)
        self._lock = threading.Lock()

    def tick(self) -> None:
        with self._lock:
            self._stamps_ns.append(time.monotonic_ns())

    @property
    def per_second(self) -> float:
        with self._lock:
            if len(self._stamps_ns) < 2:
                return 0.0
            span_ns = self._stamps_ns[-1] - self._stamps_ns[0]
            return (len(self._stamps_ns) - 1) * 1e9 / span_ns if span_ns else 0.0
