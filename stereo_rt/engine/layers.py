"""The layers that a builder was given: how many in which precision, which of them stay in FP32, and that none is a plugin.

Read off TensorRT's own network after parsing, so it needs no GPU. Where types bind (flavour.py: strongly_typed) the engine
keeps to them; versions 8 are asked to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MATRIX = frozenset({"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM"})
_CARRY = frozenset({"CAST", "CONCATENATION", "CONSTANT", "GATHER", "IDENTITY", "SHUFFLE", "SLICE", "SQUEEZE", "UNSQUEEZE"})
"""They carry values and compute nothing."""


_DTYPES = {"UINT8": "uint8", "HALF": "float16", "FLOAT": "float32"}


@dataclass(frozen=True)
class Tensor:
    """An input or output. dtype: NumPy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Layers:
    """Layers that compute on pixels, by precision; carriers, constants and the arithmetic of shapes are not counted.

    islands: the FP32 ones, as 'KIND name'. single_matrix: those of them that multiply matrices; there should be none
    in an fp16 engine. plugins: layers that are not TensorRT's own.
    """

    fp16: int
    fp32: int
    islands: tuple[str, ...]
    single_matrix: tuple[str, ...]
    plugins: tuple[str, ...]


def layers(trt: Any, definition: Any) -> Layers:
    """trt: the module. definition: its INetworkDefinition."""
    half = 0
    islands, single_matrix, plugins = [], [], []
    for layer in (definition.get_layer(i) for i in range(definition.num_layers)):
        kind = layer.type.name
        if kind.startswith("PLUGIN"):
            plugins.append(layer.name)
        types = tensor_types(layer)
        if kind in _CARRY:
            continue
        if trt.float32 in types:
            islands.append(f"{kind} {layer.name}")
            if kind in MATRIX:
                single_matrix.append(layer.name)
        elif trt.float16 in types:
            half += 1
    return Layers(half, len(islands), tuple(islands), tuple(single_matrix), tuple(plugins))


def tensors(definition: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs and outputs of an INetworkDefinition."""
    inputs = [definition.get_input(i) for i in range(definition.num_inputs)]
    outputs = [definition.get_output(i) for i in range(definition.num_outputs)]
    described = [[Tensor(t.name, tuple(t.shape), _DTYPES[t.dtype.name]) for t in found] for found in (inputs, outputs)]
    return tuple(described[0]), tuple(described[1])


def tensor_types(layer: Any) -> set[Any]:
    """Element types (trt.DataType) of what an ILayer reads and writes."""
    reads = [layer.get_input(i) for i in range(layer.num_inputs)]
    writes = [layer.get_output(i) for i in range(layer.num_outputs)]
    return {tensor.dtype for tensor in reads + writes if tensor is not None}
