"""Grid: frames to the network's grid and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.grid import ENLARGED, STEP_PX, WASTEFUL, Grid, content_size, suited

NETWORK = (96, 64)
OTHERS = ((608, 512), (672, 448), (736, 416), (1280, 384))
sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))


def ones(grid: Grid) -> np.ndarray:
    return np.ones(grid.network_size[::-1], np.float32)


@given(sizes, st.tuples(st.integers(16, 400), st.integers(16, 400)))
def test_content_touches_the_grid_and_keeps_the_aspect(frame: tuple[int, int], network: tuple[int, int]) -> None:
    width, height = content_size(frame, network)
    assert 1 <= width <= network[0] and 1 <= height <= network[1]
    if min(width, height) > 1:
        twice = width == ENLARGED * frame[0]
        assert twice or width == network[0] or width >= (network[1] - 1) * frame[0] / frame[1] - 1
        assert width <= ENLARGED * frame[0]
        assert abs(frame[1] * width / frame[0] - height) <= 0.5


@given(st.tuples(st.integers(16, 4000), st.integers(16, 4000)))
def test_the_rig_scales_to_the_content(frame: tuple[int, int]) -> None:
    """What the session does: rectify straight to the network's content, with the geometry of that grid."""
    rig = RectifiedRig(*frame, fx_px=500, cx_px=frame[0] / 2, cy_px=frame[1] / 2, baseline_m=0.1)
    content = content_size(frame, (640, 480))
    assume(min(content) > 1)
    assert rig.scaled(*content).size == content


def test_known_sizes() -> None:
    assert content_size((1280, 720), (640, 480)) == (640, 360)
    assert content_size((480, 640), (640, 480)) == (360, 480)
    assert content_size((320, 240), (640, 480)) == (640, 480)
    assert content_size((160, 120), (640, 480)) == (320, 240)


@pytest.mark.parametrize(
    ("frame", "others", "expected"),
    [
        ((640, 480), OTHERS, (640, 480)),
        ((640, 476), OTHERS, (640, 480)),  # the next one would be filled hardly better
        ((450, 375), OTHERS, (608, 512)),
        ((720, 480), OTHERS, (672, 448)),
        ((1280, 800), OTHERS, (672, 448)),
        ((1280, 720), OTHERS, (736, 416)),
        ((1280, 720), OTHERS[-1:], (640, 480)),
        ((1242, 375), OTHERS, (1280, 384)),
        ((1242, 375), (), (640, 480)),
        ((375, 1242), OTHERS, (608, 512)),  # the highest
        ((160, 48), OTHERS, (640, 480)),  # twice as large it is small on any
        ((300, 90), OTHERS, (640, 480)),  # as large on any, and the wide one would be filled better
    ],
)
def test_frames_go_to_the_grid_that_they_fill_best(
    frame: tuple[int, int], others: tuple[tuple[int, int], ...], expected: tuple[int, int]
) -> None:
    assert suited(frame, (640, 480), others) == expected


@given(sizes, st.permutations(OTHERS))
def test_no_grid_on_which_frames_are_larger_is_filled_much_better_than_the_one_that_is_taken(
    frame: tuple[int, int], others: list
) -> None:
    def filled(grid: tuple[int, int]) -> float:
        width, height = content_size(frame, grid)
        return width * height / (grid[0] * grid[1])

    own, taken = (640, 480), suited(frame, (640, 480), others)
    width = content_size(frame, own)[0]
    assert taken == own or content_size(frame, taken)[0] > width
    assert filled(taken) * WASTEFUL >= max(
        filled(grid) for grid in [own, *others] if content_size(frame, grid)[0] > width or grid == own
    )


def test_equal_sizes_copy_nothing() -> None:
    grid = Grid(NETWORK, NETWORK)
    image, disparity, confidence = np.zeros((64, 96, 3), np.uint8), ones(grid), ones(grid)
    out = grid.leave(disparity, confidence)
    assert grid.enter(image) is image
    assert np.shares_memory(out.disparity_px, disparity) and np.shares_memory(out.confidence, confidence)


@given(sizes, st.sampled_from([(), (3,)]), st.integers(0, 99))
def test_entering_into_a_buffer_equals_entering(frame: tuple[int, int], channels: tuple[int, ...], seed: int) -> None:
    """In place: in a buffer that GPUs read, every byte is written, and none beside it."""
    grid, image = Grid(frame, NETWORK), np.random.default_rng(seed).integers(0, 256, (frame[1], frame[0], *channels), np.uint8)
    around = np.full((3, 64, 96, 3), 7, np.uint8)
    grid.enter_into(image, around[1])
    inside = grid.enter(image)
    np.testing.assert_array_equal(around[1], inside if channels else np.repeat(inside[..., None], 3, axis=2))
    assert (around[[0, 2]] == 7).all()


@given(sizes, st.sampled_from([(), (3,)]))
def test_every_frame_size_fits(frame: tuple[int, int], channels: tuple[int, ...]) -> None:
    grid = Grid(frame, NETWORK)
    image = np.full((frame[1], frame[0], *channels), 77, np.uint8)
    inside = grid.enter(image)
    assert inside.shape == (64, 96, *channels) and inside.dtype == np.uint8
    assert (inside == 77).all()  # padding repeats the picture, never black


@given(sizes, st.floats(0, 90))
def test_a_constant_map_grows_with_the_width(frame: tuple[int, int], value: float) -> None:
    grid = Grid(frame, NETWORK)
    out = grid.leave(ones(grid) * np.float32(value), ones(grid) * np.float32(0.25))
    assert out.disparity_px.shape == out.confidence.shape == frame[::-1]
    np.testing.assert_allclose(out.disparity_px, value * frame[0] / grid.content_size[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out.confidence, 0.25, rtol=1e-6)


@given(st.integers(97, 400), st.floats(-0.5, 0.5))
def test_a_ramp_stays_a_ramp(width: int, slope: float) -> None:
    """A slanted plane is linear on both grids, wherever no border is involved."""
    grid = Grid((width, width * 2 // 3), NETWORK)
    x = np.arange(96, dtype=np.float32)
    out = grid.leave(ones(grid) * (50 + np.float32(slope) * x), ones(grid)).disparity_px
    ratio = width / grid.content_size[0]
    at = (np.arange(width) + 0.5) / ratio - 0.5
    inner = (at > 0) & (at < grid.content_size[0] - 1)
    np.testing.assert_allclose(out[:, inner], np.tile((50 + slope * at[inner]) * ratio, (len(out), 1)), atol=5e-3)


@given(st.integers(100, 400), st.integers(1, 94), st.floats(5, 80))
def test_edges_grow_no_flying_pixels(width: int, edge: int, step: float) -> None:
    """Across a depth step every value belongs to one side, up to STEP_PX of the network's grid."""
    grid = Grid((width, width * 2 // 3), NETWORK)
    disparity = ones(grid) * 10
    disparity[:, edge:] += np.float32(step)
    confidence = ones(grid) * np.float32(0.2)
    confidence[:, edge:] = 0.9
    out = grid.leave(disparity, confidence)
    values = out.disparity_px * grid.content_size[0] / width
    assert np.minimum(np.abs(values - 10), np.abs(values - 10 - step)).max() <= STEP_PX + 1e-3


@pytest.mark.parametrize("frame", [(141, 93), (300, 200), (96, 64), (50, 70), (17, 200), (1, 1), (95, 5)])
def test_leave_equals_its_numpy_twin(frame: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    grid = Grid(frame, NETWORK)
    disparity = rng.uniform(0, 4, (64, 96)).astype(np.float32)
    disparity[20:40, 30:60] += 30
    confidence = rng.random((64, 96)).astype(np.float32)
    fast, plain = grid.leave(disparity, confidence), grid.leave_numpy(disparity, confidence)
    # Where interpolation is within rounding of STEP_PX, the twins may take either branch.
    close = np.isclose(fast.disparity_px, plain.disparity_px, rtol=1e-4, atol=1e-3)
    assert close.mean() > 0.995
    np.testing.assert_allclose(fast.confidence[close], plain.confidence[close], atol=1e-3)
    disparity[rng.random(disparity.shape) < 0.05] = np.nan
    fast, plain = grid.leave(disparity, confidence), grid.leave_numpy(disparity, confidence)
    np.testing.assert_array_equal(np.isnan(fast.disparity_px), np.isnan(plain.disparity_px))


def test_nan_does_not_spread() -> None:
    grid = Grid((192, 128), NETWORK)
    disparity = ones(grid) * 20
    disparity[30, 40] = np.nan
    assert np.isnan(grid.leave(disparity, ones(grid)).disparity_px).sum() == 4


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_round_trip_by_a_whole_factor(factor: int, seed: int) -> None:
    """Up by a whole factor and read at the sample centres: the network's own values come back, times the factor."""
    grid = Grid((96 * factor, 64 * factor), NETWORK)
    disparity = np.random.default_rng(seed).uniform(0, 60, (64, 96)).astype(np.float32)
    out = grid.leave(disparity, ones(grid)).disparity_px
    centre = factor // 2
    error = np.abs(out[centre::factor, centre::factor] / factor - disparity)
    assert error.max() <= (1e-4 if factor % 2 else STEP_PX + 1e-4)
