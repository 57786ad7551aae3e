"""NVIDIA GPUs through NVML (nvidia-ml-py, in the extra [telemetry])."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

MB = 1 << 20


def probes() -> list[Callable[[], dict[str, float]]]:
    """One for each GPU; none without the package or the driver."""
    nvml = _start()
    return [] if nvml is None else [GpuProbe(nvml, k) for k in range(nvml.nvmlDeviceGetCount())]


def versions() -> dict[str, str]:
    """Of the driver, and the newest CUDA that it serves; empty where NVML cannot be asked."""
    nvml = _start()
    if nvml is None:
        return {}
    cuda, driver = nvml.nvmlSystemGetCudaDriverVersion_v2(), nvml.nvmlSystemGetDriverVersion()
    return {
        "nvidia_driver": driver.decode() if isinstance(driver, bytes) else driver,
        "cuda_driver": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


class GpuProbe:
    """Readings of one GPU. nvml: the pynvml module, initialised. Whatever a board does not support is left out."""

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml, self._index = nvml, index
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def __call__(self) -> dict[str, float]:
        nvml, handle = self._nvml, self._handle
        queries: dict[str, Callable[[], float]] = {
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "load_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory_mb": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / MB,
            "own_memory_mb": lambda: sum(self._own_bytes()) / MB,
        }
        found = {}
        for name, query in queries.items():
            with suppress(nvml.NVMLError, TypeError):  # TypeError: None where a virtual machine hides a value
                found[f"gpu{self._index}_{name}"] = float(query())
        return found

    def _own_bytes(self) -> Iterator[int]:
        """Of this process; nothing is said where a container hides the process numbers."""
        own = [p for p in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle) if p.pid == os.getpid()]
        if not own:
            raise TypeError("not listed")
        return (process.usedGpuMemory for process in own)


def _start() -> Any:
    """The pynvml module, ready; None without the package, the driver, or a GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
