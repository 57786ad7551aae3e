"""Tiles of a bare wall find together what none of them can tell, as plain loops over them do it, in torch and in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from onnx_kit import assert_same_in_onnx  # noqa: E402

from stereo_rt.nets.background import DOUBTED, unsure_share  # noqa: E402
from stereo_rt.nets.consensus import AHEAD, CLAIMED, COLOUR, FIRST_PX, NEAR_PX, RIVAL, TILE, agree  # noqa: E402

BINS, BIN_PX, STEP = 32, 2.0, 4
PX = np.arange(BINS - 1, -1, -1) * BIN_PX
Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def agree_numpy(disparity: np.ndarray, certainty: np.ndarray, matching: np.ndarray, left: np.ndarray) -> tuple:
    """Twin of agree on (H, W) maps, (h, w, bins) correlations and an image (3, H, W)."""
    sure = certainty >= np.float32(DOUBTED)
    share = unsure_share(torch.from_numpy(sure)[None, None], torch.float32)[0, 0].numpy()
    unsure = ~sure & (share.repeat(STEP, 0).repeat(STEP, 1) > 0)
    small = left[:, STEP // 2 :: STEP, STEP // 2 :: STEP].repeat(STEP, 1).repeat(STEP, 2)
    found, claims = disparity.copy(), certainty.copy()
    tiles = []
    for y, x in np.ndindex(*(side // TILE for side in disparity.shape)):
        block = np.s_[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        pixels = np.argwhere(unsure[block]) + np.array([y, x]) * TILE
        if not len(pixels):
            continue
        evidence = np.mean([matching[v // STEP, u // STEP].astype(float) for v, u in pixels], 0)
        inside = (x + 0.5) * TILE >= PX
        evidence = np.where(inside, evidence - evidence[inside].mean(), 0)
        colour = np.mean([small[:, v, u] for v, u in pixels], 0)
        tiles.append((pixels, evidence, (evidence**2).sum() / inside.sum(), colour))
    for pixels, _, _, colour in tiles:
        weights = [len(p) * np.exp(-0.5 * np.sum(((c - colour) / COLOUR) ** 2)) for p, _, _, c in tiles]
        weights = np.array(weights) / np.sum(weights)
        mean = sum(w * e for w, (_, e, _, _) in zip(weights, tiles, strict=True))
        error = np.sqrt(2 * sum(w * w * v for w, (_, _, v, _) in zip(weights, tiles, strict=True)))
        near = np.abs(PX - PX[mean.argmax()]) <= NEAR_PX
        second = mean[~near].max()
        over = np.where(near, np.maximum(mean - second, 0), 0)
        best_px = (over * PX).sum() / over.sum()
        if over.max() > AHEAD * error and second < RIVAL * mean.max() and best_px > FIRST_PX:
            found[pixels[:, 0], pixels[:, 1]], claims[pixels[:, 0], pixels[:, 1]] = best_px, CLAIMED
    return found, claims


def wall(seed: int, truth_px: np.ndarray, colours: np.ndarray, faint: float = 0.1, rows: int = 192, width: int = 256) -> Maps:
    """What a network would say of walls that nobody can match: any disparities, unsure of all, and correlations of noise with
    a peak that is `faint` beside it. truth_px, colours: of the left and the right half."""
    rng = np.random.default_rng(seed)
    half = np.arange(width) * 2 // width
    peaks = np.exp(-0.5 * ((PX - truth_px[half[::STEP], None]) / 1.5) ** 2)
    matching = faint * peaks + rng.normal(0, 0.2, (rows // STEP, width // STEP, BINS))
    disparity = rng.uniform(0, 60, (rows, width))
    left = np.broadcast_to(colours[half].T[:, None], (3, rows, width)) + rng.normal(0, 0.02, (3, rows, width))
    maps = (disparity[None], np.full((1, rows, width), -2.0), matching, left)
    disparity, certainty, matching, left = (torch.from_numpy(m.astype(np.float32))[None] for m in maps)
    return disparity, certainty, matching, left


GREY, RED = np.full(3, 0.6), np.array([0.8, 0.2, 0.2])


def answers(maps: Maps) -> tuple[torch.Tensor, torch.Tensor]:
    return agree(*maps, BIN_PX)


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_its_plain_twin(seed: int) -> None:
    """Two walls, of which some parts are sure, at half of the seeds with something in front of them."""
    disparity, certainty, matching, left = wall(seed, np.array([21.0, 35.0]), np.stack([GREY, RED]), 0.05 * (1 + seed))
    rng = np.random.default_rng(seed)
    for _ in range(6):
        y, x = rng.integers(150), rng.integers(200)
        certainty[..., y : y + rng.integers(5, 60), x : x + rng.integers(5, 60)] = 2.0
    found, claims = answers((disparity, certainty, matching, left))
    expected = agree_numpy(*(m[0, 0].numpy() for m in (disparity, certainty)), matching[0].numpy(), left[0].numpy())
    np.testing.assert_allclose(found[0, 0].numpy(), expected[0], atol=2e-3)
    np.testing.assert_array_equal(claims[0, 0].numpy(), expected[1])
    assert torch.equal(found[certainty > 0], disparity[certainty > 0]) and (found != disparity).float().mean() > 0.2


def test_walls_are_found_that_no_pixel_knows() -> None:
    truth_px = np.array([20.0, 33.0])
    maps = wall(5, truth_px, np.stack([GREY, RED]))
    seen = PX[maps[2][0].argmax(-1).numpy()].reshape(maps[2].shape[1], 2, -1).swapaxes(0, 1)
    assert (np.abs(seen - truth_px[:, None, None]) < 2).mean() < 0.3
    found, claims = answers(maps)
    left, right = found[0, 0, :, :128], found[0, 0, :, 128:]
    assert ((left - 20).abs() < 1).float().mean() == 1 and ((right - 33).abs() < 1).float().mean() == 1
    assert (claims == CLAIMED).all()


def test_equal_colours_that_disagree_stay() -> None:
    maps = wall(6, np.array([12.0, 30.0]), np.stack([GREY, GREY]))
    found, claims = answers(maps)
    assert torch.equal(found, maps[0]) and torch.equal(claims, maps[1])


def test_what_both_cameras_have_in_the_same_columns_is_no_surface() -> None:
    maps = wall(7, np.zeros(2), np.stack([GREY, RED]), 0.3)
    assert torch.equal(answers(maps)[0], maps[0])


def test_padding_has_no_say() -> None:
    """Half of the image repeats a column, as padding does, and its correlations are for 10 px; so do rows below."""
    maps = wall(10, np.array([24.0, 10.0]), np.stack([GREY, GREY]), 0.3)
    assert not ((answers(maps)[0][..., :128] - 24).abs() < 1).any()
    maps[3][..., 128:] = maps[3][..., 127:128]
    found = answers(maps)[0]
    assert ((found[..., :128] - 24).abs() < 1).all() and torch.equal(found[..., 128:], maps[0][..., 128:])
    maps[3][..., 96:, :] = maps[3][..., 95:96, :]
    assert torch.equal(answers(maps)[0][..., 96:, :], maps[0][..., 96:, :])


def test_noise_agrees_on_nothing() -> None:
    shares = [
        (answers(m)[0] != m[0]).float().mean() for m in (wall(s, np.zeros(2), np.stack([GREY, RED]), 0.0) for s in range(12))
    ]
    assert np.mean(shares) < 0.05


def test_sure_pixels_thin_things_and_edges_stay() -> None:
    disparity, certainty, matching, left = wall(8, np.array([20.0, 20.0]), np.stack([GREY, GREY]), 0.5)
    certainty[:] = 2.0
    certainty[..., 60:63, :] = certainty[..., 90:93] = -2.0
    for got, given in zip(answers((disparity, certainty, matching, left)), (disparity, certainty), strict=True):
        assert torch.equal(got, given)


def test_the_same_in_an_onnx_file(tmp_path: Path) -> None:
    maps = wall(9, np.array([24.0, 30.0]), np.stack([GREY, RED]))
    assert_same_in_onnx(lambda *maps: answers(maps), maps, tmp_path / "agreeing.onnx", atol=1e-4)
