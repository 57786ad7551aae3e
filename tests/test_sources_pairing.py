"""Pairing by time: exactly the images of one moment find each other, whatever is lost and whenever it arrives."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.sources.pairing import Pairer, PairQueue

PERIOD_NS = 33_000_000
MAX_SKEW_MS = 8.0


@dataclass(frozen=True)
class Image:
    tick: int
    stamp_ns: int


def stream(draw: st.DrawFn, ticks: int, offset_ns: int) -> list[Image]:
    kept = draw(st.lists(st.booleans(), min_size=ticks, max_size=ticks))
    jitter = draw(st.lists(st.integers(-2_000_000, 2_000_000), min_size=ticks, max_size=ticks))
    return [Image(i, i * PERIOD_NS + offset_ns + jitter[i]) for i in range(ticks) if kept[i]]


@st.composite
def two_streams(draw: st.DrawFn) -> tuple[list[Image], list[Image]]:
    """Two cameras up to 3 ms apart, with jitter, each losing images at random."""
    ticks = draw(st.integers(1, 60))
    return stream(draw, ticks, 0), stream(draw, ticks, draw(st.integers(-3_000_000, 3_000_000)))


@given(two_streams(), st.randoms())
def test_images_of_one_tick_are_paired_in_any_order_of_arrival(streams, random) -> None:  # type: ignore[no-untyped-def]
    left, right = streams
    queue: PairQueue[Image] = PairQueue(MAX_SKEW_MS, room=len(left) + len(right))
    waiting = [list(left), list(right)]
    pairs = []
    while any(waiting):
        eye = random.choice([e for e in (0, 1) if waiting[e]])
        pairs += list(queue.push(eye, waiting[eye].pop(0)))
    common = sorted({i.tick for i in left} & {i.tick for i in right})
    assert [(a.tick, b.tick) for a, b in pairs] == [(t, t) for t in common]
    last = common[-1] if common else -1
    settled = [i for i in left + right if i.tick < last and i.tick not in common]
    assert queue.pairer.unpaired >= len(settled)  # those after the last pair may still be waiting


@given(st.integers(0, 100))
def test_an_eye_that_stays_away_never_fills_the_memory(extra: int) -> None:
    queue: PairQueue[Image] = PairQueue(MAX_SKEW_MS, room=4)
    for i in range(extra):
        assert not list(queue.push(0, Image(i, i * PERIOD_NS)))
    assert queue.pairer.unpaired == max(0, extra - 4)


def test_more_than_half_a_period_is_never_a_pair() -> None:
    """A generous max_skew_ms must not marry neighbours for good: after one wrong pair the period is known."""
    pairer = Pairer(50.0)
    assert pairer.match(0, PERIOD_NS) == "pair"
    assert pairer.match(PERIOD_NS, 2 * PERIOD_NS) == "drop left"
    assert pairer.match(2 * PERIOD_NS, 2 * PERIOD_NS) == "pair"
    assert pairer.unpaired == 1
