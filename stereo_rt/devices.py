"""Where torch computes: the device that was asked for, and how precisely it is fast there. Needs torch."""

from __future__ import annotations

import os

import torch

from .errors import ModelError


def choose_device(name: str) -> torch.device:
    """'auto' takes CUDA, then Apple's GPU (mps), then the CPU; or a device by its name. Raises ModelError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError):  # unknown name, or a torch built without it
        raise ModelError(f"the device '{name}' does not work in torch here; use --device auto or cpu") from None
    return chosen


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is in the hardware. Emulated on a CPU, it is several times slower than FP32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch has no public name for this, and the private ones come and go.
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(probe() for probe in probes if probe is not None)


def make_deterministic(device: torch.device) -> None:
    """The same numbers from the same calls, wherever torch has a way; operators that have none warn. Before their use."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow, and no use here
        torch.set_float32_matmul_precision("high")


def describe_device(device: torch.device) -> str:
    """For records of what a network was trained on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
