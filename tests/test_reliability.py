"""Reliability: whether a confidence of 0.8 is right in 8 of 10 cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.evaluation.reliability import EDGES, RULES, is_right, mean_reliability, reliability

COUNT = 50_000


def drawn(claimed: np.ndarray, chance: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, disparity and confidence of pixels that are right with a known chance; the wrong ones are 50 px off."""
    right = np.random.default_rng(seed).random(len(claimed)) < chance
    truth = np.full(len(claimed), 20.0)
    return truth, truth + np.where(right, 0.1, 50), claimed


@given(st.integers(0, 20))
def test_honest_claims_lie_on_the_diagonal(seed: int) -> None:
    claimed = np.random.default_rng(seed + 100).random(COUNT)
    found = reliability(*drawn(claimed, claimed, seed))
    assert found is not None
    figures = found.as_dict()
    for rule in RULES:
        np.testing.assert_allclose(figures[f"right_{rule}"], figures["confidence"], atol=0.03)
        assert figures[f"ece_{rule}"] < 0.015
    np.testing.assert_allclose(figures["confidence"], (EDGES[1:] + EDGES[:-1]) / 2, atol=0.01)
    assert sum(figures["share"]) == pytest.approx(1)


def test_overconfidence_is_measured() -> None:
    claimed = np.full(COUNT, 0.9)
    found = reliability(*drawn(claimed, np.full(COUNT, 0.6)))
    assert found is not None and found.ece("target") == pytest.approx(0.3, abs=0.01)
    figures = found.as_dict()
    assert figures["right_target"][-1] == pytest.approx(0.6, abs=0.01) and figures["right_target"][0] is None
    assert reliability(np.full(3, np.nan), np.ones(3), np.ones(3)) is None


def test_the_last_bin_holds_one() -> None:
    found = reliability(np.ones(4), np.ones(4), np.array([0.0, 0.1, 1.0, 1.0]))
    assert found is not None and found.share.tolist() == [0.25, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.5]


def test_the_rules_by_hand() -> None:
    truth = np.array([10, 10, 100, 100, 100, np.nan])
    found = np.array([11.2, 11.5, 103.5, 104.5, 102, 3])
    assert is_right(truth, found, "target").tolist() == [True, False, True, False, True, False]
    assert is_right(truth, found, "2px").tolist() == [True, True, False, False, True, False]


def test_a_mean_weighs_every_scene_alike() -> None:
    many = reliability(*drawn(np.full(1000, 0.75), np.ones(1000)))
    few = reliability(*drawn(np.full(10, 0.75), np.zeros(10)))
    assert many is not None and few is not None
    assert mean_reliability([many, few]).as_dict()["right_2px"][7] == pytest.approx(0.5)
