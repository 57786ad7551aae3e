"""Post-processing as a whole: smoothing over time, hole filling, what the result carries, and point clouds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stereo_rt.config import PostConfig
from stereo_rt.frames import DepthResult, Disparity, StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.holes import fill_rows
from stereo_rt.post import Post
from stereo_rt.post.cloud import cloud_of

SHAPE = (6, 9)
RIG = RectifiedRig(SHAPE[1], SHAPE[0], 100.0, 4.0, 2.5, 0.1)
PLAIN = PostConfig(edge_px=0)


def frame_at(index: int, stamp_ms: float, shape: tuple[int, int] = SHAPE) -> StereoFrame:
    image = np.full((*shape, 3), index % 256, np.uint8)
    return StereoFrame(image, image, index, round(stamp_ms * 1e6), skew_ns=7, arrived_ns=9)


def run(post: Post, values: np.ndarray | float, index: int = 0, stamp_ms: float = 0.0, confidence: float = 1.0) -> DepthResult:
    d = np.broadcast_to(np.float32(values), SHAPE).copy()
    return post(Disparity(d, np.full(SHAPE, confidence, np.float32)), frame_at(index, stamp_ms), RIG, {"match": 1.0})


def test_the_result_carries_the_frame_and_leaves_disparity_unmasked() -> None:
    d = np.full(SHAPE, 5, np.float32)
    d[0, 0] = np.nan
    confidence = np.full(SHAPE, 0.4, np.float32)
    confidence[:3] = 0.5
    frame = frame_at(3, 10)
    result = Post(PLAIN)(Disparity(d, confidence), frame, RIG, {"match": 2.0})
    assert np.array_equal(result.disparity_px, d, equal_nan=True)
    assert result.mask[:3].sum() == 3 * SHAPE[1] - 1
    assert not result.mask[3:].any()
    assert np.isnan(result.depth_m[3:]).all()
    assert result.depth_m[1, 1] == pytest.approx(100 * 0.1 / 5)
    assert (result.index, result.stamp_ns, result.skew_ns, result.arrived_ns) == (3, 10_000_000, 7, 9)
    assert result.left is frame.left
    assert result.stage_ms["match"] == 2.0
    assert result.filled is None


def test_thresholds_change_while_it_runs() -> None:
    post = Post(PLAIN)
    assert run(post, 5, confidence=0.6).mask.all()
    post.config = PLAIN.model_copy(update={"min_confidence": 0.7})
    assert not run(post, 5, confidence=0.6).mask.any()
    post.config = PLAIN.model_copy(update={"range_m": (0.0, 1.0)})
    assert not run(post, 5).mask.any()


def test_each_check_is_used_only_when_asked() -> None:
    step = np.full(SHAPE, 5, np.float32)
    step[:, 4:] = 9
    assert run(Post(PLAIN), step).mask.all()
    assert run(Post(PostConfig(edge_px=1)), step).mask.sum() == SHAPE[0] * (SHAPE[1] - 2)
    island = np.full(SHAPE, 5, np.float32)
    island[2, 2] = 50
    assert not run(Post(PostConfig(edge_px=0, speckle_px=4)), island).mask[2, 2]
    other = Disparity(np.full(SHAPE, 3, np.float32), np.ones(SHAPE, np.float32))
    one = Disparity(np.full(SHAPE, 1, np.float32), np.ones(SHAPE, np.float32))
    asked = Post(PostConfig(edge_px=0, left_right=True))
    assert not asked(one, frame_at(0, 0), RIG, {}, right=other).mask.any()
    assert asked(one, frame_at(0, 0), RIG, {}, right=one).mask[:, 1:].all()
    assert Post(PLAIN)(one, frame_at(0, 0), RIG, {}, right=other).mask.all()


SMOOTH = PLAIN.model_copy(update={"temporal": 0.75, "temporal_step_px": 1.0, "temporal_gap_ms": 100.0})


def test_smoothing_is_an_exponential_mean() -> None:
    post = Post(SMOOTH)
    assert run(post, 5.0, 0, 0).disparity_px[0, 0] == 5
    assert run(post, 5.8, 1, 33).disparity_px[0, 0] == pytest.approx(0.75 * 5 + 0.25 * 5.8)
    assert run(post, 5.2, 2, 66).disparity_px[0, 0] == pytest.approx(0.75 * 5.2 + 0.25 * 5.2)


@pytest.mark.parametrize(
    ("index", "stamp_ms", "why"), [(1, 150, "gap"), (0, 33, "same frame again"), (1, -5, "time runs backwards")]
)
def test_smoothing_starts_anew(index: int, stamp_ms: float, why: str) -> None:
    post = Post(SMOOTH)
    run(post, 5.0, 0, 0)
    assert run(post, 5.5, index, stamp_ms).disparity_px[0, 0] == 5.5, why


def test_smoothing_lets_go_where_the_scene_moved_and_invents_nothing() -> None:
    post = Post(SMOOTH)
    first = np.full(SHAPE, 5, np.float32)
    first[0, 0] = np.nan
    run(post, first, 0, 0)
    second = np.full(SHAPE, 5.4, np.float32)
    second[1, 1] = 9
    second[2, 2] = np.nan
    smooth = run(post, second, 1, 33).disparity_px
    assert smooth[0, 0] == np.float32(5.4)
    assert smooth[1, 1] == 9
    assert np.isnan(smooth[2, 2])
    assert smooth[3, 3] == pytest.approx(5.1)


def test_a_change_of_size_or_reset_forgets() -> None:
    post = Post(SMOOTH)
    run(post, 5.0, 0, 0)
    d = np.full((4, 4), 5.5, np.float32)
    small = post(Disparity(d, np.ones_like(d)), frame_at(1, 10, (4, 4)), RectifiedRig(4, 4, 100.0, 2.0, 2.0, 0.1), {})
    assert (small.disparity_px == 5.5).all()
    run(post, 5.0, 2, 20)
    post.reset()
    assert (run(post, 5.5, 3, 30).disparity_px == 5.5).all()


def plain_fill(d: np.ndarray, known: np.ndarray) -> np.ndarray:
    filled = np.full(d.shape, np.nan, np.float32)
    for y, x in np.ndindex(d.shape):
        if known[y, x]:
            filled[y, x] = d[y, x]
            continue
        left = [d[y, u] for u in range(x) if known[y, u]][-1:]
        right = [d[y, u] for u in range(x, d.shape[1]) if known[y, u]][:1]
        if left or right:
            filled[y, x] = min(left + right)
    return filled


@given(st.data())
def test_fill_is_that_of_the_plain_twin(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))
    d = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 99, width=32)))
    known = data.draw(hnp.arrays(bool, shape))
    assert np.array_equal(fill_rows(d, known), plain_fill(d, known), equal_nan=True)


def test_holes_take_the_background_and_say_so() -> None:
    d = np.full(SHAPE, 4, np.float32)
    d[:, 5:] = 8
    confidence = np.ones(SHAPE, np.float32)
    confidence[2, 3:6] = 0.1
    d[3] = np.nan
    result = Post(PostConfig(edge_px=0, fill=True))(Disparity(d, confidence), frame_at(0, 0), RIG, {})
    assert result.filled is not None
    assert np.argwhere(result.filled).tolist() == [[2, 3], [2, 4], [2, 5]]
    assert (result.disparity_px[2, 3:6] == 4).all()
    assert result.mask[2].all()
    assert np.isnan(result.disparity_px[3]).all()
    assert not result.mask[3].any()


def test_filling_does_not_cover_what_is_known_to_be_out_of_range() -> None:
    d = np.full(SHAPE, 5, np.float32)  # 2 m
    d[:, 4] = 1  # 10 m, seen with confidence
    result = Post(PostConfig(edge_px=0, fill=True, range_m=(0.5, 4.0)))(
        Disparity(d, np.ones(SHAPE, np.float32)), frame_at(0, 0), RIG, {}
    )
    assert not result.mask[:, 4].any()
    assert (result.disparity_px[:, 4] == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_cloud_holds_the_valid_pixels_in_their_colours(channels: int) -> None:
    left = np.zeros(SHAPE, np.uint8) if channels == 1 else np.zeros((*SHAPE, 3), np.uint8)
    left[1, 2] = 9 if channels == 1 else (1, 2, 3)
    mask = np.zeros(SHAPE, bool)
    mask[1, 2] = mask[0, 0] = True
    d = np.full(SHAPE, 5, np.float32)
    d[0, 0] = np.nan
    cloud = cloud_of(DepthResult(d, np.ones(SHAPE, np.float32), mask, RIG, left, 0, 0))
    np.testing.assert_allclose(cloud.points_m, [[(2 - 4.0) * 2 / 100, (1 - 2.5) * 2 / 100, 2.0]], rtol=1e-6)
    assert cloud.colors_rgb.tolist() == ([[9, 9, 9]] if channels == 1 else [[3, 2, 1]])
