"""Stage timers and rates. The clock is a scripted one: nothing here depends on how fast the machine is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt import timing
from stereo_rt.timing import RateMeter, StageTimer, percentiles


class Clock:
    """Stands in for the time module."""

    def __init__(self) -> None:
        self.now_ns = 0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_percentiles_are_ordered_within_the_values_and_equal_numpys(values: list[float]) -> None:
    found = percentiles(values)
    assert list(found) == ["p50", "p90", "p95", "p99", "max"]
    assert found["max"] == max(values)
    assert all(a <= b or np.isclose(a, b) for a, b in zip(found.values(), list(found.values())[1:], strict=False))
    assert found["p50"] == pytest.approx(float(np.median(values)))


def test_no_values_have_no_percentiles() -> None:
    assert percentiles([]) == {}


def test_a_stage_counts_its_milliseconds_also_when_it_fails_and_adds_up_when_repeated(clock: Clock) -> None:
    timer = StageTimer({"capture": 3.0})
    with timer.stage("match"):
        clock.now_ns += 5_000_000
    with pytest.raises(RuntimeError), timer.stage("match"):
        clock.now_ns += 2_000_000
        raise RuntimeError
    assert timer.stage_ms == {"capture": 3.0, "match": 7.0}


def test_a_timer_leaves_the_stages_it_was_given_alone(clock: Clock) -> None:
    before = {"capture": 3.0}
    with StageTimer(before).stage("capture"):
        clock.now_ns += 1_000_000
    assert before == {"capture": 3.0}


def test_the_rate_covers_the_last_window_only(clock: Clock) -> None:
    meter = RateMeter(window=10)
    assert meter.per_second == 0.0
    for period_ns in [500_000_000] * 20 + [20_000_000] * 10:
        clock.now_ns += period_ns
        meter.tick()
    assert meter.per_second == pytest.approx(50.0)


def test_two_events_at_once_have_no_rate(clock: Clock) -> None:
    meter = RateMeter()
    meter.tick()
    meter.tick()
    assert meter.per_second == 0.0
