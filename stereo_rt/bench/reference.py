"""Fixed work, from the standard library alone: how fast this machine is at the moment.

It is timed between the parts of a benchmark. A machine that is busy, hot or throttled takes longer for it too, which
tells a slower machine from a slower program. No package we use can make it faster or slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..matchers.cores import usable_cores
from ..timing import timed_ms

KINDS = ("one_core", "all_cores")
HASHED_BYTES, COPIED_BYTES = 1 << 20, 1 << 24
ROUNDS_OF_ALL = 16
"""Long enough (tens of milliseconds) to feel other processes as a network does."""


def reference_ms(repeats: int = 8) -> dict[str, list[float]]:
    """Milliseconds of each repeat, by KINDS: one core hashes and copies; all cores that a network would take hash at once."""
    hashed, copied = bytes(HASHED_BYTES), bytearray(COPIED_BYTES)
    target = bytearray(COPIED_BYTES)
    cores = usable_cores()

    def one() -> None:
        hashlib.sha256(hashed).digest()
        target[:] = copied

    def many(_: int) -> None:
        for _ in range(ROUNDS_OF_ALL):
            hashlib.sha256(hashed).digest()  # lets go of Python's lock

    with ThreadPoolExecutor(cores) as pool:
        return {
            "one_core": _times(one, repeats),
            "all_cores": _times(lambda: list(pool.map(many, range(cores))), repeats),
        }


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    return [timed_ms(work) for _ in range(repeats)]
