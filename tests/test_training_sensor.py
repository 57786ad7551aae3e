"""The sensor model: it does to colours what it says, and nothing to geometry but the rows of the right eye."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from stereo_rt.training import sensor as sensors  # noqa: E402
from stereo_rt.training.sensor import Sensor, sense  # noqa: E402

SEEDS = st.integers(0, 2**32)
torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(pairs: int = 4, seed: int = 0, height: int = 40, width: int = 64) -> Tensor:
    return torch.rand(pairs, 3, height, width, generator=seeded(seed))


def test_a_perfect_sensor_changes_nothing() -> None:
    left, right = pictures(seed=1), pictures(seed=2)
    for image, sensed in zip((left, right), sense(left, right, seeded(3), Sensor.none()), strict=True):
        torch.testing.assert_close(sensed, image, atol=2e-4, rtol=0)


@settings(max_examples=10)
@given(SEEDS)
def test_the_same_numbers_give_the_same_images(seed: int) -> None:
    left, right = pictures(seed=1), pictures(seed=2)
    first, again, other = (sense(left, right, seeded(s)) for s in (seed, seed, seed + 1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    for image in first:
        assert image.shape == left.shape and image.min() >= 0 and image.max() <= 1


def test_a_pass_in_bf16_around_it_changes_nothing() -> None:
    """Distillation draws its strong views inside of one; JPEG is there for certain."""
    left, right = pictures(seed=1), pictures(seed=2)
    plain = sense(left, right, seeded(3), Sensor(jpeg=1, good=0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = sense(left, right, seeded(3), Sensor(jpeg=1, good=0))
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


def test_good_cameras_have_a_quarter_of_the_noise_and_compress_nothing() -> None:
    flat = torch.full((8, 3, 64, 64), 0.5)
    noisy = replace(Sensor.none(), noise=0.05)
    poor, good = (sense(flat, flat, seeded(1), replace(noisy, good=share))[0] for share in (0.0, 1.0))
    torch.testing.assert_close(good.std((1, 2, 3)), poor.std((1, 2, 3)) / 4, rtol=0.05, atol=2e-4)
    compressing = Sensor(noise=0, jpeg=1, vertical_px=0)
    for share, same in ((0.0, False), (1.0, True)):
        one, other = (sense(pictures(), pictures(), seeded(2), replace(compressing, good=share, jpeg=j))[0] for j in (0.0, 1.0))
        assert torch.equal(one, other) is same


@settings(max_examples=20)
@given(SEEDS, st.floats(0.1, 3))
def test_rows_of_the_right_eye_move_by_no_more_than_said(seed: int, most_px: float) -> None:
    """A vertical ramp shows by how much; a horizontal one, that nothing moves sideways; the left eye moves not at all."""
    height, width = 60, 48
    down, across = torch.meshgrid(torch.arange(60.0) / 100 + 0.2, torch.arange(48.0) / 100 + 0.2, indexing="ij")
    image = torch.stack([down, across, down])[None].repeat(8, 1, 1, 1)
    left, right = sense(image, image, seeded(seed), replace(Sensor.none(), vertical_px=most_px))
    torch.testing.assert_close(left, image, atol=1e-5, rtol=0)
    torch.testing.assert_close(right[:, 1], image[:, 1], atol=1e-5, rtol=0)
    inner = slice(4, -4)
    shift_px = (right[:, 0] - image[:, 0])[:, inner] * 100
    assert shift_px.abs().max() <= most_px + 1e-3
    assert shift_px.abs().max() > 0
    torch.testing.assert_close(shift_px, shift_px[:, :1].expand_as(shift_px), atol=2e-3, rtol=0)  # whole columns
    slope = shift_px[:, 0].diff(dim=-1)
    torch.testing.assert_close(slope, slope[:, :1].expand_as(slope), atol=2e-3, rtol=0)  # in proportion to x
    assert slope.shape == (8, width - 1) and height == 60


@settings(max_examples=10)
@given(SEEDS)
def test_edges_stay_in_their_columns(seed: int) -> None:
    """With everything but patches at once, the steepest columns of the pair are where they were."""
    image = torch.full((6, 3, 48, 64), 0.25)
    image[..., 20:41] = 0.7
    bad = replace(Sensor(), patches=0, noise=0.01, jpeg=0)
    for sensed in sense(image, image, seeded(seed), bad):
        steepness = sensed.mean((1, 2)).diff(dim=1).abs()
        columns = torch.stack([steepness[:, :30].argmax(1), 30 + steepness[:, 30:].argmax(1)], 1)
        assert (columns - torch.tensor([19, 40])).abs().max() <= 1


def test_patches_cover_the_right_eye_only() -> None:
    left, right = pictures(16, seed=1), pictures(16, seed=2)
    one, other = sense(left, right, seeded(4), replace(Sensor.none(), patches=1.0))
    torch.testing.assert_close(one, left, atol=2e-4, rtol=0)
    changed = ((other - right).abs() > 1e-3).any(1).flatten(1).float().mean(1)
    assert (changed > 0).all() and changed.max() < 0.2
    _, few = sense(left, right, seeded(4), replace(Sensor.none(), patches=0.25))
    covered = ((few - right).abs() > 1e-3).flatten(1).any(1).sum()
    assert 0 < covered < 12


def test_cameras_without_colour_and_with_noise() -> None:
    image = pictures(64)
    grey, _ = sense(image, image, seeded(1), replace(Sensor.none(), grey=0.5))
    colourless = (grey.amax(1) - grey.amin(1)).flatten(1).amax(1) < 1e-5
    assert 16 < colourless.sum() < 48
    flat = torch.full((64, 3, 32, 32), 0.5)
    left, right = sense(flat, flat, seeded(1), replace(Sensor.none(), noise=0.05))
    assert 0.001 < left.std() < 0.05
    both = torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]
    assert abs(both) < 0.02  # each eye has its own


def test_exposure_keeps_pictures_between_black_and_white() -> None:
    for dark in (0.2, 1.0):
        image = pictures(32) * dark
        left, _ = sense(image, image, seeded(1), replace(Sensor.none(), exposure=1.0))
        level = left.mean((1, 2, 3))
        assert (level > 0.12).all() and (level < 0.75).all()
        assert level.std() > 0.03


def test_eyes_differ_only_when_they_may() -> None:
    image = pictures(16)
    left, right = sense(image, image, seeded(1), replace(Sensor.none(), exposure=1.0))
    torch.testing.assert_close(left, right)
    left, right = sense(image, image, seeded(1), replace(Sensor.none(), difference=1.0))
    differs = (left - right).abs().flatten(1).mean(1) > 0.005
    assert 4 < differs.sum() < 16


@settings(max_examples=10)
@given(SEEDS, st.floats(0.2, 2))
def test_compression_against_opencv_block_by_block(seed: int, coarseness: float) -> None:
    """Of a grey picture: OpenCV's cosine transform of each block, rounded by the same table."""
    grey = torch.rand(1, 1, 24, 32, generator=seeded(seed)).expand(1, 3, 24, 32)
    ours = sensors._compressed(grey, torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), coarseness))
    expected = np.empty((24, 32), np.float32)
    step = sensors.COARSENESS.numpy() * np.float32(coarseness)
    for y in range(0, 24, 8):
        for x in range(0, 32, 8):
            block = cv2.dct(grey[0, 0, y : y + 8, x : x + 8].numpy() * np.float32(255))
            expected[y : y + 8, x : x + 8] = cv2.idct(np.round(block / step) * step) / 255
    difference = (ours[0, 1] - torch.from_numpy(expected).clamp(0, 1)).abs()
    assert difference.median() < 1e-5 and difference.mean() < 1e-3  # a tie may be rounded either way


def test_compression_of_any_size_and_of_the_chosen() -> None:
    image = pictures(2, height=30, width=45)
    chosen = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    fine, coarse = (sensors._compressed(image, chosen, torch.full((2, 1, 1, 1), c)) for c in (0.05, 2.0))
    assert torch.equal(fine[1], image[1]) and torch.equal(coarse[1], image[1])
    assert 0 < (fine[0] - image[0]).abs().mean() < 0.02 < (coarse[0] - image[0]).abs().mean()


def test_blur_takes_detail_and_keeps_the_mean() -> None:
    image = pictures(3)
    blurred = sensors._blurred(image, torch.tensor([0.0, 0.6, 1.5]).view(3, 1, 1, 1))
    torch.testing.assert_close(blurred[0], image[0])
    deviation = blurred.flatten(1).std(1)
    assert deviation[0] > deviation[1] > deviation[2]
    torch.testing.assert_close(blurred.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=0.01, rtol=0)
