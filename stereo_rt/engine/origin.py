"""Where an exported network comes from: a shipped one, one of our ONNX files, a training run, or a file of weights.

Needs torch and onnx.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError
from ..matchers.grid import grid_size
from ..matchers.models import find_model, shipped_models
from ..nets import NAMES, build
from ..nets.student import SIZES
from ..nets.weights import identity, load_network, network_of
from ..training import checkpoint

KEPT = ("version", "recipe")
"""Facts of an ONNX file that stay true of another export of the same weights."""


@dataclass(frozen=True, eq=False)
class Origin:
    """net: folded, on the CPU, in eval mode. facts: name, version, recipe and what network it is, for the file's
    metadata.

    size: (width, height) that it was made for.
    """

    net: nn.Module
    facts: dict[str, str]
    size: tuple[int, int]


def open_origin(what: str, student_size: str | None = None) -> Origin:
    """A shipped NAME, FILE.onnx of ours, the folder of a training run (its averaged weights), or FILE.safetensors.

    student_size: row of nets/student.py, for weights that do not say what they are of. Raises ModelError.
    """
    path = Path(what)
    if path.is_dir():
        return _from_weights(path / checkpoint.AVERAGE, path.resolve().name, student_size)
    if path.suffix == ".safetensors":
        return _from_weights(path, path.stem, student_size)
    if what in NAMES and what not in shipped_models():
        raise ModelError(f"{what} is not shipped: train it with stereo-rt train {what}, or add --random-weights to measure it")
    model = find_model(what)
    net, metadata = load_network(model.path)
    facts = {"name": metadata.get("name", model.name)} | identity(network_of(metadata))
    return Origin(net, facts | {key: metadata[key] for key in KEPT if key in metadata}, grid_size(metadata["input_size"]))


def made_up(name: str, seed: int = 0) -> Origin:
    """A network of nets.NAMES with random weights, to measure how fast it runs. Raises ModelError for an unknown name."""
    torch.manual_seed(seed)
    net = build(name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones are all alike, and exporting would make one weight of them
            nn.init.uniform_(module.bias, -0.1, 0.1)
    facts = {"name": name, "version": "0", "recipe": "random weights, to measure speed"}
    return Origin(net.folded().requires_grad_(False), facts | identity(name), net.grid)


def _from_weights(file: Path, name: str, student_size: str | None) -> Origin:
    if not file.is_file():
        raise ModelError(f"{file}: does not exist; pass a network's name, FILE.onnx, FILE.safetensors or a run's folder")
    weights, made = checkpoint.load(file)
    if made.get("pretraining"):
        raise ModelError(
            f"{file}: is of a pretraining, which knows no disparities yet; train on with: stereo-rt train "
            f"{made['network']} --init {file.parent}"
        )
    network = f"student_{student_size}" if student_size else made.get("network")
    if network is None:
        raise ModelError(f"{file}: does not say what network it is of; add --student-size, one of {', '.join(SIZES)}")
    net = build(network)
    try:
        net.load_state_dict(weights)
    except RuntimeError:
        raise ModelError(f"{file}: its weights do not fit {network}; choose another network with --student-size") from None
    recipe = f"stereo-rt train: {network}, {made.get('samples', '?')} samples, seed {made.get('seed', '?')}" if made else ""
    facts = {"name": name, "version": "1", "recipe": recipe} | identity(network)
    return Origin(net.folded().requires_grad_(False), facts, net.grid)
