"""An engine, loaded and ready: buffers allocated once, one stream, the network replayed as a CUDA graph. Needs PyCUDA.

Named tensors only (set_tensor_address, execute_async_v3): the same calls serve TensorRT 8.5 to 11 and TensorRT-RTX.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, suppress

import numpy as np

from ..errors import ModelError
from . import jit
from .cache import Entry
from .cuda import PrimaryContext, explained, pycuda
from .flavour import load
from .replay import CudaError, CudaGraph
from .sidecar import INPUTS, OUTPUTS

log = logging.getLogger(__name__)


class LoadedEngine:
    """One engine of ours (wrapped.py) on one GPU. The thread that makes it also calls and closes it.

    images: the left and the right image, (H, W, 3) uint8 BGR each, in page-locked memory: write a pair here.
    maps: disparity in px and confidence, (H, W) float32 each, page-locked as well; infer() overwrites them.
    """

    def __init__(self, entry: Entry, device: int = 0, *, cuda_graph: bool = True) -> None:
        """entry: an undamaged one for this GPU (build.py: find_engine). device: N of cuda:N.

        Raises ModelError; whatever was opened before that is closed again.
        """
        self._name, self._owner = entry.sidecar.model, threading.current_thread()
        self._cuda, self._gpu = pycuda(), PrimaryContext(device)
        try:
            with explained(f"{self._name}: its engine does not start on cuda:{device}"), self._gpu:
                self._open(entry, cuda_graph)
        except BaseException:
            with suppress(ModelError):  # what went wrong first is what is told
                self._gpu.close()
            raise

    def _open(self, entry: Entry, cuda_graph: bool) -> None:
        flavour, (width, height) = load(entry.sidecar.key.flavour), entry.sidecar.key.size
        with ExitStack() as opened:
            opened.callback(self._forget)
            self._engine = flavour.open(entry.engine.read_bytes(), self._name)
            self._context, self._kernels = jit.execution(flavour, self._engine, entry.engine, cuda_graph)
            if self._context is None:
                raise ModelError(f"{self._name}: the GPU has no room for its engine; close other programs")
            self._stream = self._cuda.Stream()
            image, depth = ((height, width, 3), np.uint8), ((height, width), np.float32)
            arrays, self._memory = [], []
            for tensor, (shape, dtype) in zip(INPUTS + OUTPUTS, (image, image, depth, depth), strict=True):
                array = self._cuda.pagelocked_empty(shape, dtype)
                opened.callback(array.base.free)
                memory = self._cuda.mem_alloc(array.nbytes)
                opened.callback(memory.free)
                self._context.set_tensor_address(tensor, int(memory))
                arrays.append(array)
                self._memory.append(memory)
            self.images, self.maps = arrays[:2], arrays[2:]
            self._run = self._enqueue
            black = np.zeros_like(self.images[0])
            self(black, black)  # the first run sets things up, which a recording must not meet
            if self._kernels is not None:
                jit.keep(self._kernels, entry.engine)
            if cuda_graph and not jit.replays_itself(flavour) and (graph := self._recorded()):
                opened.callback(graph.close)
                self._run = graph.launch
            self._opened = opened.pop_all()

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 BGR each, of the engine's own size -> maps, which the next call overwrites. Raises ModelError."""
        np.copyto(self.images[0], left)
        self.upload_left()
        np.copyto(self.images[1], right)
        self.infer()
        return self.maps[0], self.maps[1]

    def upload_left(self) -> None:
        """Start copying images[0] to the GPU; returns at once, so that images[1] is prepared meanwhile."""
        self._check_thread()
        with explained(f"{self._name}: the GPU failed"), self._gpu:
            self._upload(0)

    def infer(self) -> None:
        """Copy images[1], run the network, copy the maps back; returns when they are there. Raises ModelError."""
        self._check_thread()
        with explained(f"{self._name}: the GPU failed"), self._gpu:
            self._upload(1)
            self._run()
            for array, memory in zip(self.maps, self._memory[2:], strict=True):
                self._cuda.memcpy_dtoh_async(array, memory, self._stream)
            self._stream.synchronize()

    def network_ms(self, repeats: int) -> list[float]:
        """Milliseconds that the GPU takes for the network, by CUDA events, on images that lie there; no copies."""
        self._check_thread()
        times_ms = []
        with explained(f"{self._name}: the GPU failed"), self._gpu:
            start, end = self._cuda.Event(), self._cuda.Event()
            for _ in range(repeats):
                start.record(self._stream)
                self._run()
                end.record(self._stream)
                end.synchronize()
                times_ms.append(start.time_till(end))
        return times_ms

    def close(self) -> None:
        """Free everything, the latest first; images and maps are gone then, also for those who kept them."""
        self._check_thread()
        gpu = self._gpu
        try:
            with explained(f"{self._name}: its engine did not end well"), gpu:
                self._opened.close()
        finally:
            gpu.close()

    def _upload(self, eye: int) -> None:
        self._cuda.memcpy_htod_async(self._memory[eye], self.images[eye], self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise ModelError(f"{self._name}: TensorRT could not run its engine; see the lines above, or use --backend onnx")

    def _recorded(self) -> CudaGraph | None:
        try:
            return CudaGraph(self._stream.handle, self._enqueue)
        except (CudaError, ModelError) as e:
            log.warning("%s: no CUDA graph can be made of it (%s); its kernels are launched one by one", self._name, e)
            return None

    def _check_thread(self) -> None:
        if (here := threading.current_thread()) is not self._owner:
            raise ModelError(
                f"the engine belongs to the thread '{self._owner.name}', where its CUDA context is, and was used from "
                f"'{here.name}'; create, call and close a matcher on one thread"
            )

    def _forget(self) -> None:
        """TensorRT's and PyCUDA's objects have no close; they go with the last reference."""
        for name in ("_run", "images", "maps", "_memory", "_stream", "_kernels", "_context", "_engine"):
            self.__dict__.pop(name, None)
