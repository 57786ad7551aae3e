"""CUDA graphs: what a stream is given once, replayed by a single launch. PyCUDA has no calls for it, so ctypes makes them.

A network of a thousand small kernels is bound by launching them one by one; a graph launches them together.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

LIBRARY = "libcuda.so.1"
THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile, such as allocate, does not end the capture."""

_HANDLE = ctypes.c_void_p
_OUT = ctypes.POINTER(_HANDLE)
CALLS = {
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
    "cuCtxGetCurrent": (_OUT,),
    "cuCtxPopCurrent_v2": (_OUT,),
    "cuGetErrorName": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
}
"""The driver's functions that are used here, and their arguments. All are in CUDA 11.4 (JetPack 5) and later."""


class CudaError(RuntimeError):
    """A call of the CUDA driver failed; the message names the call and CUDA's own name of the error."""


class CudaGraph:
    """A recording of a stream's work, bound to the buffers that it was made with. Use and close it on one thread."""

    def __init__(self, stream: int, work: Callable[[], None]) -> None:
        """Record what work() gives to the stream (its CUstream handle); nothing runs yet. Raises CudaError.

        Whatever work() raises comes through; the stream is usable again either way.
        """
        self._stream, graph, self._replay = stream, _HANDLE(), _HANDLE()
        call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
        try:
            work()
        except BaseException:
            driver().cuStreamEndCapture(stream, ctypes.byref(graph))  # its complaint would hide what work() raised
            if graph:
                call("cuGraphDestroy", graph)
            raise
        call("cuStreamEndCapture", stream, ctypes.byref(graph))
        try:
            call("cuGraphInstantiateWithFlags", ctypes.byref(self._replay), graph, 0)
        finally:
            call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Give the stream everything that was recorded; returns at once. Raises CudaError."""
        call("cuGraphLaunch", self._replay, self._stream)

    def close(self) -> None:
        replay, self._replay = self._replay, _HANDLE()
        if replay:
            call("cuGraphExecDestroy", replay)


def current_context() -> int | None:
    """The CUDA context of this thread; None where it has none."""
    context = _HANDLE()
    call("cuCtxGetCurrent", ctypes.byref(context))
    return context.value


def pop_context() -> None:
    call("cuCtxPopCurrent_v2", ctypes.byref(_HANDLE()))


def call(function: str, *arguments: object) -> None:
    """Call a function of CALLS. Raises CudaError."""
    if code := getattr(driver(), function)(*arguments):
        name = ctypes.c_char_p()
        driver().cuGetErrorName(code, ctypes.byref(name))
        raise CudaError(f"{function}: {name.value.decode() if name.value else code}")


@cache
def driver() -> ctypes.CDLL:
    """NVIDIA's driver library. Raises CudaError where there is none, or where it is too old."""
    try:
        library = ctypes.CDLL(LIBRARY)
        for name, arguments in CALLS.items():
            getattr(library, name).argtypes = arguments
    except (OSError, AttributeError) as e:
        raise CudaError(f"NVIDIA's driver is missing or too old ({e})") from None
    return library
