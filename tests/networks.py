"""Small made-up stereo networks, as ONNX graphs whose answers are known."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GRID = (24, 16)
NAMES = ("left", "right", "disparity", "confidence")


def network(
    names: tuple[str, str, str, str | None] = NAMES,
    shape: tuple[int, ...] = (1, 1, 16, 24),
    opset: int = 17,
    swap: bool = False,
) -> onnx.ModelProto:
    """Disparity 20 R / G of the left image: infinite and NaN where G = 0. Confidence 4 B of the right image - 1."""
    left, right, disparity, confidence = names
    channel = {c: numpy_helper.from_array(np.array([n]), f"channel_{c}") for n, c in enumerate("rgb")}
    numbers = [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("four", 4), ("one", 1), ("twenty", 20))]
    sizes = numpy_helper.from_array(np.array(shape), "shape")
    nodes = [helper.make_node("Gather", [left, f"channel_{c}"], [c], axis=1) for c in "rg"]
    nodes += [
        helper.make_node("Div", ["r", "g"], ["ratio"]),
        helper.make_node("Mul", ["ratio", "twenty"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], [disparity]),
    ]
    if confidence:
        nodes += [
            helper.make_node("Gather", [right, "channel_b"], ["b"], axis=1),
            helper.make_node("Mul", ["b", "four"], ["b4"]),
            helper.make_node("Sub", ["b4", "one"], ["b1"]),
            helper.make_node("Reshape", ["b1", "shape"], [confidence]),
        ]
    width, height = GRID
    images = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3, height, width)) for n in (left, right)]
    maps = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in (disparity, confidence) if n]
    graph = helper.make_graph(nodes, "g", images[:: -1 if swap else 1], maps, [*channel.values(), *numbers, sizes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
