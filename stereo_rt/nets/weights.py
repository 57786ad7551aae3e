"""A student out of its own ONNX file: one artefact for every runtime, and no pickle. Needs torch and onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from ..errors import ModelError
from .student import SIZES, Student


def load_student(path: Path) -> tuple[Student, dict[str, str]]:
    """The network and its metadata, folded, in eval mode, on the CPU. Raises ModelError when the file is not a student."""
    try:
        model = onnx.load(path)
    except Exception as e:  # protobuf's DecodeError, or whatever a hostile file provokes
        raise ModelError(f"{path}: is not an ONNX file ({type(e).__name__}); check that it is whole") from None
    metadata = {p.key: p.value for p in model.metadata_props}
    size = metadata.get("student_size")
    if size not in SIZES:
        raise ModelError(
            f"{path}: is not one of our own networks, so torch cannot rebuild it; run it as it is with --backend onnx"
        )
    net = Student(SIZES[size]).folded()
    names = net.state_dict().keys()
    weights = {
        t.name: torch.from_numpy(np.array(numpy_helper.to_array(t), np.float32))
        for t in model.graph.initializer
        if t.name in names
    }
    # A scaling that changes nothing is optimised out of the graph.
    neutral = {"certainty_gain": torch.tensor(1.0), "certainty_bias": torch.tensor(0.0)}
    try:
        net.load_state_dict(neutral | weights)
    except RuntimeError:
        raise ModelError(f"{path}: its weights do not fit a student of size '{size}'; export it again") from None
    return net.requires_grad_(False), metadata
