"""FittedMatcher: a shipped network on whichever of its two grids suits the frames."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..frames import Disparity
from .base import Matcher, NetworkTimer
from .models import Twin

log = logging.getLogger(__name__)


class FittedMatcher:
    """Matches with `own`, and wide frames, which would leave much of its grid empty, with its twin.

    make_twin: opens the matcher of the twin. It is called for the first wide frame; where that fails (an engine may be built
    for one grid only), `own` takes them all.
    """

    def __init__(self, own: Matcher, twin: Twin, make_twin: Callable[[], Matcher]) -> None:
        self._own, self._name, self._make_twin = own, twin.name, make_twin
        self._twin: Matcher | None = None
        self._latest = own
        self.spec = replace(own.spec, wide=twin.size)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        self.prepare((left.shape[1], left.shape[0]))
        return self._latest(left, right)

    def prepare(self, frame_size: tuple[int, int]) -> None:
        """See Preparing."""
        self._latest = self._wide() if self.spec.grid_for(frame_size) == self.spec.wide else self._own

    def _wide(self) -> Matcher:
        if self._twin is None:
            try:
                self._twin = self._make_twin()
                log.info("wide frames: matched on the grid of %s", self._name)
            except StereoError as e:
                log.warning("%s; %s takes the wide frames on its own grid", e, self.spec.name)
                self._twin, self.spec = self._own, self._own.spec
        return self._twin

    def network_ms(self, repeats: int) -> list[float]:
        """See NetworkTimer: of the network that the latest frame asked for."""
        assert isinstance(self._latest, NetworkTimer)
        return self._latest.network_ms(repeats)

    @property
    def engine_key(self) -> str | None:
        return getattr(self._latest, "engine_key", None)

    def close(self) -> None:
        self._own.close()
        if self._twin is not None and self._twin is not self._own:
            self._twin.close()
