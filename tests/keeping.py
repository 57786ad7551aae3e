"""A sink that keeps what it was given, for tests to look at."""

from __future__ import annotations

import time

from stereo_rt.frames import DepthResult


class Keep:
    """busy_s: how long it takes over each result."""

    def __init__(self, lossless: bool = True, busy_s: float = 0.0, name: str = "keep") -> None:
        self.name, self.lossless, self.busy_s = name, lossless, busy_s
        self.results: list[DepthResult] = []
        self.closed = 0

    def write(self, result: DepthResult) -> None:
        time.sleep(self.busy_s)
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1
