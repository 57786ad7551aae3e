"""A run's folder: what it holds, and how it survives a kill at any moment.

recipe.yaml             what is being made; written first, it marks the folder as a run's
checkpoint.safetensors  everything to go on from, with the facts in its header: one file, so it is whole or the old one
ema.safetensors         the averaged weights alone, and state.json, the same facts: for people and for export
curves.csv, eval.csv    see curves.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..atomic import write_bytes
from ..errors import ModelError

CHECKPOINT = "checkpoint.safetensors"
AVERAGE = "ema.safetensors"
STATE = "state.json"


def save(file: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts (plain values) as one whole file. Raises OutputError."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(file, safetensors.torch.save(plain, {"facts": json.dumps(facts)}))


def load(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What save wrote, on the CPU. Raises ModelError."""
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("facts", "{}"))
            return {name: opened.get_tensor(name) for name in opened.keys()}, facts  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as e:
        raise ModelError(f"{file}: cannot be read as weights ({e}); restore it, or begin again with another --out") from None


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with the prefix, by the rest of it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments, by the number of the parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": torch.as_tensor(value) for number, each in state.items() for name, value in each.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # laid out in memory as the parameter is
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        optimizer.state[parameter][key] = value


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError:
        raise ModelError(
            f"{file}: holds another network than its recipe asks for; it was made by another version of stereo_rt: "
            "begin again with another --out"
        ) from None
