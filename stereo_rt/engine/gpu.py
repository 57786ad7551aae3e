"""Which NVIDIA GPU is here, asked of the driver itself: no package is needed, and no context is made on the GPU."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

from .jetson import board

_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76
"""CUdevice_attribute numbers, from the CUDA driver API: a part of the computer's own chip; the compute capability."""


@dataclass(frozen=True)
class Gpu:
    """name: as the driver says it, and the board's with it where the GPU is a part of one: the driver calls every Orin "Orin".

    compute_capability: such as '8.9'. index: N of cuda:N.
    """

    name: str
    compute_capability: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"

    @property
    def alone(self) -> str:
        """What stands before a command that takes the first GPU it sees, so that it takes this one; '' for the first."""
        if self.index == 0:
            return ""
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        return f"CUDA_VISIBLE_DEVICES={seen[self.index] if self.index < len(seen) else self.index} "


def find_gpu(index: int = 0) -> Gpu | None:
    """GPU number `index`; None where there is no driver or no such GPU."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, integrated, major, minor = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(256)
    if (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), index)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(integrated), _INTEGRATED, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    ):
        return None
    names = (name.value.decode(errors="replace"), board() if integrated.value else None)
    return Gpu(", ".join(filter(None, names)), f"{major.value}.{minor.value}", index)
