"""A clone of another project's code, which the user keeps: importing it, and building its network with its weights."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from ...errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Project:
    """title: as people call it. url: of its code. weights: where its checkpoints are. folder: what its own scripts run in,
    inside the clone. file: the module of the network, below the folder; network: its class."""

    title: str
    url: str
    weights: str
    file: str
    network: str
    folder: Path = Path()

    @property
    def where(self) -> str:
        return f"git clone {self.url}; weights: {self.weights}"


class Settings(dict[str, Any]):
    """Named values as other projects read them: settings.name, settings["name"], settings.get("name")."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Weights:
    """A checkpoint's tensors by name, without the prefix that data-parallel training leaves. Raises ModelError."""

    file: Path

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        try:
            held = self._read()
            held = next((held[key] for key in ("model", "state_dict") if key in held), held)
            return {name.removeprefix("module."): value for name, value in held.items()}
        except Exception as e:  # of many kinds, by how it is damaged
            raise ModelError(
                f"{self.file}: cannot be read as weights and nothing else ({type(e).__name__}); get it again, or keep its "
                "tensors alone in a .safetensors file"
            ) from None

    def _read(self) -> Mapping[str, Any]:
        if self.file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(self.file)
        import torch

        with numbers_allowed():
            return torch.load(self.file, map_location="cpu", weights_only=True)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor; () where there is none of that name."""
        return tuple(self.tensors[name].shape) if name in self.tensors else ()


def numbers_allowed() -> AbstractContextManager[Any]:
    """torch.load takes NumPy's numbers as well, which are harmless: trainers keep their best score beside the weights.

    They are named as NumPy 1 and 2 write them. Older torch than 2.6 cannot be told so.
    """
    import numpy as np
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        return nullcontext()
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in "?bhilqBHILQefd"}
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return torch.serialization.safe_globals([np.dtype, *kinds, *((scalar, name) for name in names)])


def build(project: Project, clone: Path, weights: Weights, make: Callable[[Any], nn.Module]) -> nn.Module:
    """The project's network with these weights, in eval mode, on the CPU. make: the network's class -> a network.

    What the project would fetch to begin training with is not fetched: the weights replace it. Raises ModelError.
    """
    tensors = weights.tensors
    module = project.file.removesuffix(".py").replace("/", ".")
    try:
        with importing_from(clone / project.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another project's style
            network = getattr(importlib.import_module(module), project.network)
            with nothing_fetched(clone):
                net = make(network)
    except ImportError as e:
        raise ModelError(
            f"{clone}: {project.title}'s code needs a Python package that does not import here ({e}); install what its own "
            "instructions name"
        ) from None
    except Exception as e:  # whatever code of another project raises
        raise ModelError(
            f"{clone}: {project.title}'s network cannot be built ({type(e).__name__}: {str(e).partition(chr(10))[0]}); "
            "install the packages its own instructions name, in those versions"
        ) from None
    try:
        net.load_state_dict(tensors)
    except RuntimeError:
        own = net.state_dict()
        fit = sum(weights.shape(name) == tuple(value.shape) for name, value in own.items())
        raise ModelError(
            f"{weights.file}: does not fit {project.title}, {fit} of its {len(own)} tensors are there; get one of its own: "
            f"{project.weights}"
        ) from None
    return net.eval()


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Imports look into the folder first; afterwards sys.path and sys.modules are as if they never had.

    Several projects call their packages core or utils: what is imported here neither finds another's nor is found later.
    """
    names = {entry.stem for entry in folder.iterdir() if entry.is_dir() or entry.suffix == ".py"}

    def taken_out() -> dict[str, Any]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}

    path, others = sys.path[:], taken_out()
    sys.path.insert(0, str(folder.resolve()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        taken_out()
        sys.path[:] = path
        sys.modules.update(others)


@contextmanager
def nothing_fetched(clone: Path) -> Iterator[None]:
    """timm builds its backbones blank, and torch.hub takes DINOv2's code from the clone where that holds it."""
    import torch

    with ExitStack() as stack:
        if (timm := sys.modules.get("timm")) is not None:
            create = timm.create_model
            stack.enter_context(patch.object(timm, "create_model", lambda *a, **k: create(*a, **{**k, "pretrained": False})))
        if (clone / "dinov2" / "hubconf.py").is_file():
            load, held = torch.hub.load, str(clone.resolve() / "dinov2")
            stack.enter_context(patch.object(torch.hub, "load", lambda repo, *a, **k: load(held, *a, source="local", **k)))
        yield
