"""Masks: the edge, range and left-right rules, and speckle removal against plain twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stereo_rt.frames import Disparity
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.post import mirrored
from stereo_rt.post.leftright import consistent
from stereo_rt.post.mask import RELATIVE_STEP, edges, in_range
from stereo_rt.post.speckle import speckles

MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=14),
    elements=st.one_of(st.floats(0, 100, width=32), st.just(np.float32(np.nan)), st.sampled_from([5.0, 6.0, 20.0])),
)


def plain_edges(d: np.ndarray, radius: int, step: float) -> np.ndarray:
    """Pixel by pixel: near (in the larger of |dx|, |dy|) a pixel beside a jump."""
    height, width = d.shape
    beside = np.zeros(d.shape, bool)
    for y in range(height):
        for x in range(width):
            for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if 0 <= v < height and 0 <= u < width:
                    a, b = d[y, x], d[v, u]
                    larger = max(a, b)
                    if min(a, b) < min(larger - np.float32(step), larger * np.float32(1 - RELATIVE_STEP)):
                        beside[y, x] = True
    found = np.zeros(d.shape, bool)
    for y, x in np.argwhere(beside):
        found[max(y - radius + 1, 0) : y + radius, max(x - radius + 1, 0) : x + radius] = True
    return found


@given(MAPS, st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]))
def test_edges_are_those_of_the_plain_twin(d: np.ndarray, radius: int, step: float) -> None:
    assert np.array_equal(edges(d, radius, step), plain_edges(d, radius, step))


def test_an_edge_takes_both_sides_and_zero_radius_none() -> None:
    d = np.full((3, 8), 10, np.float32)
    d[:, 4:] = 20
    assert np.flatnonzero(edges(d, 1, 1.0)[1]).tolist() == [3, 4]
    assert np.flatnonzero(edges(d, 2, 1.0)[1]).tolist() == [2, 3, 4, 5]
    assert not edges(d, 0, 1.0).any()


def test_a_steep_near_surface_is_no_edge() -> None:
    near = np.tile(np.arange(100, 140, 1.5, dtype=np.float32), (4, 1))
    assert not edges(near, 1, 1.0).any()
    assert edges(near - 95, 1, 1.0).any()


@given(
    hnp.arrays(np.float32, (5, 7), elements=st.one_of(st.floats(-20, 200, width=32), st.just(np.float32(np.nan)))),
    st.one_of(st.just(0.0), st.floats(0.01, 5)),
    st.floats(0.1, 50),
    st.floats(-10, 10),
)
def test_range_in_disparity_is_range_in_depth(d: np.ndarray, near: float, span: float, doffs: float) -> None:
    rig = RectifiedRig(7, 5, 500.0, 3.0, 2.0, 0.12, doffs)
    kept = in_range(d, rig, (near, near + span))
    z = rig.depth_m(d).astype(np.float64)
    with np.errstate(invalid="ignore"):
        surely = (z > near * (1 + 1e-4)) & (z < (near + span) * (1 - 1e-4))
        possibly = (z >= near * (1 - 1e-4)) & (z <= (near + span) * (1 + 1e-4))
    assert kept[surely].all()
    assert not kept[~possibly].any()


def test_an_open_range_keeps_all_in_front_of_the_cameras() -> None:
    d = np.array([[-3.0, 0.0, 0.001, 80.0, np.nan]], np.float32)
    rig = RectifiedRig(5, 1, 500.0, 2.0, 0.0, 0.12)
    assert in_range(d, rig, (0.0, float("inf"))).tolist() == [[False, False, True, True, False]]


def test_without_calibration_there_is_no_range_to_leave() -> None:
    d = np.array([[1.0, 80.0, np.nan]], np.float32)
    assert in_range(d, RectifiedRig.uncalibrated(3, 1), (1.0, 2.0)).tolist() == [[True, True, False]]


def plain_consistent(left: np.ndarray, right: np.ndarray, tolerance: float) -> np.ndarray:
    kept = np.zeros(left.shape, bool)
    for y, x in np.ndindex(left.shape):
        if np.isfinite(left[y, x]):
            partner = int(np.rint(np.float32(x) - left[y, x]))
            if 0 <= partner < left.shape[1]:
                kept[y, x] = abs(left[y, x] - right[y, partner]) <= tolerance
    return kept


@given(st.data())
def test_consistency_is_that_of_the_plain_twin(data: st.DataObject) -> None:
    values = st.one_of(st.floats(-3, 9, width=32), st.just(np.float32(np.nan)))
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
    left, right = (data.draw(hnp.arrays(np.float32, shape, elements=values)) for _ in range(2))
    assert np.array_equal(consistent(left, right, 1.0), plain_consistent(left, right, 1.0))


def test_the_occluded_strip_fails_the_check() -> None:
    """A square at 6 px before a background at 2 px hides 4 columns of it from the right eye, on the square's left."""
    left = np.full((3, 40), 2, np.float32)
    left[:, 20:30] = 6
    right = np.full((3, 40), 2, np.float32)
    right[:, 14:24] = 6
    kept = consistent(left, right, 0.5)
    assert np.flatnonzero(~kept[1]).tolist() == [0, 1, 16, 17, 18, 19]


class ShiftMatcher:
    """Finds one disparity for the whole pair, by trying every shift: a real, if simple, left-reference matcher."""

    spec = MatcherSpec("shift", "test", None, None, 16, has_confidence=False)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        width = left.shape[1]
        cost = [np.abs(left[:, d:].astype(int) - right[:, : width - d]).mean() for d in range(16)]
        return Disparity(np.full(left.shape, np.argmin(cost), np.float32), np.ones(left.shape, np.float32))

    def close(self) -> None:
        pass


def test_mirrored_sees_the_same_shift_from_the_right() -> None:
    wide = np.random.default_rng(3).integers(0, 255, (12, 70), np.uint8)
    left, right = wide[:, :60], wide[:, 5:65]  # x_right = x_left - 5
    assert (mirrored(ShiftMatcher(), left, right).disparity_px == 5).all()


def plain_speckles(d: np.ndarray, kept: np.ndarray, size: int, step: float) -> np.ndarray:
    """Flood fill on values rounded to 1/16 px, as the fast one rounds them."""
    fixed = np.where(kept, np.rint(d * 16), 0).astype(int)
    limit = max(round(step * 16), 1)
    seen, found = ~kept, np.zeros(kept.shape, bool)
    for start in map(tuple, np.argwhere(kept)):
        if seen[start]:
            continue
        island, queue = [start], [start]
        seen[start] = True
        while queue:
            y, x = queue.pop()
            for n in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                inside = 0 <= n[0] < d.shape[0] and 0 <= n[1] < d.shape[1]
                if inside and not seen[n] and abs(fixed[n] - fixed[y, x]) <= limit:
                    seen[n] = True
                    island.append(n)
                    queue.append(n)
        if len(island) < size:
            for p in island:
                found[p] = True
    return found


@given(MAPS, st.integers(1, 9))
def test_speckles_are_those_of_the_plain_twin(d: np.ndarray, size: int) -> None:
    kept = np.isfinite(d)
    assert np.array_equal(speckles(d, kept, size, 1.0), plain_speckles(d, kept, size, 1.0))


@pytest.mark.parametrize("large", [100.0, 5000.0])
def test_a_small_island_goes_and_a_large_one_stays(large: float) -> None:
    d = np.full((20, 20), np.nan, np.float32)
    d[2:4, 2:4] = large
    d[8:16, 8:16] = large
    found = speckles(d, np.isfinite(d), 10, 1.0)
    assert found[2:4, 2:4].all()
    assert found.sum() == 4
