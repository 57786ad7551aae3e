"""PyCUDA, held by one thread: the device's primary context, memory that both sides reach, and what comes of failures.

The primary context is the one that torch and every other library on CUDA's runtime use: in a context of its own, PyCUDA's
buffers would be strangers to them. A context is current on one thread at a time: PyCUDA wants the one that retained it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ModelError
from . import replay


def pycuda() -> Any:
    """PyCUDA's driver module, initialised. Raises ModelError: not installed, or no NVIDIA driver."""
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError:
        raise ModelError(
            "running an engine needs PyCUDA, which is not installed; with a CUDA toolkit there: pip install pycuda "
            "(or use --backend onnx)"
        ) from None
    except ImportError as e:  # its library asks for the driver's
        raise ModelError(f"PyCUDA does not load ({e}); see stereo-rt doctor, or use --backend onnx") from None
    with explained("CUDA does not start"):
        cuda.init()
    return cuda


def device_index(device: str) -> int:
    """'auto' and 'cuda' are the first GPU, 'cuda:N' is GPU N. Raises ModelError."""
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or not (number or "0").isdecimal() or (kind == "auto" and number):
        raise ModelError(f"the device '{device}' is not known to the tensorrt backend; use auto, cuda or cuda:N")
    return int(number or 0)


class PrimaryContext:
    """A device's primary context, retained until close(). `with` makes it current on this thread, as often as need be.

    So engines on several GPUs, torch, and whatever else a thread uses leave each other's contexts alone.
    """

    def __init__(self, index: int) -> None:
        """index: N of cuda:N. Raises ModelError."""
        cuda = pycuda()
        if index >= (count := cuda.Device.count()):
            raise ModelError(f"there is no device cuda:{index}; this machine has {count}, counted from 0")
        with explained(f"the GPU cuda:{index} does not start"):
            self._context = cuda.Device(index).retain_primary_context()

    def __enter__(self) -> None:
        self._context.push()

    def __exit__(self, *_: object) -> None:
        self._context.pop()

    def close(self) -> None:
        """Release it. PyCUDA leaves the released context on the thread's stack, where it may be dead: it is taken off again.

        Raises ModelError.
        """
        with explained("the GPU was not released well"):
            before = replay.current_context()
            self._context.detach()
            if replay.current_context() != before:
                replay.pop_context()


@contextmanager
def explained(what: str) -> Iterator[None]:
    """CUDA's failures, as one sentence. Raises ModelError."""
    import pycuda.driver as cuda

    try:
        yield
    except cuda.MemoryError:
        raise ModelError(f"{what}: the GPU's memory is full; close other programs, or use --backend onnx") from None
    except (cuda.Error, replay.CudaError) as e:
        raise ModelError(f"{what} ({e}); see stereo-rt doctor, or use --backend onnx") from None
