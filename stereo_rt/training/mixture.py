"""MixedStream: several streams in turn, each as often as its weight says."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .batch import Batch, Stream


class MixedStream:
    """A Stream whose step is a batch of one of the streams. weights: positive, one a stream; only their ratios count.

    Turns are spread evenly (a weight of 1 in 4 comes every fourth step), and each stream counts its own steps without
    a gap. Raises ValueError for weights that do not fit.
    """

    def __init__(self, streams: Sequence[Stream], weights: Sequence[float]) -> None:
        if not streams or len(streams) != len(weights) or not all(w > 0 for w in weights):
            raise ValueError(f"{len(streams)} streams want as many positive weights, not {list(weights)}")
        exact = [Fraction(w).limit_denominator(10_000) for w in weights]
        # The share of each stream in the steps that those before it leave over.
        self._turns = [(stream, exact[i] / sum(exact[i:])) for i, stream in enumerate(streams)]

    def batch(self, step: int) -> Batch:
        for stream, share in self._turns:
            before, after = int(step * share), int((step + 1) * share)
            if after > before:
                return stream.batch(before)
            step -= before
        raise AssertionError("the last stream takes every step that is left")
