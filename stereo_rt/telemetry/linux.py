"""What the Linux kernel says of any processor: energy (RAPL), clocks (cpufreq) and temperatures (thermal zones)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .sysfs import number, text

Reader = Callable[[], dict[str, float]]


def probes(root: Path) -> list[Reader]:
    sys = root / "sys"
    zones = [RaplZone(zone) for zone in sorted(sys.glob("class/powercap/intel-rapl:[0-9]*")) if ":" not in zone.name[11:]]
    clocks = sorted(sys.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    thermal = sorted(sys.glob("class/thermal/thermal_zone[0-9]*"))
    found: list[Reader] = [zone for zone in zones if zone.readable]
    if clocks:
        found.append(lambda: _clocks(clocks))
    if thermal:
        found.append(lambda: dict(_temperatures(thermal)))
    return found


class RaplZone:
    """Mean power between two readings of one package's energy counter (microjoules, which wraps). Often root's only."""

    def __init__(self, zone: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._file, self._now_s = zone / "energy_uj", now_s
        self._range_uj = number(zone / "max_energy_range_uj") or 0
        self._name = f"{text(zone / 'name') or zone.name}_power_w"
        self._last = number(self._file), now_s()
        self.readable = self._last[0] is not None

    def __call__(self) -> dict[str, float]:
        (before_uj, before_s), now = self._last, (number(self._file), self._now_s())
        self._last = now
        if before_uj is None or now[0] is None or now[1] <= before_s:
            return {}
        spent_uj = now[0] - before_uj
        if spent_uj < 0:
            spent_uj += self._range_uj
        return {self._name: spent_uj / 1e6 / (now[1] - before_s)} if spent_uj >= 0 else {}


def _clocks(files: list[Path]) -> dict[str, float]:
    """The fastest core's: at rest the others say nothing about the work."""
    khz = [value for file in files if (value := number(file))]
    return {"cpu_clock_mhz": max(khz) / 1e3} if khz else {}


def _temperatures(zones: list[Path]) -> Iterator[tuple[str, float]]:
    for zone in zones:
        millidegrees = number(zone / "temp")
        if millidegrees is not None and -50_000 < millidegrees < 200_000:  # a sensor that sleeps says -256 000
            yield f"{text(zone / 'type') or zone.name}_c", millidegrees / 1e3
