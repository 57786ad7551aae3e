"""The graph that engines are made of: its answers are those of the plain path around the network's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from networks import GRID, NAMES, network  # noqa: E402
from onnx import TensorProto  # noqa: E402

from stereo_rt.engine import parity  # noqa: E402
from stereo_rt.engine.wrapped import wrapped  # noqa: E402
from stereo_rt.errors import ModelError  # noqa: E402
from stereo_rt.matchers.models import find_model  # noqa: E402
from stereo_rt.matchers.tensors import clean_outputs, fill_input  # noqa: E402
from stereo_rt.sources.synthetic import SyntheticCamera  # noqa: E402


def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Noise in which the left image's G, and with it R too, is 0 here and there."""
    left, right = np.random.default_rng(0).integers(0, 256, (2, GRID[1], GRID[0], 3), np.uint8)
    left[:4, :, 1] = 0
    left[:2, :, 2] = 0
    return left, right


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def answers(model: onnx.ModelProto, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Disparity and confidence, (H, W) each, of a wrapped model."""
    found = session(model).run(["disparity", "confidence"], {"left": left[None], "right": right[None]})
    assert {m.shape for m in found} == {(1, 1, *left.shape[:2])} and {m.dtype for m in found} == {np.dtype(np.float32)}
    return found[0][0, 0], found[1][0, 0]


def plain(
    model: onnx.ModelProto, names: tuple[str, str, str, str | None], *images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same by NumPy around the network itself."""
    tensors = [np.empty((1, 3, *image.shape[:2]), np.float32) for image in images]
    for image, tensor in zip(images, tensors, strict=True):
        fill_input(image, tensor)
    found = session(model).run([n for n in names[2:] if n], dict(zip(names[:2], tensors, strict=True)))
    maps = [m.reshape(images[0].shape[:2]) for m in found]
    return clean_outputs(maps[0], maps[1] if len(maps) > 1 else None)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize(
    ("names", "shape", "opset", "swap"),
    [
        (NAMES, (1, 1, 16, 24), 17, False),
        (("left", "right", "disp", None), (16, 24), 11, False),
        (("net/left", "map_shape", "left", "right_conf"), (1, 16, 24), 13, False),  # names that are ours inside
        (("the_left", "the_right", "disparity", None), (1, 1, 16, 24), 17, True),  # the right image comes first
    ],
)
def test_any_network_answers_as_the_plain_path(
    names: tuple[str, str, str, str | None], shape: tuple[int, ...], opset: int, swap: bool, precision: str
) -> None:
    model, images = network(names, shape, opset, swap), pixels()
    before = model.SerializeToString()
    made = wrapped(model, precision)
    onnx.checker.check_model(made, full_check=True)
    disparity, confidence = answers(made, *images)
    plain_disparity, plain_confidence = plain(model, names, *images)
    assert 20 < np.isnan(disparity).sum() < 200 and np.ptp(confidence) == 1, "all cases are met"
    np.testing.assert_allclose(disparity, plain_disparity, atol=1e-5)
    np.testing.assert_allclose(confidence, plain_confidence, atol=1e-5)
    assert model.SerializeToString() == before


@pytest.fixture(scope="module")
def shipped() -> tuple[onnx.ModelProto, Path]:
    path = find_model("student_s").path
    return onnx.load(path), path


def test_the_shipped_network_in_single_precision_is_the_same(shipped: tuple[onnx.ModelProto, Path]) -> None:
    frame = SyntheticCamera(size=(640, 480)).frame(0)
    found = answers(wrapped(shipped[0], "fp32"), frame.left, frame.right)
    for ours, theirs, limit in zip(found, plain(shipped[0], NAMES, frame.left, frame.right), (1e-3, 1e-5), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=limit)


def test_the_shipped_network_in_half_precision_keeps_its_accuracy(shipped: tuple[onnx.ModelProto, Path]) -> None:
    runs = session(wrapped(shipped[0], "fp16"))

    def estimate(left: np.ndarray, right: np.ndarray) -> parity.Images:
        bgr = {
            n: np.rint(t * 255).astype(np.uint8)[:, ::-1].transpose(0, 2, 3, 1) for n, t in (("left", left), ("right", right))
        }
        disparity, confidence = runs.run(["disparity", "confidence"], bgr)
        return disparity[0, 0], confidence[0, 0]

    assert parity.compare(parity.onnx_estimator(shipped[1]), estimate, parity.true_pairs((640, 480))[1:2]).holds


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_tensorrt_takes_every_operation(shipped: tuple[onnx.ModelProto, Path], precision: str) -> None:
    """Parsed strongly typed by the real parser; each foreign shape as well."""
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    for model in (shipped[0], network(), network(("a", "b", "c", None), (16, 24), 11)):
        builder = trt.Builder(logger)
        net = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(net, logger)
        parser.parse(wrapped(model, precision).SerializeToString())
        assert [parser.get_error(n).desc() for n in range(parser.num_errors)] == []
        assert {net.get_input(n).dtype for n in range(2)} == {trt.uint8}
        assert {net.get_output(n).dtype for n in range(2)} == {trt.float32}


def test_a_network_that_cannot_be_wrapped_is_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"^mine: its ONNX operations are of opset 10; export it with opset 11"):
        wrapped(network(opset=10), "fp16", "mine")
    half = network()
    half.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(ModelError, match="input 'left' is not float32"):
        wrapped(half, "fp32")
    moving = network()
    moving.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    moving.graph.input[1].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(ModelError, match="input size is not fixed"):
        wrapped(moving, "fp32")
