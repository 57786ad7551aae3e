"""`stereo-rt build`: a network as a TensorRT engine, and what is in the cache of engines."""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ModelError, UsageError
from . import engines
from .export import export_resized, pixels

if TYPE_CHECKING:
    from ..engine.build import Open
    from ..engine.cache import EngineCache
    from ..engine.flavour import Flavour
    from ..engine.gpu import Gpu
    from ..matchers.models import ModelFile
    from .build_progress import BuildProgress


class FlavourName(str, Enum):
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


class EnginePrecision(str, Enum):
    fp16 = "fp16"
    fp32 = "fp32"


def build(
    model: Annotated[str | None, typer.Argument(metavar="[NAME|FILE.onnx]", help="Network to build.")] = None,
    flavour: Annotated[
        FlavourName | None, typer.Option("--flavour", help="tensorrt: Jetson and data centre; tensorrt_rtx: RTX desktop.")
    ] = None,
    precision: Annotated[
        EnginePrecision, typer.Option("--precision", help="fp16 keeps what needs it in FP32; fp32 takes its place.")
    ] = EnginePrecision.fp16,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Another input size (needs torch).")] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="SM,...", help="Build for GPUs that are not here: sm86,sm89 (tensorrt_rtx).")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even when the engine is there.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the engines that are there.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what cannot be used any more.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="With --prune: remove every engine.")] = False,
    inspect: Annotated[bool, typer.Option("--inspect", help="Show what is in the engines of a network.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show all that TensorRT says.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")] = False,
) -> None:
    """Build a network into a TensorRT engine, check it against ONNX Runtime, and keep it for `--backend tensorrt`."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.ERROR if quiet else logging.WARNING,
        format="stereo-rt: %(message)s",
        force=True,
    )
    if all_ and not prune:
        raise UsageError("--all goes with --prune")
    if list_ + prune + inspect > 1:
        raise UsageError("choose one of --list, --prune and --inspect")
    from ..engine.cache import EngineCache
    from ..engine.gpu import find_gpu

    cache, here = EngineCache(), find_gpu()
    if list_:
        return engines.show_list(cache, here)
    if prune:
        return engines.prune(cache, everything=all_)
    if model is None:
        raise UsageError("name a network to build, such as: stereo-rt build student_s (or see what is there with --list)")
    if inspect:
        return engines.inspect(cache, model, here)
    return _build(cache, model, _choose(flavour, here), here, precision.value, size, gpu, rebuild, quiet)


def _build(
    cache: EngineCache,
    name: str,
    flavour: Flavour,
    here: Gpu | None,
    precision: str,
    size: str | None,
    gpu: str | None,
    rebuild: bool,
    quiet: bool,
) -> None:
    from ..engine.build import ensure
    from ..engine.shelf import give_way
    from ..matchers.models import find_model
    from .build_progress import BuildProgress

    targets = flavour.parse_targets(gpu) if gpu else ()
    with BuildProgress(quiet=quiet) as progress:
        network = find_model(name)
        if size:
            network = _resized(cache, network, size, progress)
        entry = ensure(
            network,
            flavour,
            gpu=here,
            precision=precision,
            targets=targets,
            rebuild=rebuild,
            cache=cache,
            open_engine=_runner() if here else None,
            say=progress.say,
            show=progress.show,
        )
        if entry.sidecar.key.precision == "fp32":
            for other in give_way(cache, entry, here):
                progress.say(f"{other.engine}: removed, as it would be taken before the one in fp32")
        progress.say(engines.summary(entry))
        if size:
            progress.say(f"run it with: --backend tensorrt --model {network.path}")


def _choose(name: FlavourName | None, here: Gpu | None) -> Flavour:
    """The flavour asked for, else the one that is installed; of two, full TensorRT where there is a GPU."""
    from ..engine.flavour import available, load

    if name is not None:
        return load(name.value)
    names = available()
    if not names:
        raise ModelError(
            "neither flavour of TensorRT is installed: pip install 'stereo_rt[rtx]' for an RTX desktop or to build without "
            "a GPU, 'stereo_rt[tensorrt]' for a data centre; on a Jetson: python3 -m venv --system-site-packages .venv"
        )
    return load(names[0] if here else names[-1])


def _runner() -> Open | None:
    """How to run an engine for the parity gate; None, with a word about it, where PyCUDA is absent."""
    from contextlib import closing
    from importlib.util import find_spec

    if not find_spec("pycuda"):
        logging.getLogger(__name__).warning("PyCUDA is not installed, so the engine is not checked before its first run")
        return None
    from ..engine.running import LoadedEngine

    return lambda entry: closing(LoadedEngine(entry))


def _resized(cache: EngineCache, network: ModelFile, size: str, progress: BuildProgress) -> ModelFile:
    """The network for another input size: exported again, from the weights in its file, into the cache."""
    from ..matchers.models import find_model

    width, height = pixels(size)
    file = cache.root / f"{network.name}_{width}x{height}_{network.sha256[:8]}.onnx"
    if not file.is_file():
        export_resized(str(network.path), file, (width, height), progress.say)
    return find_model(str(file))
