"""TensorRT's two flavours behind one interface. Everything that differs between them, and between versions, is here.

| | 8.5, 8.6 (JetPack 5, 6.0) | 10 | 11 | TensorRT-RTX 1 |
|---|---|---|---|---|
| module | tensorrt | tensorrt | tensorrt | tensorrt_rtx |
| types of the graph | hints, held by flags | binding | binding, the only way | binding |
| progress, and a stop in between | no | yes | yes | yes |
| timing cache | yes | yes | yes | without effect, and it would ask for a GPU |
| builds for a GPU that is not here | no | no | no | yes |

Taken from NVIDIA's documentation and from the names in the Python bindings themselves.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import ModelError, UsageError
from .gpu import Gpu
from .jetson import missing
from .layers import Layers, Tensor, layers, tensor_types, tensors
from .phases import Phases

FLAVOURS = ("tensorrt", "tensorrt_rtx")
TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
EXTRAS = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}
PORTABLE = ("8.0+",)
"""TensorRT-RTX's own default: one engine for compute capability 8.0, 8.6, 8.9, 12.0 and later (Ampere to Blackwell)."""
OPTIONS = ("tf32=off", "libraries=off")
"""How every engine is built. FP32 is true FP32, which is what it is for; cuBLAS and cuDNN, which later versions do without
as well, are not asked: they would have to be installed in just the right version."""
OWN_TACTICS = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")


def available() -> tuple[str, ...]:
    """The flavours that are installed here; they are not loaded for it."""
    return tuple(name for name in FLAVOURS if find_spec(name))


@cache
def load(name: str) -> Flavour:
    """Raises MissingExtra when the flavour is not installed, ModelError when it does not load."""
    if name not in FLAVOURS:
        raise UsageError(f"there is no flavour '{name}' of TensorRT; use one of {', '.join(FLAVOURS)}")
    if not find_spec(name):
        raise missing(TITLES[name], EXTRAS[name])
    try:
        trt = import_module(name)
    except (ImportError, OSError) as e:
        raise ModelError(f"{TITLES[name]} is installed but does not load ({e}); see: stereo-rt doctor") from None
    return Flavour(name, trt.__version__, trt, _new_log(trt))


@dataclass(frozen=True, eq=False)
class Flavour:
    """name: of FLAVOURS. version: such as '10.3.0'. trt: the module. log: its one logger, which writes to logging."""

    name: str
    version: str
    trt: Any
    log: Any

    def __str__(self) -> str:
        return f"{TITLES[self.name]} {self.version}"

    @property
    def ahead_of_time(self) -> bool:
        """It builds without a GPU, for GPUs that are elsewhere."""
        return hasattr(self.trt, "ComputeCapability")

    @property
    def strongly_typed(self) -> bool:
        """The types of the graph bind the builder."""
        return hasattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") or not hasattr(self.trt.BuilderFlag, "FP16")

    @property
    def stoppable(self) -> bool:
        return hasattr(self.trt, "IProgressMonitor")

    @property
    def compute_capabilities(self) -> tuple[str, ...]:
        """What it can build for ahead of time."""
        names = vars(self.trt.ComputeCapability) if self.ahead_of_time else ()
        numbers = sorted(int(found[1]) for name in names if (found := re.fullmatch(r"SM(\d+)", name)))
        return tuple(f"{n // 10}.{n % 10}" for n in numbers)

    def targets_for(self, gpu: Gpu | None) -> tuple[str, ...]:
        """The compute capabilities to build for when nobody named any: the GPU's own, else what runs nearly everywhere.

        Raises ModelError when there is no GPU and the flavour needs one.
        """
        if self.ahead_of_time:
            return (gpu.compute_capability,) if gpu and gpu.compute_capability in self.compute_capabilities else PORTABLE
        if gpu is None:
            raise ModelError(
                "TensorRT builds an engine on the GPU that will run it, and there is none here; "
                "build on that machine, or ahead of time for an RTX GPU: add --flavour tensorrt_rtx"
            )
        return (gpu.compute_capability,)

    def parse_targets(self, text: str) -> tuple[str, ...]:
        """'sm86,sm120', '86,120' or '8.6,12.0' -> ('8.6', '12.0'). Raises UsageError."""
        if not self.ahead_of_time:
            raise UsageError("--gpu is for --flavour tensorrt_rtx; full TensorRT builds on the GPU that will run the engine")
        found = []
        for part in text.lower().split(","):
            digits = part.strip().removeprefix("sm").replace(".", "")
            target = f"{digits[:-1]}.{digits[-1:]}"
            if target not in self.compute_capabilities:
                known = ", ".join("sm" + c.replace(".", "") for c in self.compute_capabilities)
                raise UsageError(f"--gpu {part}: {self} cannot build for it; it can for {known}")
            found.append(target)
        return tuple(sorted(set(found), key=float))

    def build(
        self, graph: bytes, name: str, precision: str, targets: tuple[str, ...], timing: bytes | None, phases: Phases
    ) -> Built:
        """Build an engine; takes seconds to many minutes. Once phases.stop() was called it ends early, where it can.

        graph: serialised ONNX. name: of the network, for messages. timing: the contents of a timing cache, b'' for a
        new one, None for none. Raises ModelError.
        """
        trt = self.trt
        builder, definition = self._parsed(graph, name)
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.clear_flag(trt.BuilderFlag.TF32)
        if not self.ahead_of_time:
            own = [getattr(trt.TacticSource, source) for source in OWN_TACTICS if hasattr(trt.TacticSource, source)]
            config.set_tactic_sources(sum(1 << int(source) for source in own))
        if self.ahead_of_time and targets != PORTABLE:
            config.num_compute_capabilities = len(targets)
            for index, target in enumerate(targets):
                config.set_compute_capability(getattr(trt.ComputeCapability, "SM" + target.replace(".", "")), index)
        if precision == "fp16" and not self.strongly_typed:
            config.set_flag(trt.BuilderFlag.FP16)
            config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
            _hold_types(trt, definition)
        if self.stoppable:
            config.progress_monitor = _monitor(trt, phases)
        timings = None
        if timing is not None and not self.ahead_of_time:
            timings = config.create_timing_cache(timing) or config.create_timing_cache(b"")  # a new one for a damaged one
            config.set_timing_cache(timings, False)
        self.log.memory.clear()
        with self.log.collecting() as errors:
            plan = builder.build_serialized_network(definition, config)
        if plan is None:
            raise ModelError(f"{name}: {self} cannot build it ({_short(_last(errors))}); run it with --backend onnx")
        kept = None if timings is None else bytes(timings.serialize())
        return Built(bytes(plan), kept, dict(self.log.memory), layers(trt, definition), *tensors(definition))

    def open(self, plan: bytes, name: str) -> Any:
        """An ICudaEngine of the GPU here. Raises ModelError."""
        with self.log.collecting() as errors:
            runtime = _made(lambda: self.trt.Runtime(self.log), errors, f"{self} does not start")
            engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(
                f"{name}: {self} cannot load its engine ({_short(_last(errors))}); build it again with: "
                f"stereo-rt build {name} --flavour {self.name} --rebuild"
            )
        return engine

    def _parsed(self, graph: bytes, name: str) -> tuple[Any, Any]:
        """The builder, and the INetworkDefinition that lives in it."""
        trt = self.trt
        with self.log.collecting() as errors:
            builder = _made(lambda: trt.Builder(self.log), errors, f"{self} does not start")
            kinds = trt.NetworkDefinitionCreationFlag
            flags = ["STRONGLY_TYPED"] if hasattr(kinds, "STRONGLY_TYPED") else ["EXPLICIT_BATCH"]
            definition = builder.create_network(sum(1 << int(getattr(kinds, flag)) for flag in flags if hasattr(kinds, flag)))
            parser = trt.OnnxParser(definition, self.log)
            if not parser.parse(graph):
                raise ModelError(
                    f"{name}: {self} cannot take this network ({_refusal(parser, errors)}); run it with --backend onnx, "
                    "or export it with plain operations"
                )
        return builder, definition


@dataclass(frozen=True, eq=False)
class Built:
    """plan: the engine as trtexec writes it. memory_bytes: what its builder said: 'activation', 'weights'."""

    plan: bytes
    timing: bytes | None
    memory_bytes: dict[str, int]
    layers: Layers
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def _hold_types(trt: Any, definition: Any) -> None:
    """Versions 8 take the types of a graph for hints: ask for each layer's own, so that the FP32 islands stay FP32."""
    for layer in (definition.get_layer(i) for i in range(definition.num_layers)):
        types = tensor_types(layer)
        if layer.type in (trt.LayerType.CAST, trt.LayerType.CONSTANT, trt.LayerType.SHAPE):
            continue
        for kind in (trt.float32, trt.float16):
            if kind in types:
                layer.precision = kind
                for index in range(layer.num_outputs):
                    if layer.get_output(index).dtype == kind:
                        layer.set_output_type(index, kind)
                break


def _new_log(trt: Any) -> Any:
    log = logging.getLogger("stereo_rt.tensorrt")
    severity = trt.ILogger.Severity
    levels = {severity.WARNING: logging.WARNING, severity.INFO: logging.DEBUG, severity.VERBOSE: logging.NOTSET}

    class Log(trt.ILogger):
        """TensorRT's lines, into logging. Errors of a call that will be told in a sentence are collected for it instead."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.memory: dict[str, int] = {}
            self.errors: list[str] | None = None

        def log(self, severity: Any, text: str) -> None:
            level = levels.get(severity, logging.ERROR)
            if found := re.search(r"Total (Activation|Weights) Memory: (\d+)", text):
                self.memory[found[1].lower()] = int(found[2])
            if level == logging.ERROR and self.errors is not None:
                self.errors.append(text)
                level = logging.DEBUG
            if level:
                log.log(level, "TensorRT: %s", text)

        @contextmanager
        def collecting(self) -> Iterator[list[str]]:
            errors: list[str] = []
            self.errors = errors
            try:
                yield errors
            finally:
                self.errors = None

    return Log()


def _monitor(trt: Any, phases: Phases) -> Any:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            return not phases.stopped

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


def _made(make: Any, errors: list[str], what: str) -> Any:
    """TensorRT's constructors fail with a TypeError that says nothing; its log has the reason."""
    try:
        return make()
    except (TypeError, RuntimeError) as e:
        raise ModelError(f"{what} ({_short(_last(errors) or str(e))}); see: stereo-rt doctor") from None


def _refusal(parser: Any, errors: list[str]) -> str:
    """What an ONNX parser did not like; before version 10 only the log names the operation."""
    first = parser.get_error(0) if parser.num_errors else None
    if operation := first.node_operator() if first is not None and hasattr(first, "node_operator") else "":
        return f"the operation {operation} is not supported"
    return _short(_last(errors))


def _last(errors: list[str]) -> str:
    return errors[-1] if errors else "it gave no reason"


def _short(text: str) -> str:
    return " ".join(text.split())[:240]
