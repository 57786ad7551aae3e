"""Matching points of natural features, gathered on the rectified grid from many frames of a source."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CalibrationError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from ..plan import scaled_note
from .probe import Probe, match_corners, summarise
from .rectify import Rectifier, rectify_rig
from .rig import StereoRig

if TYPE_CHECKING:
    from ..sources.base import Source

log = logging.getLogger(__name__)
FRAMES = 600
LOOKS = 100
"""Frames looked at, evenly among those read: neighbours show the same things."""
EXCHANGED = 3
"""Looks that are also tried with the eyes exchanged."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """looks: (N, 4) matches of each frame looked at, as probe.match_corners gives them, on `grid`.

    exchanged: what a few looks say when left and right are exchanged before they are rectified.
    """

    looks: tuple[np.ndarray, ...]
    exchanged: Probe
    grid: RectifiedRig


def gather(
    source: Source,
    calibration: StereoRig | RectifiedRig,
    *,
    alpha: float = 0.0,
    skip: int = 0,
    frames: int | None = None,
    timeout_s: float = 2.0,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Gathered:
    """Look at up to LOOKS of the first `frames` (600 where not said) frames after `skip`.

    Raises CalibrationError when there is no frame or the calibration does not fit their size; SourceError.
    """
    if calibration.size != source.size:
        log.log(logging.WARNING if source.live else logging.INFO, "%s", scaled_note(calibration.size, source.size))
        calibration = calibration.scaled(*source.size)
    rectify: Rectifier | None = None
    if isinstance(calibration, StereoRig):
        rectify = Rectifier(rectify_rig(calibration, alpha=alpha))
        grid = rectify.rectification.rig
    else:
        grid = calibration
    known = source.length - skip if source.length is not None else None
    count = min(n for n in (frames or FRAMES, known) if n is not None)
    stride = max(1, -(-count // LOOKS))
    looks: list[np.ndarray] = []
    exchanged: list[np.ndarray] = []
    for index in range(skip + count):
        frame = source.read(timeout_s)
        if frame is None:
            break
        if index < skip or (index - skip) % stride:
            continue
        looks.append(_matches(frame, rectify))
        if len(exchanged) < EXCHANGED:
            exchanged.append(_matches(replace(frame, left=frame.right, right=frame.left), rectify))
        progress(index + 1 - skip, count)
    if not looks:
        raise CalibrationError(f"{source.name}: has no frame after the first {skip}; pass a smaller --skip")
    return Gathered(tuple(looks), summarise(np.concatenate(exchanged), grid.size), grid)


def _matches(frame: StereoFrame, rectify: Rectifier | None) -> np.ndarray:
    frame = frame if rectify is None else rectify(frame)
    return match_corners(frame.left, frame.right)
