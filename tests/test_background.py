"""Bare regions settle on sure surfaces around them, as a plain loop over pixels does it, in torch and in an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from onnx_kit import assert_same_in_onnx  # noqa: E402

from stereo_rt.nets.background import AROUND, BARE, CLAIMED, DOUBTED, TILE, settle  # noqa: E402


def settle_numpy(disparity: np.ndarray, certainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twin of settle on (H, W) maps."""
    sure = certainty >= np.float32(DOUBTED)
    height, width = (side // TILE for side in disparity.shape)
    tiles, shares = np.full((height, width), np.inf, np.float32), np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        block = np.s_[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        tiles[y, x], shares[y, x] = disparity[block][sure[block]].min(initial=np.inf), sure[block].mean()
    settled, claims = disparity.copy(), certainty.copy()
    for v, u in np.argwhere(~sure):
        y, x, r = v // TILE, u // TILE, AROUND // 2
        if shares[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].mean() >= BARE:
            continue
        ways = (tiles[y, x::-1], tiles[y, x:], tiles[y::-1, x], tiles[y:, x])
        found = sorted(way[np.isfinite(way)][0] for way in ways if np.isfinite(way).any())
        if found:
            settled[v, u], claims[v, u] = found[min(1, len(found) - 1)], CLAIMED * certainty[v, u]
    return settled, claims


def patchy(seed: int, rows: int = 96, width: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Two maps of any disparities, unsure in patches of many sizes and in single pixels."""
    rng = np.random.default_rng(seed)
    disparity = rng.uniform(0, 150, (2, 1, rows, width)).astype(np.float32)
    certainty = rng.normal(1, 1.5, disparity.shape).astype(np.float32)
    for _ in range(12):
        y, x = rng.integers(rows), rng.integers(width)
        tall, wide = rng.integers(4, 60, 2)
        certainty[rng.integers(2), 0, y : y + tall, x : x + wide] -= rng.uniform(1, 8)
    return torch.from_numpy(disparity), torch.from_numpy(certainty)


@pytest.mark.parametrize("seed", range(4))
def test_settling_equals_its_plain_twin(seed: int) -> None:
    disparity, certainty = patchy(seed)
    settled, claims = settle(disparity, certainty)
    for b in range(len(disparity)):
        expected = settle_numpy(disparity[b, 0].numpy(), certainty[b, 0].numpy())
        np.testing.assert_array_equal(settled[b, 0].numpy(), expected[0])
        np.testing.assert_allclose(claims[b, 0].numpy(), expected[1], atol=1e-6)
    assert (settled != disparity).sum() > 300
    sure = certainty >= DOUBTED
    assert torch.equal(settled[sure], disparity[sure]) and torch.equal(claims[sure], certainty[sure])
    assert torch.isin(settled[settled != disparity], disparity[sure]).all()


def test_a_bare_wall_is_where_its_rims_are_and_not_where_the_thing_before_it_is() -> None:
    """A wall (10 px) of which only a rim is sure, and a thing (40 px) before it."""
    truth = torch.full((1, 1, 96, 160), 10.0)
    truth[..., 40:, 60:100] = 40.0
    certainty = torch.full_like(truth, -1.0)
    certainty[truth > 20] = 3.0
    certainty[..., :6, :] = certainty[..., :6] = certainty[..., -6:] = 3.0
    noise = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) * 80
    seen = torch.where(certainty > 0, truth, noise)
    settled, claims = settle(seen, certainty)
    assert (settled == truth).float().mean() > 0.99 > 0.5 > (seen == truth).float().mean()
    assert torch.equal(settled[..., 16:-16, 16:52], truth[..., 16:-16, 16:52])  # in the corners sure surfaces are too near
    assert claims[..., 20:30, 20:30].allclose(torch.tensor(-CLAIMED)) and claims.max() == 3.0


def test_edges_and_thin_things_stay() -> None:
    """A line of unsure pixels, three wide, between two sure surfaces."""
    disparity = torch.full((1, 1, 64, 64), 10.0)
    certainty = torch.full_like(disparity, 2.0)
    disparity[..., 30:33], certainty[..., 30:33] = 55.0, -2.0
    for got, given in zip(settle(disparity, certainty), (disparity, certainty), strict=True):
        assert torch.equal(got, given)


def test_where_nothing_is_sure_all_stays() -> None:
    disparity, certainty = torch.rand(1, 1, 64, 64) * 90, torch.full((1, 1, 64, 64), -3.0)
    for got, given in zip(settle(disparity, certainty), (disparity, certainty), strict=True):
        assert torch.equal(got, given)


def test_the_same_in_an_onnx_file(tmp_path: Path) -> None:
    maps = tuple(m[:1] for m in patchy(7))
    assert_same_in_onnx(settle, maps, tmp_path / "settling.onnx")
