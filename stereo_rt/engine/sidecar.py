"""Sidecar: what is known about an engine, in a JSON file beside it, so that it is judged before TensorRT touches it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError, WrapSerializer

from ..atomic import write_bytes
from .gate import Parity
from .gpu import Gpu
from .key import Key
from .layers import Layers, Tensor

INPUTS, OUTPUTS = ("left", "right"), ("disparity", "confidence")
"""Names of the tensors of every engine of ours (wrapped.py makes them)."""
NOT_RUN = "not run"
ParityOrNotRun = Annotated[
    Parity | None,
    BeforeValidator(lambda value: None if value == NOT_RUN else value),
    WrapSerializer(lambda value, plain: NOT_RUN if value is None else plain(value)),
]
"""None in memory; in the file words, for those who open it."""


@dataclass(frozen=True)
class Sidecar:
    """model: as it was asked for, a shipped name or a file. normalisation: what the engine does to pixels by itself.

    parity: what the gate measured (gate.py); None, not run, until there was a GPU. built_at: UTC, ISO 8601.
    memory_bytes: as the builder said.
    """

    model: str
    key: Key
    engine_sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    normalisation: str
    max_disparity_px: float
    has_confidence: bool
    layers: Layers
    memory_bytes: dict[str, int]
    parity: ParityOrNotRun
    build_s: float
    built_at: str

    def judged_on(self, gpu: Gpu) -> bool:
        """The gate has passed the engine on this GPU; built for many, it still has to on each."""
        return self.parity is not None and self.parity.gpu == gpu.name


_JSON = TypeAdapter(Sidecar)


def write_sidecar(file: Path, sidecar: Sidecar) -> None:
    """Raises OutputError."""
    write_bytes(file, _JSON.dump_json(sidecar, indent=1))


def read_sidecar(file: Path) -> Sidecar | None:
    """None for a file that is absent or not a sidecar of this version."""
    try:
        return _JSON.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
