"""The monocular prior: its fit to the disparity by properties, what it fills and what it never touches, and its networks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import Keep

from stereo_rt.config import MatchConfig, PostConfig, load
from stereo_rt.errors import ConfigError, ModelError
from stereo_rt.frames import Disparity, StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.mono import MonoNetwork, open_mono
from stereo_rt.mono.base import OfDepth
from stereo_rt.pipeline import Pipeline
from stereo_rt.plan import Plan
from stereo_rt.post import Post
from stereo_rt.post.prior import MIN_ANCHORS, fit, prior_of
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.viewer import remasked

SIZE = (96, 64)


def relief(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) float32 disparities of 5 to 60 px: a few overlapping boxes before a slope."""
    rng = np.random.default_rng(seed)
    width, height = size
    d = np.linspace(5, 20, height, dtype=np.float32)[:, None].repeat(width, 1)
    for _ in range(5):
        x, y = rng.integers(0, width - 8), rng.integers(0, height - 8)
        d[y : y + rng.integers(8, 30), x : x + rng.integers(8, 30)] = rng.uniform(20, 60)
    return d


scales = st.floats(1e-3, 1e3)
shifts = st.floats(-100, 100)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), scales, shifts, st.floats(0, 0.3))
def test_the_fit_finds_scale_and_shift_among_outliers(seed: int, scale: float, shift: float, wrong: float) -> None:
    rng = np.random.default_rng(seed)
    d = relief(seed).ravel()
    mono = (d - shift) / scale
    seen = np.where(rng.random(d.size) < wrong, rng.uniform(0, 192, d.size), d)
    found = fit(mono, seen)
    assert found is not None
    np.testing.assert_allclose(found(mono), d, atol=0.05)
    assert found.scale == pytest.approx(scale, rel=0.01)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), scales, shifts)
def test_the_prior_does_not_depend_on_the_scale_and_shift_of_the_mono_map(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    d = relief(seed) + rng.normal(0, 1, SIZE[::-1]).astype(np.float32)
    mono, known = relief(seed) ** 0.9, rng.random(SIZE[::-1]) < 0.7
    one, other = (prior_of(m, d, known) for m in (mono, scale * mono.astype(np.float64) + shift))
    assert one.values_px is not None and other.values_px is not None
    np.testing.assert_allclose(one.values_px, other.values_px, atol=0.02)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_only_what_stereo_is_not_sure_of_is_replaced_and_always_marked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = relief(seed)
    confidence = rng.random(SIZE[::-1]).astype(np.float32)
    sure = confidence >= 0.5
    d = np.where(sure, truth, rng.uniform(1, 90, SIZE[::-1])).astype(np.float32)
    rig = RectifiedRig(*SIZE, 100.0, 48.0, 32.0, 0.1)
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    post = Post(PostConfig(edge_px=0, fill="mono", mono="any"))
    result = post(Disparity(d, confidence), StereoFrame(image, image, 0, 0), rig, {}, mono=2 * truth - 7)
    assert result.filled is not None and post.note == ""
    np.testing.assert_array_equal(result.filled, ~sure)
    np.testing.assert_array_equal(result.disparity_px[sure], d[sure])
    np.testing.assert_array_equal(result.confidence[sure], confidence[sure])
    assert (result.confidence[~sure] == 0).all()
    np.testing.assert_allclose(result.disparity_px[~sure], truth[~sure], atol=0.05)


def test_changed_thresholds_fill_a_frame_anew_from_the_same_map() -> None:
    truth = relief(3)
    confidence = np.linspace(0, 1, truth.size, dtype=np.float32).reshape(truth.shape)
    d = np.where(confidence >= 0.4, truth, np.float32(1))
    image = np.zeros((*truth.shape, 3), np.uint8)
    first = PostConfig(edge_px=0, min_confidence=0.4, fill="mono", mono="any")
    rig = RectifiedRig(*SIZE, 100.0, 48.0, 32.0, 0.1)
    result = Post(first)(Disparity(d, confidence), StereoFrame(image, image, 0, 0), rig, {}, mono=truth)
    again = remasked(result, first.model_copy(update={"min_confidence": 0.7}))
    assert again.filled is not None
    np.testing.assert_array_equal(again.filled, confidence < np.float32(0.7))
    np.testing.assert_allclose(again.disparity_px, truth, atol=0.05)


def test_a_prior_that_cannot_be_trusted_fills_nothing_and_says_why() -> None:
    d = relief(1)
    few = np.zeros(d.shape, bool)
    few.ravel()[: MIN_ANCHORS - 1] = True
    everywhere = np.ones(d.shape, bool)
    noise = np.random.default_rng(0).normal(size=d.shape)
    for mono, known, why in (
        (d, few, f"sure of {MIN_ANCHORS - 1} pixels"),
        (-d, everywhere, "nearer pixels are not nearer"),
        (np.ones_like(d), everywhere, "nearer pixels are not nearer"),
        (noise + 1e-3 * d, everywhere, "it explains only"),
        (np.full_like(d, np.nan), everywhere, "sure of 0 pixels"),
    ):
        found = prior_of(mono, d, known)
        assert found.values_px is None and why in found.why


# -- in the loop -----------------------------------------------------------------------------------------------------------


class Says:
    """A stand-in for a network that says this map."""

    name = "exact"

    def __init__(self, mono: np.ndarray) -> None:
        self._mono, self.closed, self.threads = mono, False, set()

    def __call__(self, left: np.ndarray) -> np.ndarray:
        assert left.shape == (*self._mono.shape, 3)
        self.threads.add(threading.current_thread().name)
        return self._mono

    def close(self) -> None:
        self.closed = True


class HalfSure:
    """A matcher that knows the truth at the right half of each row, and errs at the left, unsurely."""

    spec = MatcherSpec("half", "test", None, None, 192.0, True)

    def __init__(self, truth_px: np.ndarray, sure: bool = True) -> None:
        self._confidence = np.zeros_like(truth_px)
        self._confidence[:, truth_px.shape[1] // 2 :] = float(sure)
        self._disparity_px = np.where(self._confidence > 0, truth_px, np.float32(1))

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        return Disparity(self._disparity_px.copy(), self._confidence.copy())

    def close(self) -> None:
        pass


@pytest.mark.parametrize("sure", [True, False])
def test_the_loop_fills_from_the_network_or_says_why_not(sure: bool, caplog: pytest.LogCaptureFixture) -> None:
    camera = SyntheticCamera(size=(160, 120), frames=2, cycle=1)
    truth = camera.ground_truth(0).disparity_px
    rig = camera.calibration
    assert isinstance(rig, RectifiedRig)
    network, kept = Says(0.01 * truth + 3), Keep()  # the true inverse depth, but for scale and shift
    post = PostConfig(edge_px=0, fill="mono", mono="exact")
    pipeline = Pipeline(
        camera,
        lambda: HalfSure(truth, sure),
        lambda size, spec: Plan(rig),
        post=post,
        sinks=[kept],
        lossless=True,
        make_mono=lambda: network,
    )
    pipeline.run()
    assert len(kept.results) == 2 and network.closed and network.threads == {"stereo_rt post"}
    first = kept.results[0]
    assert first.filled is not None and {"match", "mono", "post"} <= first.stage_ms.keys()
    if sure:
        assert first.filled[:, :80].all() and not first.filled[:, 80:].any()
        np.testing.assert_allclose(first.disparity_px[:, :80], truth[:, :80], atol=0.1)
        assert pipeline.status().warnings == ()
    else:
        assert not first.filled.any()
        why = "the mono prior fills nothing: stereo is sure of 0 pixels, and it takes 100"
        assert pipeline.status().warnings == (why,) and caplog.messages == [why], "said once, and shown on"


# -- networks --------------------------------------------------------------------------------------------------------------


def mono_file(path: Path, shape: tuple = (1, 3, 16, 24), out: tuple = (1, 16, 24), ours: bool = False) -> Path:
    """A network that gives its image's red plane. Skips the test where onnx is not installed."""
    onnx = pytest.importorskip("onnx")
    helper, of_type = onnx.helper, onnx.TensorProto.FLOAT
    red = onnx.numpy_helper.from_array(np.array(0), "red")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["image", "red"], ["depth"], axis=1)],
        "g",
        [helper.make_tensor_value_info("image", of_type, shape)],
        [helper.make_tensor_value_info("depth", of_type, out)],
        [red],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if ours:
        helper.set_model_props(model, {"normalisation": "rgb_0_1"})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("ours", [False, True])
def test_any_file_of_one_image_and_one_map_is_a_network(ours: bool, tmp_path: Path) -> None:
    network = open_mono(str(mono_file(tmp_path / "red.onnx", ours=ours)), MatchConfig(device="cpu"))
    assert isinstance(network, MonoNetwork) and network.name == "red"
    image = np.zeros((40, 48, 3), np.uint8)
    image[..., 2] = np.arange(48) * 5
    seen = network(image)
    assert seen.shape == (40, 48) and seen.dtype == np.float32
    expected = image[..., 2] / 255
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(seen[inside], (expected if ours else (expected - 0.485) / 0.229)[inside], atol=0.03)
    network.close()


def test_a_network_that_says_depth(tmp_path: Path) -> None:
    file = str(mono_file(tmp_path / "red.onnx", ours=True))
    cpu = MatchConfig(device="cpu")
    network = open_mono(file, cpu, says="depth")
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :, 2] = np.arange(24) * 10
    with np.errstate(all="raise"):
        seen = network(image)
    assert isinstance(network, MonoNetwork) and network.name == "red"
    np.testing.assert_allclose(seen[:8, 1:], np.broadcast_to(255 / (np.arange(1, 24) * 10), (8, 23)), rtol=1e-5)
    assert np.isnan(seen[8:]).all() and np.isnan(seen[:, 0]).all(), "depth 0 is none"
    network.close()


def test_depth_in_the_place_of_its_inverse_is_refused_with_the_setting_to_change() -> None:
    truth, everywhere = relief(2), np.ones(SIZE[::-1], bool)
    found = prior_of(7 / truth, truth, everywhere)
    assert found.values_px is None and found.why.endswith("--set post.mono_says=depth")
    values_px = prior_of(OfDepth(Says(7 / truth))(np.zeros((*truth.shape, 3), np.uint8)), truth, everywhere).values_px
    assert values_px is not None
    np.testing.assert_allclose(values_px, truth, rtol=1e-3)


def test_what_is_no_monocular_network_is_one_sentence(tmp_path: Path) -> None:
    cpu = MatchConfig(device="cpu")
    with pytest.raises(ModelError, match="is not a monocular network, which takes one image"):
        open_mono("student_s", cpu)
    with pytest.raises(ModelError, match="its input size is not fixed"):
        open_mono(str(mono_file(tmp_path / "any.onnx", (1, 3, "h", "w"), (1, "h", "w"))), cpu)
    with pytest.raises(ModelError, match="not one map of 24x16"):
        open_mono(str(mono_file(tmp_path / "small.onnx", (1, 3, 16, 24), (1, 4, 16, 24))), cpu)
    with pytest.raises(ModelError, match="there is no network named 'mono_unt'"):
        open_mono("mono_unt", cpu)


def test_filling_from_a_network_asks_for_its_name_and_old_settings_stay() -> None:
    with pytest.raises(ConfigError, match="fill: mono needs a monocular network"):
        load(None, ["post.fill=mono"])
    assert load(None, ["post.fill=true"]).post.fill == "rows"
    assert load(None, ["post.fill=false"]).post.fill == "none"
    assert load(None, ["post.fill=mono", "post.mono=net.onnx"]).post.mono == "net.onnx"
