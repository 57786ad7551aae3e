"""What only the left eye sees: found and filled as a plain loop over pixels does it, in torch and in an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from onnx_kit import assert_same_in_onnx  # noqa: E402

from stereo_rt.nets.occlusion import (  # noqa: E402
    AROUND,
    FILLED,
    NEAR_PX,
    STEEPEST,
    SURE,
    TILE,
    UNSURE,
    fill_hidden,
    hidden_pixels,
    running_max,
)

REACH = 64


def hidden_numpy(disparity: np.ndarray) -> np.ndarray:
    """Twin of hidden_pixels: (H, W) bool."""
    seen_at = np.arange(disparity.shape[1]) - disparity
    rest = np.full(len(disparity), np.inf)
    hidden = np.zeros(disparity.shape, bool)
    for x in range(disparity.shape[1] - 1, -1, -1):
        hidden[:, x] = (seen_at[:, x] >= rest) | (seen_at[:, x] < -0.5)
        rest = np.minimum(rest, seen_at[:, x])
    return hidden


def slope_numpy(disparity: np.ndarray, certainty: np.ndarray, y: int, x: int) -> float:
    """Twin of slopes_ahead at one pixel of (H, W) maps."""
    d, c = disparity[TILE // 2 :: TILE, ::TILE], certainty[TILE // 2 :: TILE, ::TILE]
    row, column = y // TILE, x // TILE
    total = weights = 0.0
    for j in range(max(0, row - AROUND[0] // 2), min(len(d), row + AROUND[0] // 2 + 1)):
        for i in range(column + 1, min(d.shape[1], column + 1 + AROUND[1])):
            slope = (d[j, i + 1] - d[j, i]) / TILE if i + 1 < d.shape[1] else 0.0
            if abs(slope) <= STEEPEST:
                weight = 1 / (1 + np.exp(-c[j, i]))
                total, weights = total + weight * slope, weights + weight
    return total / (weights + 1e-3 * AROUND[0] * AROUND[1])


def fill_numpy(disparity: np.ndarray, certainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twin of fill_hidden on (H, W) maps."""
    hidden, filled, claims = hidden_numpy(disparity), disparity.copy(), certainty.copy()
    hole = hidden.copy()
    for y, x in np.ndindex(disparity.shape):
        near = hidden[y, max(0, x - NEAR_PX) : x + NEAR_PX + 1].any()
        hole[y, x] |= near and certainty[y, x] < UNSURE
    for y, x in np.argwhere(hole):
        left, right = (np.flatnonzero(~part) for part in (hole[y, :x], hole[y, x:]))
        source = left[-1] if len(left) else x + right[0] if len(right) else x
        value = disparity[y, source]
        if not len(left):
            value = max(0, value + slope_numpy(disparity, certainty, y, source) * (x - source))
        if value > disparity[y, x] and certainty[y, x] > SURE:
            continue
        claims[y, x] = FILLED[0] * certainty[y, source] + FILLED[1] * certainty[y, x] + FILLED[2]
        filled[y, x] = value
    return filled, claims


def ragged(seed: int, rows: int = 40, width: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Surfaces with steps and slopes, and any certainty."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random((2, 1, rows, width)) < 0.06, rng.normal(0, 12, (2, 1, rows, width)), rng.normal(0, 0.2))
    disparity = np.clip(20 + steps.cumsum(3), 0, REACH - 4).astype(np.float32)
    return torch.from_numpy(disparity), torch.from_numpy(rng.normal(0, 2, disparity.shape).astype(np.float32))


@pytest.mark.parametrize("width", [64, 96, 320])
def test_running_maxima_are_the_cumulative_ones(width: int) -> None:
    values = torch.randn(2, 1, 5, width, generator=torch.Generator().manual_seed(0))
    assert torch.equal(running_max(values, width), values.cummax(3).values)
    assert torch.equal(running_max(values, width, leftwards=True), values.flip(3).cummax(3).values.flip(3))


def test_a_running_maximum_sees_all_within_its_reach() -> None:
    for reach in (8, 21, 64):
        values = torch.zeros(1, 1, 1, 256)
        values[..., 100] = 1.0
        assert running_max(values, reach)[0, 0, 0, 100 : 101 + reach].eq(1).all()
        assert running_max(values, reach, leftwards=True)[0, 0, 0, 100 - reach : 101].eq(1).all()


@pytest.mark.parametrize("seed", range(4))
def test_filling_equals_its_plain_twin(seed: int) -> None:
    disparity, certainty = ragged(seed)
    filled, claims = fill_hidden(disparity, certainty, disparity.shape[3])
    changed = sloped = 0
    for b in range(len(disparity)):
        expected = fill_numpy(disparity[b, 0].numpy(), certainty[b, 0].numpy())
        got, copied = filled[b, 0].numpy(), np.isin(expected[0], disparity[b, 0].numpy())
        np.testing.assert_array_equal(got[copied], expected[0][copied])
        np.testing.assert_allclose(got, expected[0], atol=1e-4)  # slopes, at the left border
        np.testing.assert_allclose(claims[b, 0].numpy(), expected[1], atol=1e-6)
        np.testing.assert_array_equal(
            hidden_pixels(disparity, disparity.shape[3])[b, 0].numpy(), hidden_numpy(disparity[b, 0].numpy())
        )
        changed += int((filled[b] != disparity[b]).sum())
        sloped += int((~copied).sum())
    assert changed > 100 and sloped > 100


def test_behind_a_box_the_background_goes_on() -> None:
    """A box (40 px) before a wall (10 px): the 30 columns left of it are covered in the right image; so are the first 10."""
    truth = torch.full((1, 1, 8, 160), 10.0)
    truth[..., 80:120] = 40.0
    expected = torch.zeros(1, 1, 8, 160, dtype=torch.bool)
    expected[..., 50:80] = expected[..., :10] = True
    assert torch.equal(hidden_pixels(truth, REACH), expected)

    seen = truth.clone()
    seen[..., 50:80] = torch.linspace(10, 38, 30)  # what a network makes of it: a slope
    seen[..., :9] = 3.0
    filled, claims = fill_hidden(seen, torch.zeros_like(seen), REACH)
    assert torch.equal(filled, truth)
    assert claims[..., 60:70].allclose(torch.tensor(FILLED[2]))
    assert claims[..., 90:110].eq(0).all()


def test_at_the_left_border_a_slanted_wall_goes_on() -> None:
    """The right eye's image begins further right; what a network says of the strip that it lacks is of no use."""
    wall = (30 - 0.06 * torch.arange(160.0)).expand(1, 1, 32, 160)
    seen = wall.clone()
    seen[..., :28] = 44.0
    certainty = torch.full_like(wall, 3.0)
    certainty[..., :28] = -3.0
    filled, _ = fill_hidden(seen, certainty, REACH)
    assert torch.allclose(filled, wall, atol=0.1)
    beside_a_box = seen.clone()
    beside_a_box[..., 60:90] = 60.0
    assert torch.allclose(fill_hidden(beside_a_box, certainty, REACH)[0][..., :40], wall[..., :40], atol=0.1)


def test_between_the_bars_of_a_fence_the_wall_stays_where_it_is_sure() -> None:
    """Bars of 4 px (40 px) every 16 px before a wall (10 px): each gap is seen through another one by the right eye, though
    the order says it is covered."""
    fence = torch.full((1, 1, 8, 160), 10.0)
    for x in range(8, 160, 16):
        fence[..., x : x + 4] = 40.0
    certainty = torch.where(fence > 20, 2.0, 1.0)
    inner = slice(64, 128)
    assert hidden_pixels(fence, REACH)[..., inner][fence[..., inner] < 20].all()
    assert torch.equal(fill_hidden(fence, certainty, REACH)[0][..., inner], fence[..., inner])
    unsure = fill_hidden(fence, certainty - 2.5, REACH)[0][..., inner]
    assert (unsure > 20).all()


def test_what_is_plainly_seen_stays() -> None:
    slanted = 20 + 0.3 * torch.arange(160.0).expand(1, 1, 8, 160).flip(3)
    certainty = torch.full_like(slanted, -3.0)
    filled, claims = fill_hidden(slanted, certainty, 96)
    inside = slice(80, None)
    assert torch.equal(filled[..., inside], slanted[..., inside])
    assert torch.equal(claims[..., inside], certainty[..., inside])


def test_a_map_where_nothing_is_seen_stays() -> None:
    beyond = torch.full((1, 1, 8, 64), 200.0)
    assert torch.equal(fill_hidden(beyond, torch.zeros_like(beyond), 64)[0], beyond)


def test_the_same_in_an_onnx_file(tmp_path: Path) -> None:
    maps = tuple(m[:1] for m in ragged(7))
    assert_same_in_onnx(lambda *maps: fill_hidden(*maps, 96), maps, tmp_path / "filling.onnx")
