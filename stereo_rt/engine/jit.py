"""TensorRT-RTX's second half: an engine's kernels are compiled for the GPU when it is loaded, and kept in a file.

Full TensorRT has none of this: there an engine holds its kernels, and `execution` is the plain call.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..atomic import write_bytes
from ..errors import OutputError
from .flavour import Flavour

log = logging.getLogger(__name__)
SUFFIX = ".jit"


def replays_itself(flavour: Flavour) -> bool:
    """It makes its own CUDA graph of an engine; an engine may not let itself be recorded from outside."""
    return hasattr(flavour.trt, "CudaGraphStrategy")


def execution(flavour: Flavour, engine: Any, file: Path, cuda_graph: bool) -> tuple[Any, Any]:
    """An engine's execution context and, for TensorRT-RTX, the cache of its kernels (None otherwise).

    file: the engine's; kernels compiled before lie beside it. A cache of another driver or GPU is left aside by TensorRT.
    """
    if not hasattr(flavour.trt, "IRuntimeCache"):
        return engine.create_execution_context(), None
    config = engine.create_runtime_config()
    kernels = config.create_runtime_cache()
    if not (kept := _kept(file)) or not kernels.deserialize(kept):
        log.info("%s: its kernels are compiled for this GPU, once", file)
    config.set_runtime_cache(kernels)
    if replays_itself(flavour):
        strategies = flavour.trt.CudaGraphStrategy
        config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE if cuda_graph else strategies.DISABLED
    return engine.create_execution_context(config), kernels


def keep(kernels: Any, file: Path) -> None:
    """Write the kernels beside the engine when there are others by now. Where that cannot be, the next start is slow too."""
    compiled = bytes(kernels.serialize())
    if len(compiled) == len(_kept(file)):
        return
    try:
        write_bytes(file.with_suffix(SUFFIX), compiled)
    except OutputError as e:
        log.info("%s", e)


def _kept(file: Path) -> bytes:
    try:
        return file.with_suffix(SUFFIX).read_bytes()
    except OSError:
        return b""
