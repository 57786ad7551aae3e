"""A network to one ONNX file: static shapes, plain operations, the modules' own parameter names. Needs torch and onnx."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime
import torch

from ..atomic import write_bytes
from ..nets.student import MULTIPLE_PX, Student

OPSET = 17


def export_onnx(net: Student, path: Path, size: tuple[int, int], metadata: Mapping[str, str]) -> None:
    """Write a folded student for inputs of size (width, height), multiples of 32.

    Inputs left, right (1, 3, H, W) float32 RGB in [0, 1]; outputs disparity (px) and confidence, (1, 1, H, W).
    The weights keep their names, so that the torch matcher reads them back out of the same file.
    metadata: string facts for the file's metadata_props. Raises ValueError for a size that does not fit, OutputError.
    """
    width, height = size
    if width % MULTIPLE_PX or height % MULTIPLE_PX or min(size) < 2 * MULTIPLE_PX:
        raise ValueError(f"{width}x{height} does not fit: width and height must be multiples of {MULTIPLE_PX}, at least 64")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing notes that sizes become constants, which is what is wanted here
        image = torch.zeros(1, 3, height, width)
        torch.onnx.export(
            net,
            (image, image),
            f"{folder}/traced.onnx",
            input_names=["left", "right"],
            output_names=["disparity", "confidence"],
            opset_version=OPSET,
            dynamo=False,
        )
        model = _simplified(Path(folder) / "traced.onnx")
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def _simplified(file: Path) -> onnx.ModelProto:
    """The same graph with everything constant computed in advance (ONNX Runtime's basic, standard-operator rewrites)."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file.with_name("simplified.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath)
    for extra in [o for o in model.opset_import if o.domain]:
        model.opset_import.remove(extra)
    return model
