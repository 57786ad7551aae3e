"""Matchers: a rectified pair in, disparity and confidence out. One module a backend, loaded only when asked for."""

from __future__ import annotations

import logging
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from ..config import MatchConfig
from ..errors import StereoError
from .base import Matcher, MatcherSpec
from .fitted import FittedMatcher
from .models import twins

__all__ = ["Matcher", "MatcherSpec", "create_matcher"]

log = logging.getLogger(__name__)
_BACKENDS = {
    "onnx": ("onnx", "OnnxMatcher"),
    "openvino": ("openvino", "OpenVinoMatcher"),
    "tensorrt": ("tensorrt", "TensorRTMatcher"),
    "torch": ("torch", "TorchMatcher"),
    "sgbm": ("sgbm", "SgbmMatcher"),
}
_ONE_GRID = ("onnx", "openvino", "tensorrt")
"""Backends whose files are bound to one grid."""


def create_matcher(match: MatchConfig) -> Matcher:
    """The matcher that the settings ask for. Raises ModelError, MissingExtra; CheckFailed for an engine that is not used."""
    if match.backend == "auto":
        return _automatic(match)
    others = twins(match.model) if match.backend in _ONE_GRID else ()
    return FittedMatcher(_open(match), others, partial(_open, match)) if others else _open(match)


def _open(match: MatchConfig, model: str | None = None) -> Matcher:
    """model: another network than the settings name."""
    if model is not None:
        match = match.model_copy(update={"model": model})
    module, name = _BACKENDS[match.backend]
    return getattr(import_module(f".{module}", __name__), name)(match)


def _automatic(match: MatchConfig) -> Matcher:
    """TensorRT where an engine for exactly this network and GPU is at hand, else ONNX Runtime."""
    reason = _why_not_tensorrt(match.device)
    if reason is None:
        try:
            return create_matcher(match.model_copy(update={"backend": "tensorrt"}))
        except StereoError as e:
            log.warning("%s; ONNX Runtime is used instead", e)
    else:
        log.info("ONNX Runtime matches, not TensorRT: %s", reason)
    return create_matcher(match.model_copy(update={"backend": "onnx"}))


def _why_not_tensorrt(device: str) -> str | None:
    """What is missing for it, found without loading anything; None when all is there."""
    from ..engine.cuda import device_index
    from ..engine.gpu import find_gpu
    from ..engine.jetson import install

    if device == "cpu":
        return "the device is the CPU"
    try:
        index = device_index(device)
    except StereoError as e:
        return str(e)
    if (gpu := find_gpu(index)) is None:
        return "there is no NVIDIA GPU here"
    from ..engine.flavour import available

    if not available():
        return f"it is not installed, and {gpu.name} could use it: {install()}"
    return None if find_spec("pycuda") else f"PyCUDA is not installed, and {gpu.name} could use it: pip install pycuda"
