"""Which left image belongs to which right one, by time stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Generic, Literal, Protocol, TypeVar

Verdict = Literal["pair", "drop left", "drop right"]


class Pairer:
    """Walks two streams in order of time; the caller takes a new image for the eye that was dropped or used.

    A pair is accepted when its skew is within max_skew_ms and no more than half a frame period, beyond which the
    neighbouring image would fit better. unpaired counts images given up; least_skew_ms is the smallest difference met
    since the last pair.
    """

    def __init__(self, max_skew_ms: float) -> None:
        self.max_skew_ms = max_skew_ms
        self.unpaired = 0
        self.least_skew_ms: float | None = None
        self._previous: dict[str, int] = {}
        self._periods_ns: deque[int] = deque(maxlen=9)

    def match(self, left_ns: int, right_ns: int) -> Verdict:
        """What to do with the two oldest images that wait."""
        self._learn("left", left_ns)
        self._learn("right", right_ns)
        skew_ms = abs(right_ns - left_ns) / 1e6
        self.least_skew_ms = min(skew_ms, skew_ms if self.least_skew_ms is None else self.least_skew_ms)
        half_ms = median(self._periods_ns) / 2e6 if self._periods_ns else float("inf")
        if skew_ms <= self.max_skew_ms and skew_ms <= half_ms:
            self.least_skew_ms = None
            return "pair"
        self.unpaired += 1
        return "drop left" if left_ns < right_ns else "drop right"

    def _learn(self, eye: str, stamp_ns: int) -> None:
        previous = self._previous.get(eye)
        if previous is not None and stamp_ns > previous:
            self._periods_ns.append(stamp_ns - previous)
        self._previous[eye] = stamp_ns


class Stamped(Protocol):
    @property
    def stamp_ns(self) -> int: ...


T = TypeVar("T", bound=Stamped)


class PairQueue(Generic[T]):
    """Joins two streams whose images arrive in any interleaving. Keeps at most `room` images of an eye waiting."""

    def __init__(self, max_skew_ms: float, room: int = 4) -> None:
        self.pairer = Pairer(max_skew_ms)
        self._waiting: tuple[deque[T], deque[T]] = (deque(), deque())
        self._room = room

    def push(self, eye: Literal[0, 1], item: T) -> Iterator[tuple[T, T]]:
        """Take one image of the left (0) or right (1) eye; yields the pairs it completes."""
        lefts, rights = self._waiting
        self._waiting[eye].append(item)
        while lefts and rights:
            verdict = self.pairer.match(lefts[0].stamp_ns, rights[0].stamp_ns)
            left = lefts.popleft() if verdict != "drop right" else None
            right = rights.popleft() if verdict != "drop left" else None
            if left is not None and right is not None:
                yield left, right
        while len(self._waiting[eye]) > self._room:
            self._waiting[eye].popleft()
            self.pairer.unpaired += 1
