"""A shipped network on whichever of its grids suits the frames."""

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

FRAME, HD, WIDE = (np.zeros(shape, np.uint8) for shape in ((480, 640), (720, 1280), (375, 1242)))
TWINS = (Twin("small_16x9", (736, 416)), Twin("small_wide", (1280, 384)))


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
    own = Constant("small", 1, (640, 480))
    values, opened = {"small_16x9": 2, "small_wide": 3}, []

    def open_twin(name: str) -> Matcher:
        opened.append(Constant(name, values[name], {twin.name: twin.size for twin in TWINS}[name]))
        return opened[-1]

    matcher = FittedMatcher(own, TWINS, open_twin)
    assert isinstance(matcher, Matcher) and isinstance(matcher, NetworkTimer) and isinstance(matcher, Preparing)
    assert (matcher.spec.name, matcher.spec.width, matcher.spec.height) == ("small", 640, 480)
    assert matcher.spec.others == tuple(twin.size for twin in TWINS)
    assert answer(matcher, FRAME) == 1 and not opened
    assert (matcher.network_ms(2), matcher.engine_key) == ([1, 1], "key of small")
    matcher.prepare((1242, 375))
    assert len(opened) == 1
    assert [answer(matcher, image) for image in (WIDE, FRAME, WIDE)] == [3, 1, 3] and len(opened) == 1
    assert (matcher.network_ms(1), matcher.engine_key) == ([3], "key of small_wide")
    assert [answer(matcher, image) for image in (HD, WIDE, FRAME, HD)] == [2, 3, 1, 2] and len(opened) == 2
    matcher.close()
    assert [each.closed for each in (own, *opened)] == [1, 1, 1]


def test_a_twin_that_does_not_open_is_said_once_and_no_more_are_tried(caplog: pytest.LogCaptureFixture) -> None:
    own = Constant("small", 1, (640, 480))

    def open_twin(name: str) -> Matcher:
        if name == "small_wide":
            raise ModelError("there is no engine of small_wide; build it")
        return Constant(name, 2, TWINS[0].size)

    matcher = FittedMatcher(own, TWINS, open_twin)
    with caplog.at_level(logging.WARNING):
        assert [answer(matcher, image) for image in (WIDE, WIDE, HD, FRAME)] == [1, 1, 1, 1]
    assert caplog.text.count("build it; small takes frames of 1242x375 on the best grid that it has") == 1
    assert matcher.spec.others == () and matcher.spec.grid_for((1242, 375)) == (640, 480)
    matcher.close()
    assert own.closed == 1
    matcher = FittedMatcher(own, TWINS, open_twin)
    assert [answer(matcher, image) for image in (HD, WIDE, FRAME)] == [2, 2, 1], "one that is open stays in use"


@pytest.mark.parametrize(
    ("size", "model", "twin"),
    [
        ((450, 375), "student_s", "student_s_5x4"),
        ((720, 480), "student_s", "student_s_3x2"),
        ((1280, 720), "student_s", "student_s_16x9"),
        ((1242, 375), "student_s", "student_s_wide"),
        ((1280, 720), "student_s_int8", "student_s_int8_16x9"),
    ],
)
def test_the_shipped_network_sees_frames_of_other_shapes_as_its_twin_does(size: tuple[int, int], model: str, twin: str) -> None:
    pair = textured_pair(size, 40)
    with closing(create_matcher(MatchConfig(model=model))) as student:
        assert isinstance(student, FittedMatcher)
        seen, square = student(*pair), student(*textured_pair((640, 480), 40))
    with closing(create_matcher(MatchConfig(model=twin))) as other:
        assert not isinstance(other, FittedMatcher)
        alone = other(*pair)
    np.testing.assert_array_equal(seen.disparity_px, alone.disparity_px)
    np.testing.assert_array_equal(seen.confidence, alone.confidence)
    for found in (seen, square):
        assert abs(np.median(found.disparity_px[20:-20, 80:-20]) - 40) < 0.6


@pytest.mark.parametrize("size", [(1242, 375), (1280, 720)])
def test_torch_takes_the_same_grid_as_onnx(size: tuple[int, int]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pair = textured_pair(size, 40)
    with closing(create_matcher(MatchConfig(backend="torch", device="cpu"))) as ours:
        found = ours(*pair)
    with closing(create_matcher(MatchConfig())) as theirs:
        expected = theirs(*pair)
        assert ours.spec.others == theirs.spec.others
    assert np.abs(found.disparity_px - expected.disparity_px).mean() < 1e-3
