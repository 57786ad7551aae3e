"""A fixed piece of work, from the standard library alone: how fast this machine is at the moment.

It is taken between the parts of a benchmark. A machine that is busy, hot or throttled takes longer for it too, which
tells a slower machine from a slower program. No package we use can make it faster or slower.
"""

from __future__ import annotations

import hashlib

from ..timing import timed_ms

HASHED_BYTES, COPIED_BYTES = 1 << 20, 1 << 24


def reference_ms(repeats: int = 10) -> list[float]:
    """Milliseconds of each repeat: hash one buffer (the core), copy a larger one (the memory)."""
    hashed, copied = bytes(HASHED_BYTES), bytearray(COPIED_BYTES)
    target = bytearray(COPIED_BYTES)

    def work() -> None:
        hashlib.sha256(hashed).digest()
        target[:] = copied

    return [timed_ms(work) for _ in range(repeats)]
