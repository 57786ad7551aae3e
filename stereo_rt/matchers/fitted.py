"""FittedMatcher: a shipped network on whichever of its grids suits the frames."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..frames import Disparity
from .base import Matcher, NetworkTimer
from .models import Twin

log = logging.getLogger(__name__)


class FittedMatcher:
    """Matches with `own`, and frames of other shapes, which would leave a part of its grid empty, with the twin they fill best.

    open_twin: opens the matcher of a twin, by its name. It is called for the first frame that suits the twin; where that fails
    (an engine may be built for one grid only), no more twins are opened.
    """

    def __init__(self, own: Matcher, twins: Iterable[Twin], open_twin: Callable[[str], Matcher]) -> None:
        self._own, self._open_twin = own, open_twin
        self._names = {twin.size: twin.name for twin in twins}
        self._opened: dict[tuple[int, int], Matcher] = {}
        self._latest = own
        self.spec = replace(own.spec, others=tuple(self._names))

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        self.prepare((left.shape[1], left.shape[0]))
        return self._latest(left, right)

    def prepare(self, frame_size: tuple[int, int]) -> None:
        """See Preparing."""
        size = self.spec.grid_for(frame_size)
        if size in self._names and size not in self._opened:
            self._open(size, frame_size)
            size = self.spec.grid_for(frame_size)
        self._latest = self._opened.get(size, self._own) if size else self._own

    def _open(self, size: tuple[int, int], frame_size: tuple[int, int]) -> None:
        """Either the twin is open after this, or those that are open are all that there will be."""
        try:
            self._opened[size] = self._open_twin(self._names[size])
            log.info("frames of %dx%d: matched on the grid of %s", *frame_size, self._names[size])
        except StereoError as e:
            self.spec = replace(self.spec, others=tuple(self._opened))
            log.warning("%s; %s takes frames of %dx%d on the best grid that it has", e, self.spec.name, *frame_size)

    def network_ms(self, repeats: int) -> list[float]:
        """See NetworkTimer: of the network that the latest frame asked for."""
        assert isinstance(self._latest, NetworkTimer)
        return self._latest.network_ms(repeats)

    @property
    def engine_key(self) -> str | None:
        return getattr(self._latest, "engine_key", None)

    def close(self) -> None:
        for matcher in (self._own, *self._opened.values()):
            matcher.close()
