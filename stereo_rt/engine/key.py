"""Key: everything that an engine depends on. Equal keys, equal engines; the hash of a key is the engine's address."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field

from .flavour import TITLES
from .gpu import Gpu

PRECISIONS = ("fp16", "fp32")


@dataclass(frozen=True)
class Key:
    """onnx_sha256: of the network's file. graph_sha256: of the graph that was fed (wrapped.py), '' for not looked at.

    precision: of PRECISIONS. gpu: the name of the one GPU that runs the engine; None where any of `targets` does. targets:
    compute capabilities, such as ('8.6', '8.9'), or ('8.0+',) for that one and later. size: (width, height).
    """

    onnx_sha256: str
    graph_sha256: str
    precision: Annotated[str, Field(pattern=f"^({'|'.join(PRECISIONS)})$")]
    size: tuple[int, int]
    flavour: str
    version: str
    gpu: str | None
    targets: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def machine(self) -> str:
        """What it is for, in words."""
        capabilities = ", ".join(t.replace("+", " and later") for t in self.targets)
        return f"{self.gpu} (compute capability {capabilities})" if self.gpu else f"GPUs of compute capability {capabilities}"

    def runs_on(self, gpu: Gpu) -> bool:
        if self.gpu is not None:
            return (self.gpu, self.targets) == (gpu.name, (gpu.compute_capability,))
        return any(_serves(target, gpu.compute_capability) for target in self.targets)


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to run. gpu: None for whatever there is; precision: None for any; graph_sha256: as in Key."""

    onnx_sha256: str
    flavour: str
    version: str
    gpu: Gpu | None
    precision: str | None = None
    graph_sha256: str = ""

    def differences(self, key: Key) -> list[str]:
        """Why an engine does not do, each with both sides; [] when it does."""
        found = []
        if key.onnx_sha256 != self.onnx_sha256:
            found.append(f"it was built from the network {key.onnx_sha256[:12]}..., which is now {self.onnx_sha256[:12]}...")
        if (key.flavour, key.version) != (self.flavour, self.version):
            found.append(
                f"it was built by {TITLES.get(key.flavour, key.flavour)} {key.version}, "
                f"and here is {TITLES[self.flavour]} {self.version}"
            )
        if self.gpu and not key.runs_on(self.gpu):
            found.append(f"it was built for {key.machine}, and here is {self.gpu}")
        if self.precision and key.precision != self.precision:
            found.append(f"it is in {key.precision}, and {self.precision} is asked for")
        if self.graph_sha256 and key.graph_sha256 != self.graph_sha256:
            found.append("it was built by another version of stereo_rt, which prepared the network differently")
        return found


def _serves(target: str, capability: str) -> bool:
    if target.endswith("+"):
        return _version(capability) >= _version(target[:-1])
    return capability == target


def _version(capability: str) -> tuple[int, ...]:
    return tuple(int(n) for n in capability.split("."))
