"""How far a build is: TensorRT reports nested phases, each of so many steps; together they make one fraction."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """Written by the thread that builds, read by the one that shows it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Phase] = {}  # in the order of their start
        self._fraction = 0.0
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the build to end; it does after its present step."""
        self._stop.set()

    @property
    def fraction(self) -> float:
        """0 to 1; never goes back, although phases are found on the way."""
        with self._lock:
            name, within = next(reversed(self._open), None), 0.0
            for _ in self._open:  # at most so deep, whatever parents are named
                if phase := self._open.get(name or ""):
                    within = min(1.0, (phase.done + within) / max(1, phase.steps))
                    name = phase.parent
            self._fraction = max(self._fraction, within)
            return self._fraction

    @property
    def current(self) -> str:
        """Name of the innermost phase; '' before the first."""
        with self._lock:
            return next(reversed(self._open), "")

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open[name] = _Phase(parent, steps)

    def step(self, name: str, step: int) -> None:
        with self._lock:
            if name in self._open:
                self._open[name].done = step + 1

    def finish(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)
