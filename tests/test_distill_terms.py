"""The terms of distillation: what each measures, the strong view, and that a student does come closer to its teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from stereo_rt.nets.predictions import Distribution  # noqa: E402
from stereo_rt.nets.student import Student, StudentSize  # noqa: E402
from stereo_rt.training.augment import strong_view  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.distillation import (  # noqa: E402
    CLAMP_PX,
    Distillation,
    disparity_term,
    distribution_term,
    feature_term,
    laplace,
)
from stereo_rt.training.recipe import DistillRecipe  # noqa: E402

TINY = StudentSize((4, 8, 8, 8), (0, 0, 0), 1, 4, (8, 8, 8), (0, 0, 0), 8, 0, guide=4, refine=4, max_disparity_px=32)
BIGGER = replace(TINY, encoder=(8, 12, 12, 12), context=(12, 12, 12))
NONE = DistillRecipe(labels=(), disparity=0, distribution=0, features=0, ema=0)
ALL = DistillRecipe(labels=())


def only(**weights: float) -> DistillRecipe:
    return NONE.model_copy(update=weights)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Walls:
    """A Stream of textured walls at 4 to 24 px, a function of the step."""

    def __init__(self, seed: int = 0, label_px: float | None = None) -> None:
        self._seed, self._label_px = seed, label_px

    def batch(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * self._seed + step)
        wall = torch.rand(2, 3, 64, 160, generator=generator)
        shifts = torch.randint(4, 25, (2,), generator=generator).tolist()
        left, right = wall[..., :128], torch.stack([w[..., s : s + 128] for w, s in zip(wall, shifts, strict=True)])
        truth = torch.tensor(shifts).float().view(2, 1, 1).expand(2, 64, 128).clone()
        if self._label_px is not None:
            truth[:] = self._label_px
        truth[:, :8] = torch.nan
        return Batch(left, right, truth, torch.zeros(2, 64, 128, dtype=torch.bool), torch.ones(2, 64, 128))


def network(size: StudentSize, seed: int) -> Student:
    torch.manual_seed(seed)
    return Student(size)


def distribution(bins: int = 16) -> Distribution:
    return Distribution(torch.randn(2, bins, 16, 32, generator=torch.Generator().manual_seed(1)), 2)


def test_terms_vanish_where_the_student_agrees() -> None:
    label, weight = torch.rand(2, 8, 8) * 30, torch.ones(2, 8, 8)
    mine = distribution()
    assert disparity_term(label, label, weight) == 0
    assert distribution_term(mine, torch.softmax(mine.logits, 1), torch.ones(2, 16, 32)).abs() < 1e-6
    assert distribution_term(mine, torch.softmax(-mine.logits, 1), torch.ones(2, 16, 32)) > 0.1
    features = torch.randn(2, 6, 4, 5)
    assert feature_term(features, 3 * features).abs() < 1e-6
    assert feature_term(features, -features) == pytest.approx(2)


def test_a_gross_error_adds_its_clamp_and_pulls_nowhere() -> None:
    disparity = torch.tensor([[[10.0, 50.0, 99.0]]], requires_grad=True)
    loss = disparity_term(disparity, torch.tensor([[[12.0, 12.0, 12.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]]))
    loss.backward()
    assert loss.item() == pytest.approx((2 + CLAMP_PX) / 3)
    assert disparity.grad is not None and disparity.grad[0, 0, 0] < 0
    assert not disparity.grad[0, 0, 1:].any()


@given(st.floats(0, 30))
def test_the_distribution_of_a_label_peaks_there(label_px: float) -> None:
    like = distribution()
    p = laplace(torch.full((2, 16, 32), label_px), like)
    assert torch.allclose(p.sum(1), torch.ones(2, 16, 32), atol=1e-5)
    most_likely_px = (15 - p[0, :, 0, 0].argmax()) * like.bin_px
    assert abs(most_likely_px - label_px) <= like.bin_px / 2 + 1e-4


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(0, 100_000))
def test_the_strong_view_depends_on_seed_and_step_alone(seed: int, step: int) -> None:
    pair = torch.rand(2, 2, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    views = strong_view(*pair, seed, step)
    torch.rand(3)  # the global state plays no part
    for view, again, image in zip(views, strong_view(*pair, seed, step), pair, strict=True):
        assert torch.equal(view, again)
        assert view.shape == image.shape and view.min() >= 0 and view.max() <= 1
        assert not torch.allclose(view, image, atol=0.02)
    assert not torch.equal(views[0], strong_view(*pair, seed, step + 1)[0])
    assert not torch.equal(views[0], strong_view(*pair, seed + 1, step)[0])


def test_the_strong_view_moves_nothing() -> None:
    wall = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(2))
    for step in range(8):
        for view in strong_view(wall, wall, 0, step):
            match = correlation(view.mean(1)[0].numpy(), wall.mean(1)[0].numpy())
            assert np.unravel_index(match.argmax(), match.shape) == (0, 0)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Circular cross-correlation of two images."""
    spectra = (np.fft.fft2(image - image.mean()) for image in (a, b))
    return np.fft.ifft2(next(spectra) * np.conj(next(spectra))).real


def distance_px(student: Student, teacher: Student) -> float:
    batch = Walls(seed=9).batch(0)
    with torch.no_grad():
        mine, theirs = (net.eval()(batch.left, batch.right)[0] for net in (student, teacher))
    student.train()
    return float((mine - theirs).abs().mean())


def teach(student: Student, distillation: Distillation, steps: int, ema: Student | None = None) -> dict[str, list[float]]:
    optimiser = torch.optim.AdamW([*student.parameters(), *distillation.parameters()], lr=3e-3)
    values: dict[str, list[float]] = {}
    for step in range(steps):
        loss, terms = distillation(student.train(), ema or student, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, term in terms.items():
            values.setdefault(name, []).append(term.item())
    return values


class LabelledBy:
    """A Stream whose labels are a network's own."""

    def __init__(self, teacher: Student) -> None:
        self._teacher = teacher.eval()

    def batch(self, step: int) -> Batch:
        batch = Walls(seed=1).batch(step)
        with torch.no_grad():
            disparity_px, confidence = self._teacher(batch.left, batch.right)
        return replace(batch, disparity_px=disparity_px[:, 0], weight=torch.ones_like(confidence[:, 0]))


@pytest.mark.parametrize("weights", [only(disparity=1), only(distribution=1), only(features=1)])
def test_a_student_comes_closer_to_its_teacher(weights: DistillRecipe) -> None:
    teacher, student = network(BIGGER, 1).eval().requires_grad_(False), network(TINY, 2)
    distillation = Distillation(student, LabelledBy(teacher), weights, teacher, seed=3)
    before = distance_px(student, teacher)
    ((name, values),) = teach(student, distillation, 30).items()
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:5]), values
    if name != "features":  # these say nothing of disparities by themselves
        assert distance_px(student, teacher) < 0.8 * before
    assert all(p.grad is None for p in teacher.parameters())


def test_labels_alone_teach_the_distribution() -> None:
    student = network(TINY, 2)
    values = teach(student, Distillation(student, Walls(), only(distribution=1)), 30)["distribution"]
    assert np.mean(values[-5:]) < 0.9 * np.mean(values[:5]), values


def test_the_student_follows_its_average_under_distortion() -> None:
    student, average = network(TINY, 2), network(TINY, 22).eval().requires_grad_(False)
    values = teach(student, Distillation(student, Walls(), only(ema=1)), 50, average)["ema"]
    assert np.mean(values[-5:]) < 0.9 * np.mean(values[:5]), values


def test_weights_switch_terms_and_unknown_labels_teach_nothing() -> None:
    student = network(TINY, 2)
    loss, terms = Distillation(student, Walls(), NONE)(student, student, 0)
    assert loss == 0 and not terms
    unknown = Walls(label_px=float("nan"))
    loss, terms = Distillation(student, unknown, only(disparity=1, distribution=1))(student, student, 0)
    assert set(terms) == {"disparity", "distribution"} and loss == 0


def test_the_teacher_is_not_part_of_what_is_trained() -> None:
    student, teacher = network(TINY, 2), network(BIGGER, 1)
    distillation = Distillation(student, Walls(), ALL, teacher)
    shapes = {name: tuple(value.shape) for name, value in distillation.state_dict().items()}
    assert shapes == {"projections.0.weight": (12, 8, 1, 1), "projections.1.weight": (12, 8, 1, 1)}
    assert student.training


def test_a_step_is_a_function_of_the_step() -> None:
    def loss(step: int) -> Tensor:
        student = network(TINY, 2)
        torch.manual_seed(5)
        return Distillation(student, Walls(), ALL, network(BIGGER, 1).eval(), seed=3)(student, student, step)[0]

    assert loss(7) == loss(7) and loss(7) != loss(8)
