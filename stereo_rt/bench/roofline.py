"""How fast a network could be at best on a device, from its published peak rates alone (a roofline estimate).

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 2009, layer by layer: a
convolution or matrix product takes at least its multiply-adds at the peak FP16 rate, and at least its inputs, weights
and outputs, two bytes a value, at the peak memory bandwidth; the slower of the two counts. Everything else (activations,
resizing, sums, the soft minimum over disparities) is taken to be free, as if it were fused into a neighbour.

No part of it is measured. Real engines reach a part of these rates, which nobody knows before running one; caches that
hold whole feature maps (as on large GPUs) can save some of the traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingExtra, ModelError
from ..matchers.file import first_line
from ..matchers.models import find_model

if TYPE_CHECKING:
    from rich.console import Console

BYTES = 2


@dataclass(frozen=True)
class Device:
    """tflops: dense FP16 tensor-core rate with FP32 sums, 2 operations a multiply-add. gb_s: memory bandwidth."""

    name: str
    tflops: float
    gb_s: float
    source: str


ORIN = "half of the dense INT8 rate of its GPU, without DLA"
DEVICES = (
    Device("Jetson Xavier NX", 6.0, 59.7, "NVIDIA's data sheet; tensor cores of Volta"),
    Device("Jetson Orin Nano 8GB, 15 W", 10.0, 68.0, ORIN),
    Device("Jetson Orin Nano 8GB Super", 17.0, 102.0, ORIN),
    Device("Jetson Orin NX 16GB", 15.0, 102.4, ORIN),
    Device("Jetson AGX Orin 64GB", 42.5, 204.8, ORIN),
    Device("GeForce RTX 3060 12GB", 25.5, 360.0, "28 SMs at 1.78 GHz, 256 multiply-adds each"),
    Device("GeForce RTX 4090", 165.2, 1008.0, "NVIDIA's Ada white paper"),
    Device("H200 SXM", 989.0, 4800.0, "NVIDIA's data sheet, half of the sparse rate"),
)


@dataclass(frozen=True)
class Layer:
    """macs: multiply-adds. moved: values read and written (inputs, weights, output)."""

    macs: int
    moved: int

    def ms(self, device: Device) -> float:
        return 1e3 * max(2 * self.macs / (device.tflops * 1e12), self.moved * BYTES / (device.gb_s * 1e9))


def layers_of(file: Path) -> list[Layer]:
    """Every convolution and matrix product of an ONNX file of fixed size. Raises ModelError, MissingExtra."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra("the roofline estimate", "train") from None
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(file), data_prop=True)
    except Exception as e:  # protobuf's DecodeError, or whatever a file of external weights lacks
        raise ModelError(f"{file}: cannot be read as ONNX ({first_line(e)}); check that it is a whole file") from None
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    unknown, layers = (0,), []
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "MatMul"):
            sides = [shapes.get(name, unknown) for name in (*node.input, node.output[0]) if name]
            layers.append(Layer(_macs(node.op_type, sides[0], sides[1], sides[-1]), sum(map(math.prod, sides))))
    if not layers or not all(layer.macs for layer in layers):
        raise ModelError(f"{file}: its convolutions, if any, are of no fixed size; export it with one such as (1, 3, 480, 640)")
    return layers


def best_ms(layers: Sequence[Layer], device: Device) -> float:
    return sum(layer.ms(device) for layer in layers)


def print_roofline(model: str, console: Console) -> None:
    from rich.table import Table

    found = find_model(model)
    layers = layers_of(found.path)
    macs, moved = sum(layer.macs for layer in layers), sum(layer.moved for layer in layers)
    table = Table(
        "device", "FP16 TFLOPS", "GB/s", "at least, ms", "at most, fps", "peaks from", title=f"{found.name}: estimate"
    )
    for device in DEVICES:
        ms = best_ms(layers, device)
        table.add_row(device.name, f"{device.tflops:g}", f"{device.gb_s:g}", f"{ms:.2f}", f"{1e3 / ms:.0f}")
    console.print(table)
    console.print(
        f"{macs / 1e9:.1f} thousand million multiply-adds and {moved * BYTES / 1e6:.0f} MB a pair, in {len(layers)} layers. "
        "Bounds from published peaks, not measurements: see docs/jetson.md for what they assume."
    )


def _macs(kind: str, left: tuple[int, ...], right: tuple[int, ...], out: tuple[int, ...]) -> int:
    """left, right: shapes of the two operands; the second of a convolution is its kernel."""
    if kind == "Conv":
        return math.prod(out) * math.prod(right[1:])
    if kind == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    return math.prod(out) * left[-1]
