"""Matchers: a rectified pair in, disparity and confidence out. One module a backend, loaded only when asked for."""

from __future__ import annotations

from importlib import import_module

from ..config import MatchConfig
from ..errors import ModelError
from .base import Matcher, MatcherSpec

__all__ = ["Matcher", "MatcherSpec", "create_matcher"]

_BACKENDS = {
    "auto": ("onnx", "OnnxMatcher"),
    "onnx": ("onnx", "OnnxMatcher"),
    "torch": ("torch", "TorchMatcher"),
    "sgbm": ("sgbm", "SgbmMatcher"),
}


def create_matcher(match: MatchConfig) -> Matcher:
    """The matcher that the settings ask for. Raises ModelError, MissingExtra."""
    if match.backend not in _BACKENDS:
        raise ModelError(f"the {match.backend} backend is not part of this version; use --backend onnx")
    module, name = _BACKENDS[match.backend]
    return getattr(import_module(f".{module}", __name__), name)(match)
