"""Confidence methods: each against what it must say by construction, and on rendered pairs with exact truth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.confidence import METHODS, Evidence, Method, chosen, find_method
from stereo_rt.confidence.image import photometric, variance, variance_numpy
from stereo_rt.confidence.sampling import gain, gamma, mc_dropout
from stereo_rt.config import MatchConfig
from stereo_rt.errors import UsageError
from stereo_rt.evaluation.metrics import confidence_quality
from stereo_rt.frames import Disparity
from stereo_rt.matchers import Matcher, create_matcher
from stereo_rt.sources.synthetic import SyntheticCamera

ANY_MATCHER = [name for name, method in METHODS.items() if not method.need.value or name == "learned"]
SIZE = (320, 240)


@pytest.fixture(scope="module")
def semi_global() -> Iterator[Matcher]:
    matcher = create_matcher(MatchConfig(backend="sgbm"))
    yield matcher
    matcher.close()


@pytest.fixture(scope="module")
def student() -> Iterator[Matcher]:
    """The shipped network in torch, at half its size: this is about ranks, not about the last tenth of a pixel."""
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from stereo_rt.matchers.torch import TorchMatcher

    matcher = TorchMatcher(MatchConfig(backend="torch", threads=1), scale=0.5)
    yield matcher
    matcher.close()


def evidence_of(matcher: Matcher, seed: int = 0) -> tuple[Evidence, np.ndarray]:
    """A rendered pair, matched, and its true disparity."""
    camera = SyntheticCamera(size=SIZE, seed=seed)
    frame = camera.frame(0)
    return Evidence(frame.left, frame.right, matcher(frame.left, frame.right), matcher), camera.ground_truth(0).disparity_px


@pytest.fixture(scope="module")
def seen_by_network(student: Matcher) -> tuple[Evidence, np.ndarray]:
    return evidence_of(student)


@pytest.fixture(scope="module")
def seen_by_semi_global(semi_global: Matcher) -> tuple[Evidence, np.ndarray]:
    return evidence_of(semi_global)


def check(evidence: Evidence, truth_px: np.ndarray, score: np.ndarray, least: float) -> None:
    assert score.shape == truth_px.shape and score.dtype == np.float32
    assert score.min() >= 0 and score.max() <= 1
    quality = confidence_quality(truth_px, evidence.estimate.disparity_px, score)
    assert quality is not None and quality["roc_auc"] is not None and quality["ause"] is not None
    bad2 = 100 * float((np.abs(evidence.estimate.disparity_px - truth_px) > 2).mean())
    assert bad2 > 2, "there must be something to rank"
    assert quality["roc_auc"] > least
    assert quality["auc"] is not None and quality["auc"] < bad2, "better than chance"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_ranks_the_errors_of_a_network(name: str, seen_by_network: tuple[Evidence, np.ndarray]) -> None:
    evidence, truth = seen_by_network
    score = partial(mc_dropout, passes=4) if name == "mc_dropout" else METHODS[name].score
    check(evidence, truth, score(evidence), least=0.7)


@pytest.mark.parametrize("name", ANY_MATCHER)
def test_methods_that_need_no_network_rank_those_of_any_matcher(
    name: str, seen_by_semi_global: tuple[Evidence, np.ndarray]
) -> None:
    evidence, truth = seen_by_semi_global
    assert not METHODS[name].obstacle(evidence.matcher)
    check(evidence, truth, METHODS[name].score(evidence), least=0.6)


def test_a_matcher_without_a_network_is_told_what_it_lacks(seen_by_semi_global: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = seen_by_semi_global
    assert "--backend torch" in METHODS["entropy"].obstacle(evidence.matcher)
    with pytest.raises(UsageError, match="--backend torch"):
        METHODS["entropy"].score(evidence)


def test_dropout_is_repeatable_and_leaves_the_network_as_it_was(seen_by_network: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = seen_by_network
    first = mc_dropout(evidence, passes=2)
    assert np.ptp(first) > 0.1, "the passes differ"
    np.testing.assert_array_equal(mc_dropout(evidence, passes=2), first)
    again = evidence.matcher(evidence.left, evidence.right)
    np.testing.assert_array_equal(again.disparity_px, evidence.estimate.disparity_px)


class Fixed:
    """A matcher that finds the same disparity everywhere; what is wanted of its spec is nothing."""

    def __init__(self, disparity_px: np.ndarray) -> None:
        self.found = Disparity(disparity_px, np.ones_like(disparity_px))

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        return self.found


def shifted(size: tuple[int, int], shift_px: int) -> tuple[np.ndarray, np.ndarray]:
    texture = np.random.default_rng(0).integers(20, 200, (size[1], size[0] + shift_px), np.uint8)
    return np.ascontiguousarray(texture[:, : size[0]]), np.ascontiguousarray(texture[:, shift_px:])


@given(shift_px=st.integers(1, 12), factor=st.floats(0.6, 1.2))
def test_photometric_sees_a_wrong_match_and_forgives_a_gain(shift_px: int, factor: float) -> None:
    left, right = shifted((64, 40), shift_px)
    right = gain(factor)(right)
    estimate = np.full(left.shape, shift_px, np.float32)
    estimate[:, 32:] += 3
    score = photometric(Evidence(left, right, Disparity(estimate, estimate), Fixed(estimate)))  # type: ignore[arg-type]
    assert (score[:, :shift_px] == 0).all(), "outside the right image"
    assert score[:, shift_px:24].min() > 0.9 > 0.9 * score[:, 40:].max()
    assert score[:, 40:].mean() < score[:, shift_px:24].mean() - 0.08


def test_left_right_is_the_disagreement_of_the_eyes(semi_global: Matcher) -> None:
    left, right = shifted((160, 60), 8)
    truth = semi_global(left, right)
    score = METHODS["left_right"].score(Evidence(left, right, truth, semi_global))
    assert score[:, 20:140].min() > 0.9, "SGBM counts in sixteenths of a pixel"
    wrong = Disparity(truth.disparity_px + 3, truth.confidence)
    off = METHODS["left_right"].score(Evidence(left, right, wrong, semi_global))
    np.testing.assert_allclose(off[10:50, 30:130], 1 / (1 + 3), atol=0.02)


@given(st.integers(0, 1000))
def test_variance_equals_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    disparity = rng.uniform(0, 50, (23, 31)).astype(np.float32)
    disparity[rng.random(disparity.shape) < 0.2] = np.nan
    seen = Evidence(disparity, disparity, Disparity(disparity, disparity), Fixed(disparity))  # type: ignore[arg-type]
    np.testing.assert_allclose(variance(seen), variance_numpy(seen), atol=1e-5)


def test_disturbances_are_what_their_names_say() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert gain(0.5)(ramp)[0, 200] == 100
    assert gamma(1.0)(ramp).tolist() == ramp.tolist()
    assert gamma(0.5)(ramp)[0, 64] == round(255 * (64 / 255) ** 0.5) and gamma(2.0)(ramp)[0, 255] == 255


def test_methods_are_chosen_by_name() -> None:
    assert chosen("all") == METHODS
    assert list(chosen("mc_dropout:4, all")) == ["mc_dropout:4", *METHODS]
    assert list(chosen("variance, learned")) == ["variance", "learned"]
    with pytest.raises(UsageError, match="did you mean 'entropy'"):
        chosen("entrpy")
    with pytest.raises(UsageError, match="there are learned"):
        chosen("zzz")


@pytest.mark.parametrize("text", ["mc_dropout:", "mc_dropout:1", "mc_dropout:-3", "mc_dropout:many", "mc_dropout:100000"])
def test_a_number_of_passes_is_checked(text: str) -> None:
    with pytest.raises(UsageError, match="such as mc_dropout:15"):
        find_method(text)


def test_the_number_of_passes_is_that_of_the_runs(seen_by_network: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = seen_by_network
    np.testing.assert_array_equal(find_method("mc_dropout:2").score(evidence), mc_dropout(evidence, passes=2))


def test_what_has_no_estimate_has_no_confidence() -> None:
    disparity = np.array([[1, np.nan]], np.float32)
    rated = Method("all", lambda evidence: np.ones_like(disparity)).rated(
        Evidence(disparity, disparity, Disparity(disparity, disparity), Fixed(disparity))  # type: ignore[arg-type]
    )
    assert rated.confidence.tolist() == [[1, 0]] and rated.confidence.dtype == np.float32
