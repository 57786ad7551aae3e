"""OnnxMatcher: a network in ONNX Runtime, on any CPU, or on a GPU where onnxruntime-gpu is installed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import MatchConfig
from ..errors import ModelError
from ..frames import Disparity
from ..timing import timed_ms
from .base import MatcherSpec
from .cores import usable_cores
from .grid import Grid
from .models import Signature, find_model, signature
from .tensors import clean_outputs, fill_input

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)


class OnnxMatcher:
    """Runs match.model on match.device: 'auto', 'cpu', 'cuda' or 'cuda:N'. Raises ModelError."""

    def __init__(self, match: MatchConfig) -> None:
        model = find_model(match.model)
        self._session = open_session(model.path, match.device, match.threads)
        self._io = session_signature(model.path, self._session)
        shape = (1, 3, self._io.height, self._io.width)
        self._inputs = {self._io.left: np.empty(shape, np.float32), self._io.right: np.empty(shape, np.float32)}
        self._outputs = [self._io.disparity] + ([self._io.confidence] if self._io.confidence else [])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = MatcherSpec(
            name=model.name,
            backend="onnx",
            width=self._io.width,
            height=self._io.height,
            max_disparity_px=float(metadata.get("max_disparity_px", self._io.width)),
            has_confidence=self._io.confidence is not None,
            sha256=model.sha256,
        )

        black = np.zeros((self._io.height, self._io.width), np.uint8)
        try:
            self(black, black)  # the first run is slow; better here than on the first frame
        except Exception as e:
            raise ModelError(f"{model.path}: does not run as a stereo network ({_first_line(e)}); check the file") from None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        grid = Grid((left.shape[1], left.shape[0]), (self._io.width, self._io.height))
        fill_input(grid.enter(left), self._inputs[self._io.left])
        fill_input(grid.enter(right), self._inputs[self._io.right])
        maps = [m.reshape(self._io.height, self._io.width) for m in self._session.run(self._outputs, self._inputs)]
        return grid.leave(*clean_outputs(maps[0], maps[1] if len(maps) > 1 else None))

    def network_ms(self, repeats: int) -> list[float]:
        """See NetworkTimer. On a GPU this includes ONNX Runtime's own copies."""
        return [timed_ms(lambda: self._session.run(self._outputs, self._inputs)) for _ in range(repeats)]

    def close(self) -> None:
        self._inputs.clear()
        del self._session


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
        raise ModelError(
            f"{path}: ONNX Runtime cannot load it ({_first_line(e)}); check that it is a whole ONNX file"
        ) from None
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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160]
