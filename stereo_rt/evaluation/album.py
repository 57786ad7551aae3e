"""The pictures of a report, made while the maps are in memory: a report of thirty scenes never holds thirty scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pictures import Ramp, error_ramp, named_ramp, photo
from .report import Matched

ERROR_LIMIT_PX = 5.0
CONFIDENCE = named_ramp(0, 1, "gray")
ERROR = error_ramp(ERROR_LIMIT_PX)


@dataclass(frozen=True)
class Picture:
    """source: a data URI. ramp: what its colours mean, None for a photograph."""

    title: str
    source: str
    ramp: Ramp | None = None
    unit: str = ""


class Album:
    """An observer of `evaluate`. given, found: by scene, the pictures of what is known and of what the matcher said."""

    def __init__(self) -> None:
        self.given: dict[str, list[Picture]] = {}
        self.found: dict[str, list[Picture]] = {}

    def __call__(self, matched: Matched) -> None:
        name, truth, found = matched.scene.name, matched.given.truth_px, matched.found
        low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
        ramp = named_ramp(low, max(high, low + 1), "turbo")
        self.given[name] = [
            Picture("Left image", photo(matched.given.left)),
            Picture("True disparity", ramp.picture(truth), ramp, "px"),
        ]
        self.found[name] = [
            Picture("disparity", ramp.picture(found.disparity_px), ramp, "px"),
            Picture("error, estimate minus truth", ERROR.picture(found.disparity_px - truth), ERROR, "px"),
            Picture("confidence", CONFIDENCE.picture(found.confidence), CONFIDENCE),
        ]
