"""A network of ours out of its own ONNX file: one artefact for every runtime, and no pickle. Needs torch and onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from ..errors import ModelError
from . import NAMES, build
from .mono_unet import MonoUNet
from .network import Network
from .student import Student


def load_network(path: Path) -> tuple[Student | Network | MonoUNet, dict[str, str]]:
    """The network and its metadata, folded, in eval mode, on the CPU. Raises ModelError when the file is not one of ours.

    input_size is in that metadata whether the file's own says it or not.
    """
    try:
        model = onnx.load(path)
    except Exception as e:  # protobuf's DecodeError, or whatever a hostile file provokes
        raise ModelError(f"{path}: is not an ONNX file ({type(e).__name__}); check that it is whole") from None
    metadata = {p.key: p.value for p in model.metadata_props}
    name = network_of(metadata)
    if name not in NAMES:
        raise ModelError(
            f"{path}: is not one of our own networks, so torch cannot rebuild it; run it as it is with --backend onnx"
        )
    if metadata.get("precision") == "int8":
        raise ModelError(f"{path}: holds 8-bit weights, for ONNX Runtime on CPUs; use the network it was made of: {name}")
    net = build(name).folded()
    names = net.state_dict().keys()
    weights = {
        t.name: torch.from_numpy(np.array(numpy_helper.to_array(t), np.float32))
        for t in model.graph.initializer
        if t.name in names
    }
    # A scaling that changes nothing is optimised out of the graph.
    neutral = {"certainty_gain": torch.tensor(1.0), "certainty_bias": torch.tensor(0.0)}
    try:
        net.load_state_dict({key: value for key, value in neutral.items() if key in names} | weights)
    except RuntimeError:
        raise ModelError(f"{path}: its weights do not fit the network '{name}'; export it again") from None
    height, width = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[2:])
    return net.requires_grad_(False), metadata | {"input_size": f"{width}x{height}"}


def identity(network: str) -> dict[str, str]:
    """The metadata by which load_network knows a network of nets.NAMES: student_size of a student, network of any other."""
    size = network.removeprefix("student_")
    return {"network": network} if size == network else {"student_size": size}


def network_of(metadata: dict[str, str]) -> str:
    """The name that identity was given; one that no network has where there is none."""
    return metadata.get("network") or f"student_{metadata.get('student_size')}"
