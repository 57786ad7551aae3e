"""Small networks and made-up sidecars, for the tests of engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from stereo_rt.engine.key import Key
from stereo_rt.engine.layers import Layers
from stereo_rt.engine.sidecar import Sidecar, Tensor

GRID = (64, 32)
KEY = Key("a" * 64, "b" * 64, "fp16", GRID, "tensorrt", "10.3.0", "NVIDIA H200", ("9.0",), ("tf32=off",))
SIDECAR = Sidecar(
    model="tiny",
    key=KEY,
    engine_sha256="",
    inputs=(Tensor("left", (1, 32, 64, 3), "uint8"), Tensor("right", (1, 32, 64, 3), "uint8")),
    outputs=(Tensor("disparity", (1, 1, 32, 64), "float32"), Tensor("confidence", (1, 1, 32, 64), "float32")),
    normalisation="none",
    max_disparity_px=48.0,
    has_confidence=True,
    layers=Layers(2, 1, ("ELEMENTWISE mul",), (), ()),
    memory_bytes={"weights": 100},
    parity=None,
    build_s=7.0,
    built_at="2025-01-01T00:00:00+00:00",
)


def tiny_network(file: Path, *, weight: float = 1.0, operation: str | None = None) -> Path:
    """Disparity is 200 * weight times the mean of the left pixel's colours. operation: one more on the way there."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = {
        "mean": np.full((1, 3, 1, 1), weight, np.float32),
        "scale": np.array([200], np.float32),
        "doubt": np.full((1, 3, 1, 1), 0.3, np.float32),
    }
    middle = "sum" if operation is None else "odd"
    nodes = [
        helper.make_node("Conv", ["left", "mean"], ["sum"]),
        *([] if operation is None else [helper.make_node(operation, ["sum"], ["odd"])]),
        helper.make_node("Mul", [middle, "scale"], ["disparity"]),
        helper.make_node("Conv", ["right", "doubt"], ["sure"]),
        helper.make_node("Sigmoid", ["sure"], ["confidence"]),
    ]
    images, maps = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, GRID[1], GRID[0]]) for name in names]
        for names, channels in ((("left", "right"), 3), (("disparity", "confidence"), 1))
    )
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", images, maps, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return file


def start(*arguments: str) -> subprocess.Popen[str]:
    """`stereo-rt ARGUMENTS` in a process of its own."""
    return start_python("-m", "stereo_rt", *arguments)


def start_python(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process prints, up to a line with these words."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return
    raise AssertionError(f"it ended without saying '{words}': {seen}, {process.stderr and process.stderr.read()}")
