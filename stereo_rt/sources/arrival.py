"""When the images of a stream were taken, by our clock."""

from __future__ import annotations

DRIFT = 1e-4
"""How fast two clocks are assumed to drift apart at most."""
JUMP_NS = 500_000_000
"""A stamp that moves further against its arrival is wild, or the camera's clock was set."""
JUMPS = 3
"""Stamps in a row that jumped: it was the clock."""


class ArrivalClock:
    """Puts a stream's own stamps on our monotonic clock.

    The stamps are exact but start anywhere; arrival times are ours but late by a varying delay. The smallest difference
    seen is the one with the least delay, so stamp + min(arrival - stamp) is free of network jitter. The minimum may
    rise by DRIFT, so that it follows clocks that run at different speeds. A stamp that jumps is not believed: its arrival
    counts, until JUMPS in a row start the minimum anew.
    """

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._arrived_ns = 0
        self._jumps = 0

    def stamp_ns(self, stream_ns: int, arrived_ns: int) -> int:
        offset_ns = float(arrived_ns - stream_ns)
        if self._offset_ns is not None and abs(offset_ns - self._offset_ns) > JUMP_NS:
            self._jumps += 1
            if self._jumps < JUMPS:
                return arrived_ns
        elif self._offset_ns is not None:
            offset_ns = min(offset_ns, self._offset_ns + DRIFT * (arrived_ns - self._arrived_ns))
        self._offset_ns, self._arrived_ns, self._jumps = offset_ns, arrived_ns, 0
        return stream_ns + round(offset_ns)
