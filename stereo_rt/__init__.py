"""Real-time stereo depth with a measured confidence: any two cameras, any GPU or none."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "config",
    "DepthResult": "frames",
    "Disparity": "frames",
    "Pipeline": "pipeline",
    "RectifiedRig": "geometry",
    "StereoError": "errors",
    "StereoFrame": "frames",
    "StereoRig": "calib.rig",
    "create_matcher": "matchers",
    "open_source": "sources",
    "read_calibration": "calib.formats",
}
__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    """Public names load on first use, so that importing the package costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
