"""Plan: how frames of one size become pairs on the working grid; Planned: a stream's frames, whose size may change."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import CalibrationError
from .frames import StereoFrame
from .geometry import RectifiedRig
from .matchers.base import MatcherSpec
from .timing import StageTimer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How frames of one size become pairs on the working grid. rectify is None where they are on it already.

    warnings: what the user should know of this plan, a sentence each.
    """

    rig: RectifiedRig
    rectify: Callable[[StereoFrame], StereoFrame] | None = None
    warnings: tuple[str, ...] = ()


Planner = Callable[[tuple[int, int], MatcherSpec], Plan]
"""(frame size (width, height), matcher) -> Plan. Raises CalibrationError where the sizes do not go together."""

Inspector = Callable[[StereoFrame], Sequence[str] | None]
"""Looks at rectified frames until it has an opinion: None asks for another frame, a list of warnings ends it."""


def scaled_note(calibrated: tuple[int, int], frames: tuple[int, int]) -> str:
    """What is taken for granted where a camera's frames have another (width, height) than those it was calibrated with."""
    sizes = ["{}x{}".format(*size) for size in (calibrated, frames)]
    return (
        f"calibrated at {sizes[0]}, frames are {sizes[1]}: depth is right only if the camera sees the same field at both "
        f"(many crop it); to be sure, calibrate at {sizes[1]}"
    )


class Planned:
    """Rectifies the frames of a stream; the planner is asked once for every size, the inspector sees the first frames.

    patient: frames of a new size that do not fit the calibration are passed over, for a camera that comes back so; otherwise
    they raise. detail: why frames are passed over just now, or "". warnings: the plan's, and what the inspector found.
    """

    def __init__(self, planner: Planner, inspect: Inspector | None, patient: bool) -> None:
        self._planner, self._patient = planner, patient
        self._unused, self._inspect = inspect, copy.deepcopy(inspect)  # an inspector gathers: each look takes a fresh one
        self._plan: Plan | None = None
        self._size: tuple[int, int] | None = None
        self.detail = ""
        self._found: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return (self._plan.warnings if self._plan is not None else ()) + self._found

    def rectified(
        self, frame: StereoFrame, spec: MatcherSpec, stage_ms: dict[str, float]
    ) -> tuple[StereoFrame, RectifiedRig, dict[str, float]] | None:
        """The frame on the working grid, its rig, and stage_ms with the time it took; None for one that is passed over.

        Raises CalibrationError.
        """
        if frame.size != self._size or self._plan is None:
            fresh = self._replanned(frame.size, spec)
            if fresh is None:
                return None
            self._plan, self._size = fresh, frame.size
        self.detail = ""
        timer = StageTimer(stage_ms)
        if self._plan.rectify is not None:
            with timer.stage("rectify"):
                frame = self._plan.rectify(frame)
        self._look(frame)
        return frame, self._plan.rig, timer.stage_ms

    def look_again(self) -> None:
        """The camera was connected anew, and two may have come back exchanged: the inspector sees the next frames."""
        self._inspect = copy.deepcopy(self._unused)

    def _replanned(self, size: tuple[int, int], spec: MatcherSpec) -> Plan | None:
        try:
            plan = self._planner(size, spec)
        except CalibrationError as e:
            if self._plan is None or not self._patient:
                raise
            self.detail = str(e)
            return None
        if self._plan is not None:
            log.warning("the frames are now %dx%d", *size)
        for sentence in plan.warnings:
            log.warning("%s", sentence)
        return plan

    def _look(self, frame: StereoFrame) -> None:
        opinion = self._inspect(frame) if self._inspect is not None else None
        if opinion is not None:
            self._inspect = None
            self._found = tuple(opinion)
            for sentence in opinion:
                log.warning("%s", sentence)
