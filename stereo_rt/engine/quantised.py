"""Eight-bit integers, for CPUs: convolutions in int8, all other arithmetic in float32. Needs onnx.

ONNX Runtime's quantiser does it. Each convolution takes uint8 values, whose range is what they had on example pairs, and int8
weights with a scale for each of its channels. Weights use seven bits: processors without VNNI add two products in 16 bits,
which eight bits would overflow. A ReLU after a convolution is the lower end of the range of its values, which are rounded once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

Feed = dict[str, np.ndarray]
"""The network's inputs by name, each (1, 3, H, W) float32 RGB in [0, 1]."""
EXAMPLES = 8


class _Examples(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:  # type: ignore[override]
        return next(self._left, None)


def to_int8(model: onnx.ModelProto, examples: Sequence[Feed]) -> onnx.ModelProto:
    """A copy of a float32 model with its convolutions in int8; inputs, outputs and all else stay float32.

    examples: what the ranges of the values are taken from; at least one.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        simplified = onnx.shape_inference.infer_shapes(model)
        add_pre_process_metadata(simplified)  # else the quantiser advises what has been done
        onnx.save(simplified, source)
        quantize_static(
            source,
            target,
            _Examples(examples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)
