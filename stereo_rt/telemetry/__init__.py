"""Power, clocks, temperature and GPU memory, where the machine tells them; sampled in the background.

linux.py    RAPL energy counters, cpufreq, thermal zones
jetson.py   the INA3221 power monitor and the GPU's clock and load, from sysfs (no root, no service)
nvml.py     NVIDIA GPUs through NVML

A probe reads {name: value}; names end in their unit: _w, _mhz, _c (degrees Celsius), _mb, _percent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from . import jetson, linux, nvml
from .nvml import versions

__all__ = ["Probe", "Sampler", "find_probes", "versions"]

Probe = Callable[[], dict[str, float]]
"""Reads what it can at this moment; a reading that fails is left out."""
PERIOD_S = 0.25


def find_probes(root: Path = Path("/")) -> list[Probe]:
    """Those that this machine has something for. root: where sys is."""
    return [*linux.probes(root), *jetson.probes(root), *nvml.probes()]


class Sampler:
    """Reads all probes every period_s on a thread of its own between enter and exit.

    >>> with Sampler([lambda: {"board_power_w": 7.5}]) as sampler:
    ...     pass
    >>> sampler.summary()
    {'board_power_w': {'min': 7.5, 'mean': 7.5, 'max': 7.5}}
    """

    def __init__(self, probes: Sequence[Probe], period_s: float = PERIOD_S) -> None:
        self._probes, self._period_s = list(probes), period_s
        self._values: dict[str, list[float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stereo_rt telemetry", daemon=True)

    def __enter__(self) -> Sampler:
        if self._probes:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._probes:
            self._thread.join()

    def summary(self) -> dict[str, dict[str, float]]:
        """{reading: {min, mean, max}} of what was read so far."""
        return {
            name: {"min": min(values), "mean": sum(values) / len(values), "max": max(values)}
            for name, values in sorted(self._values.items())
        }

    def _run(self) -> None:
        """At least once, so that a short run has a reading too."""
        while True:
            for probe in self._probes:
                for name, value in probe().items():
                    self._values.setdefault(name, []).append(value)
            if self._stop.wait(self._period_s):
                return
