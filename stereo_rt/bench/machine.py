"""What the figures were measured on: processor, GPU, and the version of everything that takes part."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..engine.cuda import device_index
from ..engine.gpu import Gpu, find_gpu
from ..errors import ModelError
from ..telemetry import versions

PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "tensorrt_rtx": ("tensorrt-rtx",),
    "openvino": ("openvino",),
    "pycuda": ("pycuda",),
    "torch": ("torch",),
}


def machine(device: str = "auto") -> dict[str, Any]:
    """Plain values; what is not installed is left out. gpu: the one of match.device, or the first; None where it is absent."""
    import cv2
    import numpy as np

    found: dict[str, Any] = {"python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__}
    for name, distributions in PACKAGES.items():
        if version := next((v for d in distributions if (v := _version(d))), None):
            found[name] = version
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = _gpu(device)
    where = {"system": platform.platform(), "cpu": _cpu(), "cores": cores, "gpu": str(gpu) if gpu else None}
    return {**where, "stereo_rt": __version__, **found, **versions()}


def peak_memory_mb() -> float:
    """The most memory this process has held so far."""
    unit = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024


def load() -> float | None:
    """Processes that wanted to run, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _gpu(device: str) -> Gpu | None:
    try:
        return find_gpu(device_index(device))
    except ModelError:  # no name of CUDA's
        return find_gpu()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
