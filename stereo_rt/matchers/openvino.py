"""OpenVinoMatcher: a network in Intel's OpenVINO: on any CPU, where it is quick in 8 bits, or on an Intel GPU or NPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import MatchConfig
from ..errors import MissingExtra, ModelError
from .cores import usable_cores
from .file import FileMatcher, first_line
from .models import find_model
from .onnx import open_session, session_signature

if TYPE_CHECKING:
    import openvino


class OpenVinoMatcher(FileMatcher):
    """Runs match.model on match.device: 'auto' and 'cpu' are the CPU, 'gpu', 'gpu:N' and 'npu' Intel's.

    Raises ModelError, MissingExtra.
    """

    def __init__(self, match: MatchConfig) -> None:
        model = find_model(match.model)
        # ONNX Runtime, which is always there, tells what the file says of itself: one reader for both backends.
        session = open_session(model.path, "cpu", 1)
        io, metadata = session_signature(model.path, session), session.get_modelmeta().custom_metadata_map
        del session
        request = compiled(model.path, match.device, match.threads).create_infer_request()

        def run(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
            found = request.infer(inputs, share_inputs=True)
            return [found[name] for name in outputs]

        super().__init__(model, "openvino", io, metadata, run)


def compiled(path: Path, device: str, threads: int) -> openvino.CompiledModel:
    """The network, ready to run. threads: 0 for one a core that this process may use. Raises ModelError, MissingExtra."""
    try:
        import openvino
    except ImportError:
        raise MissingExtra("the openvino backend", "openvino") from None
    core = openvino.Core()
    target = device_name(device, core.available_devices)
    settings: dict[str, str | int | bool] = {"PERFORMANCE_HINT": "LATENCY"}
    if not target.startswith("NPU"):  # which has no FP32, and refuses to be asked for it
        # Left alone it would compute in bf16 where the CPU can, with 1.4 % of the pixels off by more than 1 px.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if target == "CPU":
        settings["INFERENCE_NUM_THREADS"] = threads or usable_cores()
        settings["ENABLE_CPU_PINNING"] = False  # two processes, as process --jobs starts them, would share the first cores
    try:
        return core.compile_model(core.read_model(path), target, settings)
    except Exception as e:  # OpenVINO raises RuntimeError and its kin
        raise ModelError(f"{path}: OpenVINO cannot take this network ({_reason(e)}); run it with --backend onnx") from None


def device_name(device: str, available: Sequence[str]) -> str:
    """OpenVINO's own name of a device, of those it sees. Raises ModelError."""
    kind, _, number = device.partition(":")
    if device in ("auto", "cpu"):
        return "CPU"
    if kind not in ("gpu", "npu") or not (number or "0").isdecimal():
        raise ModelError(f"the device '{device}' is not known to the openvino backend; use auto, cpu, gpu, gpu:N or npu")
    # One of a kind has no number; gpu alone, and gpu:0, are the first of several.
    for name in (kind.upper(), f"{kind.upper()}.{number or 0}"):
        if name in available and (name != kind.upper() or int(number or 0) == 0):
            return name
    raise ModelError(f"the device '{device}' is not there; OpenVINO sees {', '.join(available)}; use --device cpu")


def _reason(error: Exception) -> str:
    """OpenVINO's messages begin with where in its source they were raised."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return first_line(RuntimeError(lines[0])) if lines else first_line(error)
