"""The parity gate: an engine must give what ONNX Runtime gives in FP32, or it is not used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..matchers.cores import usable_cores
from .parity import true_pairs

MAX_MEDIAN_PX = 0.02
MAX_P99_PX = 0.5
MAX_CONFIDENCE_P99 = 0.02
"""Mixed precision is 0.0002 px, 0.06 px and 0.001 away from FP32 (ONNX Runtime on a CPU, student_s, these pairs): near ties
between two matches flip here and there, everything else stays. The limits leave ten times that and more; FP16 that went wrong,
with overflow or wavy depth, is far beyond them."""

Run = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""left, right (H, W, 3) uint8 BGR -> disparity in px and confidence, (H, W) float32 each: what an engine does."""


@dataclass(frozen=True)
class Parity:
    """|difference| between an engine and ONNX Runtime over all pixels of the rendered pairs; gpu: where the engine ran.

    missing: pixels, in percent, that have a number in one of them only.
    """

    gpu: str
    median_px: float
    p99_px: float
    confidence_p99: float
    missing: float

    @property
    def holds(self) -> bool:
        close = self.median_px <= MAX_MEDIAN_PX and self.p99_px <= MAX_P99_PX and self.confidence_p99 <= MAX_CONFIDENCE_P99
        return close and self.missing == 0

    def __str__(self) -> str:
        if self.missing:
            return f"{self.missing:.2g} % of the values are not numbers"
        return f"median {self.median_px:.4f} px, p99 {self.p99_px:.3f} px, confidence p99 {self.confidence_p99:.4f}"


LIMITS = Parity("", MAX_MEDIAN_PX, MAX_P99_PX, MAX_CONFIDENCE_P99, 0.0)


def onnx_run(graph: bytes) -> Run:
    """A wrapped graph (wrapped.py) in ONNX Runtime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        disparity, confidence = session.run(["disparity", "confidence"], {"left": left[None], "right": right[None]})
        return disparity[0, 0], confidence[0, 0]

    return run


def measure(reference: Run, candidate: Run, size: tuple[int, int], gpu: str) -> Parity:
    """Compare on the rendered pairs of parity.py, of (width, height)."""
    pixels = [(_pixels(pair.left), _pixels(pair.right)) for pair in true_pairs(size)]
    # An engine may hand out its own buffers, which the next pair overwrites.
    first, second = (np.array([np.stack(run(*pair)) for pair in pixels]) for run in (reference, candidate))
    numbers = np.isfinite(first), np.isfinite(second)
    both = numbers[0].all(axis=1) & numbers[1].all(axis=1)
    missing = float((numbers[0] != numbers[1]).any(axis=1).mean() * 100)
    if not both.any():
        return Parity(gpu, np.inf, np.inf, np.inf, missing or 100.0)
    apart = np.abs(first - second).transpose(1, 0, 2, 3)[:, both]
    median, p99 = np.percentile(apart[0], (50, 99))
    return Parity(gpu, float(median), float(p99), float(np.percentile(apart[1], 99)), missing)


def _pixels(tensor: np.ndarray) -> np.ndarray:
    """(1, 3, H, W) float32 RGB in [0, 1] -> (H, W, 3) uint8 BGR, exactly what it was made from."""
    return np.ascontiguousarray(np.rint(tensor[0, ::-1] * 255).astype(np.uint8).transpose(1, 2, 0))
