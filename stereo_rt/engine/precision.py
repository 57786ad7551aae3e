"""Mixed precision, written into the ONNX graph itself: what runs in FP16 and what stays FP32. Needs onnx.

The rule in one sentence: matrix arithmetic (MATRIX) runs in half precision, operations that only carry values (CARRY)
follow what they carry, and all other arithmetic stays in single precision.

So the FP32 islands fall where a stereo network needs them, whatever its modules are called: the normalisation of the
images before the first convolution, the norm of the descriptors (squares overflow FP16), softmax and expectation, and
whatever is made of disparities, up to the output: FP16 steps by 0.06 px above 64 px and by 0.125 px above 128.

ONNX Runtime ships a converter too, but it casts around every single node that it is told to leave alone: the values
between two of them pass through FP16 all the same.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..errors import ModelError

MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_MOVES = {"Concat", "Expand", "Gather", "GatherElements", "Pad", "Slice", "Split", "Tile"}
_SHAPES = {"DepthToSpace", "Flatten", "Identity", "Reshape", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze"}
_SUMS = {"Add", "AveragePool", "Clip", "LeakyRelu", "Max", "MaxPool", "Min", "PRelu", "Relu", "Resize", "Sub"}
CARRY = frozenset(_MOVES | _SHAPES | _SUMS)
ALWAYS_SINGLE = {"Resize": (1, 2)}
"""Inputs that the standard wants in float32 whatever the others are: Resize's region and scales."""


def half_nodes(model: onnx.ModelProto) -> frozenset[int]:
    """Indices of the nodes of a float32 graph that run in half precision.

    A carrier does when all that it carries is half already, or when everyone who reads it is. What makes an output of
    the network never does.
    """
    nodes, floats = model.graph.node, _float_tensors(model)
    outputs = {o.name for o in model.graph.output}
    constants = {t.name for t in model.graph.initializer}
    readers = defaultdict(set)
    for index, node in enumerate(nodes):
        for name in node.input:
            readers[name].add(index)

    half: set[int] = set()
    values: set[str] = set()  # made in half precision
    for index, node in enumerate(nodes):
        carried = [name for name in node.input if name in floats and name not in constants]
        follows = node.op_type in CARRY and carried and values.issuperset(carried)
        if (node.op_type in MATRIX or follows) and outputs.isdisjoint(node.output):
            half.add(index)
            values.update(node.output)
    for index, node in reversed(list(enumerate(nodes))):
        if node.op_type in CARRY and floats.issuperset(node.output) and outputs.isdisjoint(node.output):
            read_by = set().union(*(readers[name] for name in node.output))
            if read_by and half.issuperset(read_by):
                half.add(index)
    return frozenset(half)


def to_mixed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float32 model in mixed precision; its inputs and outputs stay float32, its weights keep their names.

    A weight that only half-precision nodes read is stored in FP16. Raises ModelError when one does not fit in it.
    """
    mixed = onnx.ModelProto()
    mixed.CopyFrom(model)
    graph, half = mixed.graph, half_nodes(model)
    is_half = dict.fromkeys(_float_tensors(model), False)
    for index in half:
        is_half.update({name: True for name in graph.node[index].output if name in is_half})
    for weight in graph.initializer:
        reads = [as_half for node, n, as_half in _reads(graph, half) if node.input[n] == weight.name]
        if weight.name in is_half and reads and all(reads):
            is_half[weight.name] = True
            weight.CopyFrom(_half_weight(weight, weight.name))

    copies: dict[str, str] = {}  # tensor -> itself in the other precision
    for node, n, as_half in _reads(graph, half):
        name = node.input[n]
        if is_half.get(name, as_half) != as_half:
            node.input[n] = copies[name] = f"{name}_{'half' if as_half else 'single'}"
    for weight in list(graph.initializer):
        if copy := copies.pop(weight.name, None):
            graph.initializer.append(_half_weight(weight, copy))

    ordered = [_cast(i.name, copies[i.name], is_half) for i in graph.input if i.name in copies]
    for node in graph.node:
        ordered += [node, *(_cast(name, copies[name], is_half) for name in node.output if name in copies)]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(ordered)
    return mixed


def _reads(graph: onnx.GraphProto, half: frozenset[int]) -> list[tuple[NodeProto, int, bool]]:
    """Every input of every node, and whether the node wants it in half precision where it is a float."""
    return [
        (node, n, index in half and n not in ALWAYS_SINGLE.get(node.op_type, ()))
        for index, node in enumerate(graph.node)
        for n in range(len(node.input))
    ]


def _float_tensors(model: onnx.ModelProto) -> frozenset[str]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    described = [*graph.input, *graph.output, *graph.value_info]
    names = {v.name for v in described if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return frozenset(names | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT})


def _half_weight(weight: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(weight)
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ModelError(f"the weights '{weight.name}' are beyond what FP16 holds (65504); export with --precision fp32")
    return numpy_helper.from_array(values.astype(np.float16), name)


def _cast(name: str, copy: str, is_half: dict[str, bool]) -> NodeProto:
    to = TensorProto.FLOAT if is_half[name] else TensorProto.FLOAT16
    return helper.make_node("Cast", [name], [copy], f"{copy}_cast", to=to)
