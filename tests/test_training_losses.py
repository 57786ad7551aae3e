"""Losses: each against a plain NumPy twin, and what must hold for any of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from training_kit import one_thread  # noqa: E402, F401

from stereo_rt.nets.predictions import Distribution, Predictions  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.losses import REGRESSIONS, SSIM_PX, SSIM_SPAN_PX, SSIM_WINDOW, cross_entropy, training_loss  # noqa: E402
from stereo_rt.training.recipe import LossRecipe  # noqa: E402

SIZE = (2, 8, 16)

pytestmark = pytest.mark.usefixtures("one_thread")


def make_batch(seed: int, unknown: float = 0.2) -> Batch:
    chance = np.random.default_rng(seed)
    truth = chance.uniform(0, 30, SIZE).astype(np.float32)
    truth[chance.random(SIZE) < unknown] = np.nan
    image = torch.zeros(SIZE[0], 3, *SIZE[1:])
    hidden = torch.from_numpy(chance.random(SIZE) < 0.2)
    return Batch(image, image, torch.from_numpy(truth), hidden)


def make_predictions(seed: int) -> Predictions:
    chance = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(SIZE[0], *shape, generator=chance).requires_grad_()

    return Predictions(
        disparity_px=draw(1, *SIZE[1:]),
        certainty=draw(1, *SIZE[1:]),
        coarse_px=(draw(1, 4, 8), draw(1, 2, 4)),
        distributions=(Distribution(draw(16, 2, 4), 2), Distribution(draw(16, 2, 4), 2, True), Distribution(draw(4, 1, 2), 8)),
    )


def cross_entropy_numpy(logits: np.ndarray, bin_px: float, truth: np.ndarray, weight: np.ndarray) -> float:
    """Cell by cell, bin by bin."""
    batch, bins, h, w = logits.shape
    rows, columns = truth.shape[1] // h, truth.shape[2] // w
    total, weights = 0.0, 0.0
    for b, y, x in np.ndindex(batch, h, w):
        place = truth[b, y * rows + rows // 2, x * columns + columns // 2] / bin_px
        at = weight[b, y * rows + rows // 2, x * columns + columns // 2]
        if place > bins - 1:
            continue
        p = np.exp(logits[b, :, y, x] - logits[b, :, y, x].max())
        log_p = np.log(p / p.sum())[::-1]  # smallest disparity first
        low = min(math.floor(place), bins - 2)
        total -= at * ((low + 1 - place) * log_p[low] + (place - low) * log_p[low + 1])
        weights += at
    return total / (weights + 1)


@given(st.integers(0, 10_000), st.sampled_from([(16, 2.0), (4, 8.0), (5, 1.0)]))
def test_cross_entropy_is_its_plain_twin(seed: int, bins: tuple[int, float]) -> None:
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, 3, (2, bins[0], 2, 4))
    truth, weight = chance.uniform(0, 40, SIZE), chance.random(SIZE)
    found = cross_entropy(Distribution(torch.from_numpy(logits), bins[1]), torch.from_numpy(truth), torch.from_numpy(weight))
    assert float(found) == pytest.approx(cross_entropy_numpy(logits, bins[1], truth, weight), rel=1e-4, abs=1e-5)


def test_the_distribution_is_pulled_to_the_truth_between_two_bins() -> None:
    logits = torch.zeros(1, 16, 1, 1, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=5.0)
    for _ in range(400):
        optimizer.zero_grad()
        cross_entropy(Distribution(logits, 2.0), torch.full((1, 4, 4), 9.0), torch.ones(1, 4, 4)).backward()
        optimizer.step()
    p = torch.softmax(logits[0, :, 0, 0], 0).detach()
    expected_px = float((p * torch.arange(15, -1, -1) * 2).sum())
    assert expected_px == pytest.approx(9.0, abs=0.2) and float(p.topk(2).values.sum()) > 0.98


@pytest.mark.parametrize("name", REGRESSIONS)
@given(seed=st.integers(0, 1000), late=st.booleans())
def test_a_regression_is_least_at_the_truth(name: str, seed: int, late: bool) -> None:
    chance = torch.Generator().manual_seed(seed)
    truth = 30 * torch.rand(1, 9, 9, generator=chance)
    off = truth + 2 * torch.randn(1, 9, 9, generator=chance)
    measure = REGRESSIONS[name]
    assert float(measure(truth, truth, late).abs().max()) < 1e-3
    assert float(measure(off, truth, late).mean()) > 1e-3 and float(measure(off, truth, late).min()) >= -1e-3


@pytest.mark.parametrize(
    ("late", "error_px", "expected"),
    [(False, 0.5, 0.125), (False, 3.0, 2.5), (False, 50.0, 6.0), (True, 0.05, 0.0125), (True, 9.0, 4.0)],
)
def test_smooth_l1_by_hand(late: bool, error_px: float, expected: float) -> None:
    estimate = torch.tensor([10 + error_px], requires_grad=True)
    value = REGRESSIONS["smooth_l1"](estimate, torch.tensor([10.0]), late)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(expected, rel=1e-4)
    assert estimate.grad is not None
    assert (float(estimate.grad) == 0) == (error_px > 6), "gross errors pull nowhere"


def test_ssim_is_its_plain_twin() -> None:
    chance = np.random.default_rng(0)
    truth = chance.uniform(0, 100, (12, 14))
    estimate = truth + chance.normal(0, 10, truth.shape)
    found = REGRESSIONS["ssim"](torch.from_numpy(estimate)[None], torch.from_numpy(truth)[None], False)[0]
    half = SSIM_WINDOW // 2
    c1, c2 = (0.01 * SSIM_SPAN_PX) ** 2, (0.03 * SSIM_SPAN_PX) ** 2
    for y, x in np.ndindex(truth.shape):
        window = np.s_[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
        a, b = estimate[window], truth[window]
        covariance = ((a - a.mean()) * (b - b.mean())).mean()
        ssim = (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
        ssim /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var() + b.var() + c2)
        assert float(found[y, x]) == pytest.approx(SSIM_PX * (1 - ssim) / 2, abs=1e-6)


def test_the_sum_is_what_its_terms_and_weights_say() -> None:
    predictions, batch, recipe = make_predictions(1), make_batch(1), LossRecipe()
    for progress, full in ((0.0, recipe.full), (0.9, recipe.full_late)):
        loss, terms = training_loss(predictions, batch, recipe, progress)
        weights = {"full": full, "coarse": recipe.coarse, "distribution": recipe.distribution, "coarser": recipe.coarser}
        weights |= {"matching": recipe.matching, "confidence": recipe.confidence}
        assert float(loss.detach()) == pytest.approx(sum(w * float(terms[name]) for name, w in weights.items()), rel=1e-5)
        assert {"bad1", "bad2", "bad3"} == terms.keys() - weights.keys()
    judged = torch.isfinite(batch.disparity_px) & ~batch.occluded
    wrong = ((predictions.disparity_px[:, 0] - batch.disparity_px).abs() > 2)[judged]
    assert float(terms["bad2"]) == pytest.approx(100 * float(wrong.float().mean()))


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_what_is_not_known_teaches_nothing(regression: str) -> None:
    recipe = LossRecipe(regression=regression)
    nothing = replace(make_batch(2), disparity_px=torch.full(SIZE, torch.nan))
    predictions = make_predictions(2)
    loss, _ = training_loss(predictions, nothing, recipe, 0.0)
    loss.backward()
    maps = (predictions.disparity_px, predictions.certainty, *predictions.coarse_px)
    leaves = [m for m in maps if m is not None] + [d.logits for d in predictions.distributions]
    assert float(loss.detach()) == 0 and all(float(leaf.grad.abs().max()) == 0 for leaf in leaves)


def test_labels_count_by_their_weight() -> None:
    batch, predictions = make_batch(3, unknown=0.0), make_predictions(3)
    left_half = torch.zeros(SIZE)
    left_half[..., :8] = 1
    known = batch.disparity_px.masked_fill(left_half == 0, torch.nan)
    recipe = LossRecipe(confidence=0)
    by_weight, _ = training_loss(predictions, replace(batch, weight=left_half), recipe, 0.0)
    by_truth, _ = training_loss(predictions, replace(batch, disparity_px=known), recipe, 0.0)
    assert float(by_weight.detach()) == pytest.approx(float(by_truth.detach()), rel=1e-5)


def test_what_one_eye_sees_counts_as_told_and_nothing_in_matching() -> None:
    predictions, batch = make_predictions(4), make_batch(4)
    all_hidden = replace(batch, occluded=torch.ones(SIZE, dtype=torch.bool))
    _, terms = training_loss(predictions, all_hidden, LossRecipe(), 0.0)
    assert float(terms["matching"]) == 0 and float(terms["distribution"]) > 0
    _, terms = training_loss(predictions, all_hidden, LossRecipe(occluded=0.0), 0.0)
    assert float(terms["distribution"]) == 0 and float(terms["full"]) == 0


def test_a_network_that_only_regresses_has_only_that_term() -> None:
    predictions = Predictions(torch.zeros(SIZE[0], 1, *SIZE[1:]))
    loss, terms = training_loss(predictions, make_batch(5), LossRecipe(regression="l1", full=1.0), 0.0)
    assert terms.keys() == {"full", "bad1", "bad2", "bad3"} and float(loss.detach()) == pytest.approx(float(terms["full"]))
