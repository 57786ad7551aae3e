"""Batches of labelled pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import SIZE, eth3d, scene

torch = pytest.importorskip("torch")

from stereo_rt.datasets import Labelled, Sample, open_dataset  # noqa: E402
from stereo_rt.errors import SourceError  # noqa: E402
from stereo_rt.training.dataset_stream import DatasetStream  # noqa: E402
from stereo_rt.training.sensor import Sensor  # noqa: E402


def item(size: tuple[int, int] = SIZE, seed: int = 0, weight: float | None = None) -> Labelled:
    left, right, left_px, _, hidden = scene(size, seed)
    trust = None if weight is None else np.full(left_px.shape, weight, np.float32)
    return Labelled(f"made/{seed}", lambda: Sample(left, right, left_px, hidden, trust))


def test_a_batch_depends_on_the_step_alone() -> None:
    items = [item(seed=k) for k in range(5)]
    first, second = (DatasetStream(items, (64, 32), batch=3, seed=7) for _ in range(2))
    later = first.batch(11)
    first.batch(0)
    for again in (first.batch(11), second.batch(11)):
        for field in ("left", "right", "disparity_px", "occluded"):
            torch.testing.assert_close(getattr(again, field), getattr(later, field), rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first.batch(12).left, later.left)
    one = [DatasetStream(items[:1], (64, 32), batch=1, seed=seed).batch(0).left for seed in (7, 8)]
    assert not torch.equal(*one)


def test_every_pair_comes_once_an_epoch() -> None:
    seen: list[str] = []

    def noted(k: int) -> Labelled:
        made = item(seed=k)
        return Labelled(made.name, lambda: (seen.append(made.name), made.read())[1])

    stream = DatasetStream([noted(k) for k in range(6)], (32, 32), batch=2)
    for step in range(6):
        stream.batch(step)
    assert sorted(seen[:6]) == sorted(seen[6:]) == sorted({f"made/{k}" for k in range(6)})
    assert seen[:6] != seen[6:]


def test_crops_are_batches_whose_truth_still_holds() -> None:
    """Without a sensor and at any scale, a point that both eyes see looks the same at x and at x - d."""
    smooth = Labelled("smooth", lambda: ramp())
    stream = DatasetStream([smooth], (96, 48), batch=4, sensor=Sensor.none())
    for step in range(3):
        batch = stream.batch(step)
        assert batch.left.shape == batch.right.shape == (4, 3, 48, 96) and batch.left.dtype == torch.float32
        assert batch.disparity_px.shape == batch.occluded.shape == (4, 48, 96) and batch.weight is None
        x = torch.arange(96.0) - batch.disparity_px
        there = (x.nan_to_num(-1) >= 0) & ~batch.occluded
        low = x.nan_to_num(0).clamp(0, 94).floor()
        share = (x.nan_to_num(0) - low)[:, None]
        index = low.long()[:, None].expand(-1, 3, -1, -1)
        seen = torch.lerp(batch.right.gather(3, index), batch.right.gather(3, index + 1), share)
        assert there.float().mean() > 0.3
        error = (seen - batch.left).abs().mean(1)[there]
        assert error.mean() < 0.01
        assert (x[batch.disparity_px.isfinite() & ~batch.occluded] >= -0.5).all()


def ramp() -> Sample:
    """A slanted wall with a smooth pattern, three times as large as the crops."""
    width, height = 288, 144
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    truth_px = (8 + 0.05 * x + 0.02 * y).astype(np.float32)

    def pattern(at: np.ndarray) -> np.ndarray:
        waves = [np.sin(at / 17 + y / 23), np.cos(at / 11 - y / 31), np.sin(at / 29)]
        return np.rint(127 + 100 * np.stack(waves, 2)).astype(np.uint8)

    # The right eye's x + d(x') = x' has the closed solution below, as d is linear.
    seen = (x + 8 + 0.02 * y) / (1 - 0.05)
    truth_px[:10] = np.nan
    return Sample(pattern(x), pattern(seen), truth_px)


def test_labels_keep_their_weight_and_what_is_too_near_is_not_known() -> None:
    batch = DatasetStream([item(weight=0.25), item(seed=1)], (64, 32), batch=2).batch(0)
    assert batch.weight is not None and sorted(batch.weight.flatten(1).mean(1).tolist()) == [0.25, 1.0]
    near = DatasetStream([item()], (64, 32), batch=8, max_disparity_px=10).batch(0)
    known = near.disparity_px[near.disparity_px.isfinite()]
    assert 0 < known.max() <= 10 and near.disparity_px.isnan().any()


def test_a_stream_of_nothing_is_refused_and_damage_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 items"):
        DatasetStream([])
    eth3d(tmp_path)
    stream = DatasetStream(open_dataset(tmp_path), (64, 32), batch=1)
    assert stream.batch(0).left.shape == (1, 3, 32, 64)
    (tmp_path / "two_view_training_gt/terrace_1s/disp0GT.pfm").write_bytes(b"")
    with pytest.raises(SourceError, match="not a PFM"):
        stream.batch(1)
