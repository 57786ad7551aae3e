"""How many CPU threads a network should take."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Physical cores that this process may run on, or its CPU quota where that is less."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_text(f"/sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list") or str(n) for n in allowed}
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")  # "max 100000", or "200000 100000" for two cores
    limit = int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else float("inf")
    return max(1, int(min(len(cores), limit)))


def _text(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""
