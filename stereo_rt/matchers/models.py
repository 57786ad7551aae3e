"""Networks by name or file: the shipped table engines/models.yaml, checksums, and which input and output is what."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .. import paths
from ..atomic import write_bytes
from ..digest import sha256_of
from ..errors import ModelError
from .grid import grid_size, suited

TABLE = "models.yaml"


@dataclass(frozen=True)
class ModelFile:
    """A network file that exists. sha256: of its content; for a shipped one it equals the table's."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Twin:
    """A shipped network of the weights of another, by its name, and the (width, height) of its grid."""

    name: str
    size: tuple[int, int]


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
    """The table of shipped networks: name -> facts (see engines/README.md), of twins those of their original too.

    Raises ModelError.
    """
    file = paths.engines() / TABLE
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        why = getattr(e, "strerror", None) or "not YAML"
        raise ModelError(f"{file}: the table of shipped networks cannot be read ({why}); install stereo_rt again") from None
    for name, facts in table.items():
        if lacking := {"file", "sha256"} - facts.keys():
            raise ModelError(f"{file}: the entry {name} lacks {' and '.join(sorted(lacking))}; install stereo_rt again")
        if (original := facts.get("of")) is not None and original not in table:
            raise ModelError(f"{file}: the entry {name} is of {original}, which is not there; install stereo_rt again")
    return {name: {**table.get(facts.get("of"), {}), **facts} for name, facts in table.items()}


def originals() -> tuple[str, ...]:
    """Names of the shipped networks that are no twins. Raises ModelError."""
    return tuple(name for name, facts in shipped_models().items() if "of" not in facts)


def write_models(table: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the table of shipped networks; its comments stay, and of twins only what their original does not say as well
    is written. Raises OutputError."""
    file = paths.engines() / TABLE
    table = {
        name: {key: value for key, value in facts.items() if table.get(facts.get("of", ""), {}).get(key) != value}
        for name, facts in table.items()
    }
    comments = "".join(line + "\n" for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    write_bytes(file, (comments + yaml.safe_dump(table, sort_keys=False, width=110)).encode())


def find_model(model: str) -> ModelFile:
    """Look up a shipped name, or take a FILE.onnx as it is. Raises ModelError: unknown, missing or damaged."""
    if model.endswith(".onnx"):
        path = Path(model)
        return ModelFile(path.stem, path, _sha256(path))
    table = shipped_models()
    if model not in table:
        near = difflib.get_close_matches(model, table, n=1)
        hint = (
            f"did you mean '{near[0]}'?" if near else f"shipped are {', '.join(originals())}; or pass a file: --model FILE.onnx"
        )
        raise ModelError(f"there is no network named '{model}'; {hint}")
    if "of" in table[model]:
        _verified(table[model]["of"], table)  # its weights lie in that file
    return _verified(model, table)


def find_twins(model: str) -> tuple[ModelFile, ...]:
    """The files of twins(model), of a model that find_model found: its own file, where their weights lie, is not read again.

    Raises ModelError: one is missing or damaged.
    """
    table = shipped_models()
    return tuple(_verified(twin.name, table) for twin in _twins(model, table))


def _verified(model: str, table: Mapping[str, Mapping[str, Any]]) -> ModelFile:
    """The file of that row of the table. Raises ModelError: missing or damaged."""
    path = paths.engines() / table[model]["file"]
    found = _sha256(path)
    if found != table[model]["sha256"]:
        raise ModelError(
            f"{path}: is damaged, its checksum {found[:12]}... is not the one in {TABLE}; install stereo_rt again, "
            f"or, if you changed it on purpose, pass it as a file: --model {path}"
        )
    return ModelFile(model, path, found)


def twins(model: str) -> tuple[Twin, ...]:
    """The shipped networks of the weights of `model`, itself shipped and no twin, on grids for frames of other shapes.

    Raises ModelError for a damaged table.
    """
    return () if model.endswith(".onnx") else _twins(model, shipped_models())


def _twins(model: str, table: Mapping[str, Mapping[str, Any]]) -> tuple[Twin, ...]:
    return tuple(Twin(name, grid_size(facts["input_size"])) for name, facts in table.items() if facts.get("of") == model)


def better_grid(model: str, frame_size: tuple[int, int]) -> str | None:
    """The shipped network of the same weights whose grid such frames fill better than that of `model`; None where there is
    none, and for networks that are not shipped.

    frame_size: (width, height). Raises ModelError for a damaged table.
    """
    table = shipped_models()
    if model not in table:
        return None
    original = table[model].get("of", model)
    family = (Twin(original, grid_size(table[original]["input_size"])), *_twins(original, table))
    names = {twin.size: twin.name for twin in family}
    own = grid_size(table[model]["input_size"])
    best = suited(frame_size, own, names.keys() - {own})
    return None if best == own else names[best]


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
