"""A network as an engine takes it: pixels in, clean maps out, everything between them inside the graph. Needs onnx.

The steps around the network (matchers/tensors.py is their plain twin) become ONNX operations, so that they run on the GPU
inside the engine and its CUDA graph, in every flavour and version of TensorRT, and need no kernels of our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from ..errors import ModelError
from ..matchers.models import Signature, signature
from .precision import to_mixed
from .sidecar import INPUTS, OUTPUTS

INNER = "net/"
"""Prefix of everything that was in the network's own graph, so that no foreign name meets one of ours."""
OLDEST_OPSET = 11
QUANTISED = ("QuantizeLinear", "QLinearConv", "ConvInteger")


def wrapped(model: onnx.ModelProto, precision: str, name: str = "the network") -> onnx.ModelProto:
    """A float32 stereo network (matchers/models.py: Signature) with its input and output steps inside; the model is kept.

    Inputs left, right: (1, H, W, 3) uint8 BGR. Outputs disparity (px, NaN where not finite) and confidence (in [0, 1], 0
    where either is not finite), (1, 1, H, W) float32. precision: 'fp16' for mixed precision (precision.py), or 'fp32'.
    name: the network's, for messages. Raises ModelError.
    """
    if any(node.op_type in QUANTISED for node in model.graph.node):
        raise ModelError(f"{name} computes in 8 bits, for CPUs; build the network that it was made of")
    io = network_signature(model, name)
    if precision == "fp16":
        model = to_mixed(model)
    inner = compose.add_prefix(model, INNER)
    steps = _Steps()
    for eye, tensor in zip(INPUTS, (io.left, io.right), strict=True):
        steps.image(eye, INNER + tensor)
    before = len(steps.nodes)
    steps.maps(INNER + io.disparity, INNER + io.confidence if io.confidence else None, io)
    graph = helper.make_graph(
        [*steps.nodes[:before], *inner.graph.node, *steps.nodes[before:]],
        model.graph.name or "stereo",
        [helper.make_tensor_value_info(eye, TensorProto.UINT8, [1, io.height, io.width, 3]) for eye in INPUTS],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, 1, io.height, io.width]) for out in OUTPUTS],
        [*inner.graph.initializer, *steps.constants],
    )
    result = helper.make_model(graph, opset_imports=inner.opset_import, functions=inner.functions)
    result.ir_version = max(inner.ir_version, 4)  # from 4 on, weights need not be inputs as well
    helper.set_model_props(result, {p.key: p.value for p in model.metadata_props})
    return result


class _Steps:
    """Operations around a network, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def image(self, eye: str, target: str) -> None:
        """matchers/tensors.py: fill_input. (1, H, W, 3) uint8 BGR -> (1, 3, H, W) float32 RGB in [0, 1]."""
        pixels = self._op("Cast", eye, to=TensorProto.FLOAT)
        planes = self._op("Transpose", pixels, perm=[0, 3, 1, 2])
        rgb = self._op("Gather", planes, self._constant(f"{eye}_bgr_to_rgb", np.array([2, 1, 0])), axis=1)
        self._op("Mul", rgb, self._constant(f"{eye}_scale", np.float32(1 / 255)), out=target)

    def maps(self, disparity: str, confidence: str | None, io: Signature) -> None:
        """matchers/tensors.py: clean_outputs, with comparisons that tell NaN and infinity apart from numbers."""
        shape = self._constant("map_shape", np.array([1, 1, io.height, io.width]))
        disparity = self._op("Reshape", disparity, shape)
        finite = self._finite(disparity)
        if confidence is None:  # seen by the right eye: the match is not left of its first column
            columns = self._constant("columns", np.arange(io.width, dtype=np.float32).reshape(1, 1, 1, -1))
            outside = self._op("Greater", disparity, columns)
            clipped = self._op("Cast", self._op("Not", outside), to=TensorProto.FLOAT)
        else:
            confidence = self._op("Reshape", confidence, shape)
            finite = self._op("And", finite, self._finite(confidence))
            clipped = self._op("Max", self._op("Min", confidence, self._number(1)), self._number(0))
        self._op("Where", finite, disparity, self._number(np.nan), out=OUTPUTS[0])
        self._op("Where", finite, clipped, self._number(0), out=OUTPUTS[1])

    def _finite(self, values: str) -> str:
        return self._op("Less", self._op("Abs", values), self._number(np.inf))

    def _number(self, value: float) -> str:
        return self._constant(f"number_{len(self.constants)}", np.full((1, 1, 1, 1), value, np.float32))

    def _constant(self, name: str, value: np.ndarray | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], f"{kind.lower()}_{len(self.nodes)}", **attributes))
        return name


def network_signature(model: onnx.ModelProto, name: str) -> Signature:
    graph = onnx.shape_inference.infer_shapes(model).graph
    weights = {t.name for t in graph.initializer}
    images = [value for value in graph.input if value.name not in weights]
    found = signature(Path(name), [(v.name, _shape(v)) for v in images], [(v.name, _shape(v)) for v in graph.output])
    if other := [v.name for v in images if v.type.tensor_type.elem_type != TensorProto.FLOAT]:
        raise ModelError(f"{name}: its input '{other[0]}' is not float32; export it with float32 inputs and outputs")
    opset = next((o.version for o in model.opset_import if not o.domain), 0)
    if opset < OLDEST_OPSET:
        raise ModelError(f"{name}: its ONNX operations are of opset {opset}; export it with opset {OLDEST_OPSET} or newer")
    return found


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in value.type.tensor_type.shape.dim]
