"""OnnxMatcher: a network in ONNX Runtime, on any CPU, or on a GPU where onnxruntime-gpu is installed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import MatchConfig
from ..errors import ModelError
from .cores import usable_cores
from .file import FileMatcher, first_line
from .models import Signature, find_model, signature

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)


class OnnxMatcher(FileMatcher):
    """Runs match.model on match.device: 'auto', 'cpu', 'cuda' or 'cuda:N'. Raises ModelError."""

    def __init__(self, match: MatchConfig) -> None:
        model = find_model(match.model)
        session = open_session(model.path, match.device, match.threads)
        metadata = session.get_modelmeta().custom_metadata_map
        super().__init__(
            model,
            "onnx",
            session_signature(model.path, session),
            metadata,
            lambda inputs, outputs: session.run(outputs, inputs),
        )


def open_session(path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session. threads: 0 for one a core that this process may use. Raises ModelError."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait by spinning take the cores from capture, rectification and the viewers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = providers(device, ort.get_available_providers())
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as e:  # ONNX Runtime's exceptions share no base of their own
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({first_line(e)}); check that it is a whole ONNX file") from None
    if session.get_providers()[0] == "CPUExecutionProvider" and wanted[0] != "CPUExecutionProvider":
        if device != "auto":
            raise ModelError(f"the device '{device}' did not start; see stereo-rt doctor, or use --device cpu")
        log.warning("the GPU did not start in ONNX Runtime; running on the CPU (see stereo-rt doctor)")
    return session


def providers(device: str, available: list[str]) -> list[Any]:
    """ONNX Runtime's execution providers for a device, best first. Raises ModelError when it has none for it."""
    kind, _, number = device.partition(":")
    cuda = ("CUDAExecutionProvider", {"device_id": number or "0"})
    if kind == "cpu" or (kind == "auto" and cuda[0] not in available):
        return ["CPUExecutionProvider"]
    if kind not in ("auto", "cuda") or not (number or "0").isdecimal():
        raise ModelError(f"the device '{device}' is not known to the onnx backend; use auto, cpu, cuda or cuda:N")
    if cuda[0] not in available:
        raise ModelError(
            f"the device '{device}' needs an ONNX Runtime with CUDA; install it with: "
            "pip uninstall onnxruntime; pip install onnxruntime-gpu (or use --device cpu)"
        )
    return [cuda, "CPUExecutionProvider"]


def session_signature(path: Path, session: onnxruntime.InferenceSession) -> Signature:
    inputs, outputs = ([(t.name, t.shape) for t in ts] for ts in (session.get_inputs(), session.get_outputs()))
    return signature(path, inputs, outputs)
