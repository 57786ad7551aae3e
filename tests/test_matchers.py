"""Every matcher on real and made pairs: ONNX Runtime, torch and SGBM behind one protocol."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stereo_rt.config import MatchConfig, SgbmConfig
from stereo_rt.errors import MissingExtra, ModelError
from stereo_rt.frames import Disparity
from stereo_rt.matchers import Matcher, create_matcher, onnx, sgbm
from stereo_rt.matchers.cores import usable_cores
from stereo_rt.matchers.tensors import clean_outputs, fill_input, fill_input_numpy


def textured_pair(size: tuple[int, int], shift_px: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A flat textured surface at one disparity: (H, W, 3) uint8 left and right."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[1] // 4 + 1, (size[0] + shift_px) // 4 + 1, 3), np.uint8)
    wide = cv2.resize(coarse, (size[0] + shift_px, size[1]), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, : size[0]]), np.ascontiguousarray(wide[:, shift_px:])


@pytest.fixture(scope="module")
def student() -> Iterator[Matcher]:
    matcher = create_matcher(MatchConfig())
    yield matcher
    matcher.close()


@pytest.fixture(scope="module")
def semi_global() -> Iterator[Matcher]:
    matcher = create_matcher(MatchConfig(backend="sgbm"))
    yield matcher
    matcher.close()


def check_map(out: Disparity, image: np.ndarray) -> None:
    assert out.disparity_px.shape == out.confidence.shape == image.shape[:2]
    assert out.disparity_px.dtype == out.confidence.dtype == np.float32
    assert np.isfinite(out.confidence).all() and out.confidence.min() >= 0 and out.confidence.max() <= 1
    assert not np.isinf(out.disparity_px).any()
    assert (out.confidence[np.isnan(out.disparity_px)] == 0).all()


@pytest.mark.parametrize("name", ["student", "semi_global"])
@pytest.mark.parametrize(("size", "shift_px"), [((640, 480), 24), ((1280, 720), 40), ((320, 240), 11), ((360, 640), 14)])
def test_a_known_shift_is_found(name: str, size: tuple[int, int], shift_px: int, request: pytest.FixtureRequest) -> None:
    """In the pixels of the images that were given, whatever grid the network has."""
    matcher = request.getfixturevalue(name)
    left, right = textured_pair(size, shift_px)
    out = matcher(left, right)
    check_map(out, left)
    assert isinstance(matcher, Matcher)
    inner = out.disparity_px[20:-20, 2 * shift_px : -20]
    assert abs(np.nanmedian(inner) - shift_px) < 0.6
    assert np.median(out.confidence[20:-20, 2 * shift_px : -20]) > 0.5


@settings(max_examples=12)
@example(size=(2, 9), grey=False)  # rows in which the eyes agree nowhere, but not by far
@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), grey=st.booleans())
def test_sgbm_takes_any_size(semi_global: Matcher, size: tuple[int, int], grey: bool) -> None:
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0]) if grey else (size[1], size[0], 3), np.uint8)
    check_map(semi_global(image, image), image)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300, 3), (300, 5), (33, 17, 3), (481, 641, 3)])
def test_the_student_takes_any_size(student: Matcher, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    check_map(student(image, image), image)


def test_results_are_the_callers_own(student: Matcher) -> None:
    """A result that waits in a channel does not change when the next frame is matched."""
    first = student(*textured_pair((640, 480), 24))
    kept = first.disparity_px.copy()
    student(*textured_pair((640, 480), 60, seed=1))
    np.testing.assert_array_equal(first.disparity_px, kept)


def test_torch_equals_onnx(student: Matcher) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    matcher = create_matcher(MatchConfig(backend="torch", device="cpu"))
    pair = textured_pair((640, 480), 30)
    ours, theirs = matcher(*pair), student(*pair)
    assert np.abs(ours.disparity_px - theirs.disparity_px).mean() < 1e-3
    assert np.abs(ours.confidence - theirs.confidence).max() < 1e-2
    assert matcher.spec.sha256 == student.spec.sha256 and matcher.spec.width == student.spec.width
    matcher.close()


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64)])
def test_fill_input_equals_its_numpy_twin(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    fast, plain = (np.full((1, 3, 48, 64), np.nan, np.float32) for _ in range(2))
    fill_input(image, fast)
    fill_input_numpy(image, plain)
    np.testing.assert_allclose(fast, plain, atol=1e-7)
    if image.ndim == 3:
        np.testing.assert_allclose(fast[0, 0], image[..., 2] / 255, atol=1e-6)  # red first


def test_agreement_equals_its_numpy_twin() -> None:
    rng = np.random.default_rng(3)
    left = rng.uniform(0, 30, (60, 80)).astype(np.float32)
    right = np.roll(left, -10, axis=1) + rng.normal(0, 0.3, left.shape).astype(np.float32)
    left[rng.random(left.shape) < 0.1] = -1
    right[rng.random(left.shape) < 0.1] = -1
    fast, plain = sgbm.agreement(left, right), sgbm.agreement_numpy(left, right)
    ties = np.abs((left % 1) - 0.5) < 0.05  # cv2.remap rounds positions to 1/32 px
    np.testing.assert_allclose(fast[~ties], plain[~ties], atol=1e-4)
    assert 0.001 < (fast > 0).mean() < 0.9


def test_outputs_are_made_honest() -> None:
    disparity = np.array([[0, 0.5, 5, np.inf, np.nan]], np.float32)
    d, c = clean_outputs(disparity.copy(), np.array([[0.5, 1.5, -1, 0.9, 0.9]], np.float32))
    np.testing.assert_array_equal(d, np.array([[0, 0.5, 5, np.nan, np.nan]], np.float32))
    np.testing.assert_array_equal(c, np.array([[0.5, 1, 0, 0, 0]], np.float32))
    d, c = clean_outputs(disparity.copy(), None)  # a network without confidence: can the match have been seen at all?
    np.testing.assert_array_equal(c, np.array([[1, 1, 0, 0, 0]], np.float32))


@pytest.mark.parametrize("backend", ["auto", "sgbm"])
def test_confidence_ranks_errors_on_real_pairs(backend: str, shared_data: Path) -> None:
    """Where the confident half is, errors are several times rarer."""
    scene = shared_data / "middlebury2003" / "Cones"
    left, right = (cv2.imread(str(scene / f"{eye}.png")) for eye in ("left", "right"))
    truth = cv2.imread(str(scene / "disp.png"), cv2.IMREAD_UNCHANGED).astype(np.float32) / 4
    matcher = create_matcher(MatchConfig.model_validate({"backend": backend}))
    out = matcher(left, right)
    matcher.close()
    known = truth > 0
    bad = np.abs(out.disparity_px - truth)[known] > 2
    sure = out.confidence[known] >= np.median(out.confidence[known])
    assert bad.mean() < 0.2
    assert bad[sure].mean() < 0.25 * bad.mean()


def test_sgbm_modes_and_reach() -> None:
    left, right = textured_pair((300, 120), 40)
    for mode in ("3way", "5path", "8path"):
        matcher = create_matcher(MatchConfig(backend="sgbm", sgbm=SgbmConfig.model_validate({"mode": mode})))
        assert abs(np.nanmedian(matcher(left, right).disparity_px[:, 60:]) - 40) < 0.5
        matcher.close()
    short = create_matcher(MatchConfig(backend="sgbm", sgbm=SgbmConfig(max_disparity_px=32)))
    assert np.nanmax(short(left, right).disparity_px) < 32 == short.spec.max_disparity_px
    short.close()


def test_a_file_that_is_no_network_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "junk.onnx"
    for content in (b"", b"not a network", np.random.default_rng(0).bytes(500)):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"junk\.onnx") as e:
            create_matcher(MatchConfig(model=str(file)))
        assert "\n" not in str(e.value)


def foreign_network(file: Path, inputs: tuple[str, str], output: str, grid: tuple[int, int] = (64, 32)) -> None:
    """Somebody else's ONNX file: 'disparity' is a tenth of the first image's mean over colours, no confidence, no metadata."""
    onnx_ = pytest.importorskip("onnx")
    helper, kind = onnx_.helper, onnx_.TensorProto.FLOAT
    width, height = grid
    images = [helper.make_tensor_value_info(name, kind, (1, 3, height, width)) for name in inputs]
    maps = [helper.make_tensor_value_info(output, kind, (1, height, width))]
    nodes = [
        helper.make_node("ReduceMean", [inputs[0]], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "ten"], [output]),
    ]
    ten = helper.make_tensor("ten", kind, (), [10.0])
    model = helper.make_model(
        helper.make_graph(nodes, "g", images, maps, [ten]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx_.save(model, file)


@pytest.mark.parametrize(("inputs", "value_px"), [(("left", "right"), 2.0), (("right", "left"), 4.0), (("a", "b"), 2.0)])
def test_somebody_elses_network_runs(inputs: tuple[str, str], value_px: float, tmp_path: Path) -> None:
    """Named inputs get the right eye, wherever they stand; values scale with the width; confidence is said to be missing."""
    file = tmp_path / "theirs.onnx"
    foreign_network(file, inputs, "out")
    matcher = create_matcher(MatchConfig(model=str(file)))
    assert (matcher.spec.width, matcher.spec.height, matcher.spec.has_confidence) == (64, 32, False)
    left, right = np.full((64, 128, 3), 51, np.uint8), np.full((64, 128, 3), 102, np.uint8)  # 0.2 and 0.4
    out = matcher(left, right)
    matcher.close()
    np.testing.assert_allclose(out.disparity_px, 2 * value_px, rtol=1e-5)
    assert (out.confidence[:, :2] == 0).all() and (out.confidence[:, 12:] == 1).all()


def test_backends_and_devices_that_are_not_there_are_one_sentence() -> None:
    with pytest.raises(ModelError, match="tensorrt backend"):
        create_matcher(MatchConfig(backend="tensorrt"))
    with pytest.raises(ModelError, match="device 'warp' is not known"):
        create_matcher(MatchConfig(device="warp"))


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_torch_without_its_extra_is_one_sentence(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what `import` sees of a package that is not installed
    with pytest.raises(MissingExtra, match=r"pip install 'stereo_rt\[train\]'"):
        create_matcher(MatchConfig(backend="torch"))


def test_providers_follow_the_device() -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx.providers("auto", both[1:]) == ["CPUExecutionProvider"]
    assert onnx.providers("cpu", both) == ["CPUExecutionProvider"]
    assert onnx.providers("auto", both)[0] == ("CUDAExecutionProvider", {"device_id": "0"})
    assert onnx.providers("cuda:1", both)[0] == ("CUDAExecutionProvider", {"device_id": "1"})
    with pytest.raises(ModelError, match="onnxruntime-gpu"):
        onnx.providers("cuda", both[1:])


def test_threads_respect_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= usable_cores() <= len(allowed)
