"""Networks by name or file: the shipped table engines/models.yaml, checksums, and which input and output is what."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .. import paths
from ..digest import sha256_of
from ..errors import ModelError
from .grid import content_size, grid_size

TABLE = "models.yaml"
WASTEFUL = 1.5
"""A grid is worth another network when frames fill it so many times better."""


@dataclass(frozen=True)
class ModelFile:
    """A network file that exists. sha256: of its content; for a shipped one it equals the table's."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Signature:
    """Which input and output of a network is what, and its grid. confidence: None when it has none."""

    left: str
    right: str
    disparity: str
    confidence: str | None
    width: int
    height: int


def shipped_models() -> dict[str, dict[str, Any]]:
    """The table of shipped networks: name -> facts (see engines/README.md). Raises ModelError."""
    file = paths.engines() / TABLE
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        why = getattr(e, "strerror", None) or "not YAML"
        raise ModelError(f"{file}: the table of shipped networks cannot be read ({why}); install stereo_rt again") from None
    for name, facts in table.items():
        if lacking := {"file", "sha256"} - facts.keys():
            raise ModelError(f"{file}: the entry {name} lacks {' and '.join(sorted(lacking))}; install stereo_rt again")
    return table


def find_model(model: str) -> ModelFile:
    """Look up a shipped name, or take a FILE.onnx as it is. Raises ModelError: unknown, missing or damaged."""
    if model.endswith(".onnx"):
        path = Path(model)
        return ModelFile(path.stem, path, _sha256(path))
    table = shipped_models()
    if model not in table:
        near = difflib.get_close_matches(model, table, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"shipped are {', '.join(table)}; or pass a file: --model FILE.onnx"
        raise ModelError(f"there is no network named '{model}'; {hint}")
    path = paths.engines() / table[model]["file"]
    found = _sha256(path)
    if found != table[model]["sha256"]:
        raise ModelError(
            f"{path}: is damaged, its checksum {found[:12]}... is not the one in {TABLE}; install stereo_rt again, "
            f"or, if you changed it on purpose, pass it as a file: --model {path}"
        )
    return ModelFile(model, path, found)


def better_grid(model: str, frame_size: tuple[int, int]) -> str | None:
    """The shipped network that sees such frames in much finer detail than `model` does for what it computes; None where
    there is none, and for networks that are not shipped.

    frame_size: (width, height). Raises ModelError for a damaged table.
    """
    table = shipped_models()
    if model not in table:
        return None
    shares = {name: _used(facts["input_size"], frame_size) for name, facts in table.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > WASTEFUL * shares[model] else None


def _used(input_size: str, frame_size: tuple[int, int]) -> float:
    """Which share of a network's grid such frames fill."""
    width, height = grid_size(input_size)
    inside = content_size(frame_size, (width, height))
    return inside[0] * inside[1] / (width * height)


def signature(path: Path, inputs: Sequence[tuple[str, Sequence]], outputs: Sequence[tuple[str, Sequence]]) -> Signature:
    """Recognise a stereo network from its (name, shape) inputs and outputs.

    Two inputs (1, 3, H, W), told apart by 'left' and 'right' in their names, else left first. Disparity is the output
    with 'disp' in its name, else the first that has H x W values; confidence one with 'conf'. Raises ModelError.
    """
    images = [(name, tuple(shape)) for name, shape in inputs]
    shapes = {shape for _, shape in images}
    shape = images[0][1] if images else ()
    if len(images) != 2 or len(shapes) != 1 or len(shape) != 4 or shape[1] != 3:
        raise ModelError(
            f"{path}: is not a stereo network, which takes two images (1, 3, H, W); this one takes {_listed(images)}"
        )
    if not all(isinstance(n, int) for n in shape) or shape[0] != 1:
        raise ModelError(f"{path}: its input size is not fixed {shape}; export it with a fixed size such as (1, 3, 480, 640)")
    height, width = shape[2:]
    maps = [name for name, s in outputs if not _fixed(s) or [n for n in s if n != 1] == [height, width]]
    confidence = next((name for name in maps if "conf" in name.lower()), None)
    candidates = [name for name in maps if name != confidence]
    if not candidates:
        raise ModelError(f"{path}: has no output of {width}x{height} disparities; it gives {_listed(outputs)}")
    disparity = next((name for name in candidates if "disp" in name.lower()), candidates[0])
    names = [name for name, _ in images]
    if "right" in names[0].lower() and "left" in names[1].lower():
        names.reverse()
    return Signature(names[0], names[1], disparity, confidence, width, height)


def _fixed(shape: Sequence) -> bool:
    return all(isinstance(n, int) and n > 0 for n in shape)


def _listed(tensors: Sequence[tuple[str, Sequence]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in tensors) or "nothing"


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as e:
        raise ModelError(
            f"{path}: the network cannot be read ({e.strerror}); see the shipped ones with: stereo-rt doctor"
        ) from None
