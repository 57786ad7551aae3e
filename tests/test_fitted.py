"""A shipped network on whichever of its two grids suits the frames."""

from __future__ import annotations

import logging
from contextlib import closing

import numpy as np
import pytest
from test_matchers import textured_pair

from stereo_rt.config import MatchConfig
from stereo_rt.errors import ModelError
from stereo_rt.frames import Disparity
from stereo_rt.matchers import Matcher, create_matcher
from stereo_rt.matchers.base import MatcherSpec, NetworkTimer, Preparing
from stereo_rt.matchers.fitted import FittedMatcher
from stereo_rt.matchers.models import Twin

FRAME, WIDE = np.zeros((480, 640), np.uint8), np.zeros((375, 1242), np.uint8)
TWIN = Twin("small_wide", (1280, 384))


class Constant:
    """Finds the same everywhere, and remembers whether it was closed."""

    def __init__(self, name: str, value: float, size: tuple[int, int]) -> None:
        self.value, self.closed, self.engine_key = value, 0, f"key of {name}"
        self.spec = MatcherSpec(name, "test", *size, max_disparity_px=192, has_confidence=True)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        return Disparity(np.full(left.shape[:2], self.value, np.float32), np.ones(left.shape[:2], np.float32))

    def network_ms(self, repeats: int) -> list[float]:
        return [self.value] * repeats

    def close(self) -> None:
        self.closed += 1


def answer(matcher: Matcher, image: np.ndarray) -> float:
    return float(matcher(image, image).disparity_px[0, 0])


def test_each_frame_goes_to_the_network_of_its_shape() -> None:
    own, opened = Constant("small", 1, (640, 480)), []

    def make_twin() -> Matcher:
        opened.append(Constant("small_wide", 2, TWIN.size))
        return opened[-1]

    matcher = FittedMatcher(own, TWIN, make_twin)
    assert isinstance(matcher, Matcher) and isinstance(matcher, NetworkTimer) and isinstance(matcher, Preparing)
    assert (matcher.spec.name, matcher.spec.width, matcher.spec.height, matcher.spec.wide) == ("small", 640, 480, TWIN.size)
    assert answer(matcher, FRAME) == 1 and not opened
    assert (matcher.network_ms(2), matcher.engine_key) == ([1, 1], "key of small")
    matcher.prepare((1242, 375))
    assert len(opened) == 1
    assert [answer(matcher, image) for image in (WIDE, FRAME, WIDE)] == [2, 1, 2] and len(opened) == 1
    assert (matcher.network_ms(1), matcher.engine_key) == ([2], "key of small_wide")
    matcher.close()
    assert own.closed == opened[0].closed == 1


def test_a_twin_that_does_not_open_is_said_once_and_done_without(caplog: pytest.LogCaptureFixture) -> None:
    own = Constant("small", 1, (640, 480))

    def make_twin() -> Matcher:
        raise ModelError("there is no engine of small_wide; build it")

    matcher = FittedMatcher(own, TWIN, make_twin)
    with caplog.at_level(logging.WARNING):
        assert [answer(matcher, image) for image in (WIDE, WIDE, FRAME)] == [1, 1, 1]
    assert caplog.text.count("build it; small takes the wide frames on its own grid") == 1
    assert matcher.spec.wide is None and matcher.spec.grid_for((1242, 375)) == (640, 480)
    matcher.close()
    assert own.closed == 1


def test_the_shipped_network_sees_wide_frames_as_its_twin_does() -> None:
    pair = textured_pair((1242, 375), 40)
    with closing(create_matcher(MatchConfig(model="student_s"))) as student:
        assert isinstance(student, FittedMatcher)
        seen, square = student(*pair), student(*textured_pair((640, 480), 40))
    with closing(create_matcher(MatchConfig(model="student_s_wide"))) as wide:
        assert not isinstance(wide, FittedMatcher)
        alone = wide(*pair)
    np.testing.assert_array_equal(seen.disparity_px, alone.disparity_px)
    np.testing.assert_array_equal(seen.confidence, alone.confidence)
    for found in (seen, square):
        assert abs(np.median(found.disparity_px[20:-20, 80:-20]) - 40) < 0.6


def test_torch_takes_the_same_grid_as_onnx() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pair = textured_pair((1242, 375), 40)
    with closing(create_matcher(MatchConfig(backend="torch", device="cpu"))) as ours:
        found = ours(*pair)
    with closing(create_matcher(MatchConfig())) as theirs:
        expected = theirs(*pair)
        assert ours.spec.wide == theirs.spec.wide
    assert np.abs(found.disparity_px - expected.disparity_px).mean() < 1e-3
