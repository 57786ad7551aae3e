"""FileMatcher: a network file that some runtime has opened; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import ModelError
from ..frames import Disparity
from ..timing import timed_ms
from .base import MatcherSpec
from .grid import Grid
from .models import ModelFile, Signature
from .tensors import clean_outputs, fill_input

Run = Callable[[Mapping[str, np.ndarray], Sequence[str]], Sequence[np.ndarray]]
"""(inputs by name, names of outputs) -> those outputs, in arrays that later runs leave alone."""


class FileMatcher:
    """Matches with whatever runs the file. metadata: what the file says of itself. Raises ModelError when it does not run."""

    def __init__(self, model: ModelFile, backend: str, io: Signature, metadata: Mapping[str, str], run: Run) -> None:
        self._io, self._run = io, run
        shape = (1, 3, io.height, io.width)
        self._inputs = {io.left: np.empty(shape, np.float32), io.right: np.empty(shape, np.float32)}
        self._outputs = [io.disparity] + ([io.confidence] if io.confidence else [])
        self.spec = MatcherSpec(
            name=model.name,
            backend=backend,
            width=io.width,
            height=io.height,
            max_disparity_px=float(metadata.get("max_disparity_px", io.width)),
            has_confidence=io.confidence is not None,
            sha256=model.sha256,
        )

        black = np.zeros((io.height, io.width), np.uint8)
        try:
            self(black, black)  # the first run is slow; better here than on the first frame
        except Exception as e:
            raise ModelError(f"{model.path}: does not run as a stereo network ({first_line(e)}); check the file") from None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        grid = Grid((left.shape[1], left.shape[0]), (self._io.width, self._io.height))
        fill_input(grid.enter(left), self._inputs[self._io.left])
        fill_input(grid.enter(right), self._inputs[self._io.right])
        maps = [m.reshape(self._io.height, self._io.width) for m in self._run(self._inputs, self._outputs)]
        return grid.leave(*clean_outputs(maps[0], maps[1] if len(maps) > 1 else None))

    def network_ms(self, repeats: int) -> list[float]:
        """See NetworkTimer. On a GPU this includes the runtime's own copies."""
        return [timed_ms(lambda: self._run(self._inputs, self._outputs)) for _ in range(repeats)]

    def close(self) -> None:
        self._inputs.clear()
        del self._run


def first_line(error: Exception) -> str:
    """What a runtime says, short enough for a sentence of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
