"""A network to one ONNX file: static shapes, plain operations, the modules' own parameter names. Needs torch and onnx.

A stereo network has the inputs left and right, a monocular one `image`: (1, 3, H, W) float32 RGB in [0, 1].
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import torch

from ..atomic import replacing, write_bytes
from ..errors import CheckFailed
from ..nets.mono_unet import MonoUNet
from ..nets.predictions import StereoNet
from ..nets.student import Student
from . import parity
from .precision import to_mixed
from .quantised import EXAMPLES, to_int8
from .shared import share_weights

OPSET = 17
NORMALISATION = "rgb_0_1"


def export_onnx(net: torch.nn.Module, path: Path, size: tuple[int, int], metadata: Mapping[str, str]) -> None:
    """Write a network (nets/predictions.py: StereoNet, or a MonoUNet), folded, for inputs of (width, height), in FP32.

    Outputs: disparity (px) and confidence, or inverse_depth; (1, 1, H, W).
    The weights keep their names, so that the torch matcher reads them back out of the same file.
    metadata: string facts for the file's metadata_props. Raises ValueError for a size that does not fit, OutputError.
    """
    _write(path, _graph(net, size), metadata)


def export_checked(
    net: torch.nn.Module,
    path: Path,
    size: tuple[int, int],
    metadata: Mapping[str, str],
    precision: str = "fp32",
    *,
    trained: bool = True,
    original: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """export_onnx, then compare the file's answers with the network's, and those in FP16 or INT8 with FP32's (parity.py). In
    INT8 bare regions of a student's maps are left as found: net.settles is as the precision has it.

    metadata gains input_size, normalisation, precision and, of a stereo network, max_disparity_px. trained: False for
    random weights, which have no accuracy to keep: only that all values are finite is checked. original: a file of the same
    weights in the folder of `path`, which then refers to them (shared.py). say: told each comparison.
    Raises CheckFailed, and then `path` is as it was; ValueError, ModelError, OutputError.
    """
    width, height = size
    facts = dict(metadata) | {
        "input_size": f"{width}x{height}",
        "normalisation": NORMALISATION,
        "precision": precision,
    }
    if not isinstance(net, MonoUNet):
        facts["max_disparity_px"] = str(net.max_disparity_px)
    if isinstance(net, Student):
        net.settles = precision != "int8"  # coarse claims flip at the threshold, and then regions move, not pixels
    graph = _graph(net, size)
    pairs = parity.true_pairs(size, range(parity.MANY)) if precision == "int8" else parity.true_pairs(size)
    steps = [("torch to ONNX", graph, parity.SAME)]
    if precision == "fp16":
        steps.append(("FP32 to FP16", to_mixed(graph), parity.SAME))
    elif precision == "int8":
        steps.append(("FP32 to INT8", to_int8(graph, _examples(graph, size)), parity.NO_WORSE))
    with replacing(path) as temporary:
        before = parity.torch_estimator(net)
        for name, form, allowed in steps:
            # A form on the way has other weights than the last one, so only that one refers to those of the original.
            _write(temporary, form, facts, original if form is steps[-1][1] else None)
            after = parity.onnx_estimator(temporary)
            found = parity.compare(before, after, pairs)
            say(f"{name}: {found}")
            if not (found.within(allowed) if trained else found.finite):
                raise CheckFailed(
                    f"{path}: not written, as {name} changes too much ({found}; allowed are {allowed})"
                    + ("" if form is graph else "; export with --precision fp32")
                )
            before = after


def _examples(graph: onnx.ModelProto, size: tuple[int, int]) -> list[dict[str, np.ndarray]]:
    """Rendered pairs, other ones than those of the comparison, as inputs of the graph."""
    names = [value.name for value in graph.graph.input]
    pairs = parity.true_pairs(size, range(parity.MANY, parity.MANY + EXAMPLES))
    return [dict(zip(names, (pair.left, pair.right), strict=False)) for pair in pairs]


def _graph(net: torch.nn.Module, size: tuple[int, int]) -> onnx.ModelProto:
    width, height = size
    step = cast(StereoNet, net).multiple_px
    names = (net.inputs, net.outputs) if isinstance(net, MonoUNet) else (("left", "right"), ("disparity", "confidence"))
    if width % step or height % step or min(size) < 2 * step:
        raise ValueError(f"{width}x{height} does not fit: width and height must be multiples of {step}, at least {2 * step}")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing notes that sizes become constants, which is what is wanted here
        torch.onnx.export(
            net,
            tuple(torch.zeros(1, 3, height, width) for _ in names[0]),
            f"{folder}/traced.onnx",
            input_names=names[0],
            output_names=names[1],
            opset_version=OPSET,
            dynamo=False,
        )
        return _simplified(Path(folder) / "traced.onnx")


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


def _write(path: Path, model: onnx.ModelProto, metadata: Mapping[str, str], original: Path | None = None) -> None:
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    if original is not None:
        model = deepcopy(model)
        if not share_weights(model, original):
            raise CheckFailed(
                f"{original}: holds none of these weights, so nothing was written; export that file from them first"
            )
    write_bytes(path, model.SerializeToString())
