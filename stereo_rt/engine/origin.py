"""Where an exported network comes from: a shipped one, one of our ONNX files, a training run, or a file of weights.

Needs torch and onnx.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from ..errors import ModelError
from ..matchers.models import find_model
from ..nets import build
from ..nets.student import SIZES, Student
from ..nets.weights import load_student

KEPT = ("version", "recipe")
"""Facts of an ONNX file that stay true of another export of the same weights."""


@dataclass(frozen=True, eq=False)
class Origin:
    """net: folded, on the CPU, in eval mode. facts: name, student_size, version, recipe, for the file's metadata.

    size: (width, height) that it was made for; None when nobody said.
    """

    net: nn.Module
    facts: dict[str, str]
    size: tuple[int, int] | None = None


def open_origin(what: str, student_size: str | None = None) -> Origin:
    """A shipped NAME, FILE.onnx of ours, FILE.safetensors, or the folder of a training run (its averaged weights).

    student_size: row of nets/student.py, for weights that do not say it themselves. Raises ModelError.
    """
    path = Path(what)
    if path.is_dir():
        return _from_run(path, student_size)
    if path.suffix == ".safetensors":
        return _from_weights(path, student_size, {"name": path.stem})
    model = find_model(what)
    net, metadata = load_student(model.path)
    width, height = (int(n) for n in metadata["input_size"].split("x"))
    facts = {"name": metadata.get("name", model.name), "student_size": metadata["student_size"]}
    return Origin(net, facts | {key: metadata[key] for key in KEPT if key in metadata}, (width, height))


def made_up(name: str, seed: int = 0) -> Origin:
    """A network of nets.NAMES with random weights, to measure how fast it runs. Raises ModelError for an unknown name."""
    torch.manual_seed(seed)
    net = build(name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones are all alike, and exporting would make one weight of them
            nn.init.uniform_(module.bias, -0.1, 0.1)
    facts = {"name": name, "version": "0", "recipe": "random weights, to measure speed"}
    size = next((row for row, size in SIZES.items() if isinstance(net, Student) and net.size == size), None)
    return Origin(_ready(net), facts if size is None else facts | {"student_size": size})


def _from_run(folder: Path, student_size: str | None) -> Origin:
    state_file = folder / "state.json"
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = None
    if not isinstance(state, dict):
        raise ModelError(f"{folder}: is not the folder of a training run (no readable state.json); see: stereo-rt train --help")
    facts = {"name": folder.resolve().name, "version": "1"}
    facts["recipe"] = f"stereo-rt train, {state['step']} steps" if "step" in state else "stereo-rt train"
    return _from_weights(folder / "ema.safetensors", student_size or state.get("student_size"), facts)


def _from_weights(file: Path, student_size: str | None, facts: dict[str, str]) -> Origin:
    try:
        weights = safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError) as e:
        raise ModelError(f"{file}: is not a whole file of weights ({e}); check the path") from None
    if student_size is None:
        raise ModelError(f"{file}: does not say what network it belongs to; add --student-size, one of {', '.join(SIZES)}")
    if student_size not in SIZES:
        near = difflib.get_close_matches(student_size, SIZES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(SIZES)}"
        raise ModelError(f"there is no student of size '{student_size}'; {hint}")
    net = Student(SIZES[student_size])
    try:
        net.load_state_dict(weights)
    except RuntimeError:
        raise ModelError(
            f"{file}: its weights do not fit a student of size '{student_size}'; choose another with --student-size"
        ) from None
    return Origin(_ready(net), facts | {"student_size": student_size})


def _ready(net: nn.Module) -> nn.Module:
    """Folded, where it can be, for inference."""
    return (net.folded() if isinstance(net, Student) else net.eval()).requires_grad_(False)
