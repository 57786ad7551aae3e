"""Viewer: what the window and the web page share - the newest result, the display's settings, and the user's commands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from . import render
from .config import Fraction, PostConfig, Range, Section, ViewConfig
from .errors import ConfigError, StereoError
from .frames import DepthResult, Disparity, StereoFrame
from .post import Post
from .sinks.recorder import Recorder
from .sinks.snapshot import snapshot
from .status import Status
from .versions import Versioned

MESSAGE_S = 6.0
"""How long a message such as 'saved ...' stays."""
FARTHEST_M = 1000.0
"""Largest limit that the keys set."""


class Loop(Protocol):
    """What a viewer asks of the pipeline."""

    post_config: PostConfig
    paused: bool

    def status(self) -> Status: ...

    def step(self) -> None: ...

    def stop(self) -> None: ...


class Control(Section):
    """What a user may change while it runs; None leaves a thing as it is.

    range_m: depth that is kept, and what the colours span. step, snapshot: do it once. record: start or stop.
    """

    min_confidence: Fraction | None = None
    range_m: Range | None = None
    colormap: Literal["turbo", "viridis", "magma", "gray"] | None = None
    paused: bool | None = None
    step: bool = False
    snapshot: bool = False
    record: bool | None = None


class Viewer(Versioned):
    """A sink that keeps the newest result, and the commands that act on it. All methods may be called from any thread.

    recorder: takes part as a frame sink of the same loop. folder: where snapshots and recordings go.
    """

    name = "viewer"
    lossless = False

    def __init__(self, view: ViewConfig, recorder: Recorder | None = None, folder: Path | None = None) -> None:
        super().__init__()
        self.view = view
        self.recorder = recorder or Recorder()
        self.folder = folder or Path()
        self._loop: Loop | None = None
        self._result: DepthResult | None = None
        self._received_s = 0.0
        self._message, self._message_s = "", 0.0

    # -- as a sink ---------------------------------------------------------------------------------------------------

    def write(self, result: DepthResult) -> None:
        with self._changed:
            self._result, self._received_s = result, time.monotonic()
            self._bump()

    def close(self) -> None:
        """The last result stays, to be looked at."""

    # -- what is shown -----------------------------------------------------------------------------------------------

    @property
    def loop(self) -> Loop:
        """The pipeline this viewer belongs to; assign it before showing."""
        if self._loop is None:
            raise RuntimeError("viewer.loop was not assigned")
        return self._loop

    @loop.setter
    def loop(self, loop: Loop) -> None:
        self._loop = loop

    @property
    def result(self) -> DepthResult | None:
        return self._result

    @property
    def silent_s(self) -> float:
        """Seconds since the newest result came; infinite before the first."""
        return time.monotonic() - self._received_s if self._result is not None else float("inf")

    @property
    def message(self) -> str:
        """The newest message, for a few seconds."""
        return self._message if time.monotonic() - self._message_s < MESSAGE_S else ""

    @property
    def notes(self) -> list[str]:
        """What is told beside the figures: how the recording goes, and the newest message."""
        path, left_out = self.recorder.path, self.recorder.dropped
        lost = f" ({left_out} left out)" if left_out else ""
        recording = f"recording to {path}, {self.recorder.written} pairs{lost}" if path else ""
        return [text for text in (recording, self.message) if text]

    def status(self) -> Status:
        """The loop's status; what broke the newest recording is among its warnings."""
        status, broken = self.loop.status(), self.recorder.error
        return replace(status, warnings=(*status.warnings, str(broken))) if broken else status

    def note(self, text: str) -> None:
        self._message, self._message_s = text, time.monotonic()

    # -- commands ----------------------------------------------------------------------------------------------------

    def control(self, changes: Mapping[str, Any]) -> None:
        """Apply the fields of a Control. Raises ConfigError naming the wrong one; then nothing has changed."""
        try:
            wanted = Control.model_validate(changes)
        except ValidationError as e:
            raise ConfigError(_sentence(e)) from None
        post = {k: getattr(wanted, k) for k in ("min_confidence", "range_m") if getattr(wanted, k) is not None}
        view = {k: getattr(wanted, k) for k in ("range_m", "colormap") if getattr(wanted, k) is not None}
        with self._changed:
            self.view = self.view.model_copy(update=view)  # first: results within the new range are coloured by it
            if post:
                self.loop.post_config = self.loop.post_config.model_copy(update=post)
                self._result = self._result and remasked(self._result, self.loop.post_config)
            self._bump()
        if wanted.paused is not None:
            self.loop.paused = wanted.paused
        if wanted.step:
            self.step()
        if wanted.snapshot:
            self.save_snapshot()
        if wanted.record is not None and wanted.record != self.recording:
            self.toggle_record()

    def toggle_pause(self) -> None:
        self.loop.paused = not self.loop.paused

    def step(self) -> None:
        """One frame, and pause."""
        if not self.loop.paused:
            self.loop.paused = True
        self.loop.step()

    def save_snapshot(self) -> None:
        if (result := self._result) is None:
            self.note("no frame to save yet")
        else:
            self._told(lambda: "saved " + ", ".join(p.name for p in snapshot(result, self.view, self.folder)))

    @property
    def recording(self) -> bool:
        return self.recorder.path is not None

    def toggle_record(self) -> None:
        self._told(self.recorder.stop if self.recording else lambda: f"recording to {self.recorder.start(self._new_take())}")

    def _new_take(self) -> Path:
        """Where the next recording goes: named by the time, and by a number where two begin in one second."""
        stem = time.strftime("stereo-%Y%m%d-%H%M%S")
        numbers = chain([""], (f"-{k}" for k in count(2)))
        return next(path for number in numbers if not (path := self.folder / f"{stem}{number}.mkv").exists())

    def next_colormap(self) -> None:
        at = render.COLORMAPS.index(self.view.colormap)
        self.control({"colormap": render.COLORMAPS[(at + 1) % len(render.COLORMAPS)]})

    def change_threshold(self, by: float) -> None:
        value = round(min(1.0, max(0.0, self.loop.post_config.min_confidence + by)), 2)
        self.control({"min_confidence": value})
        self.note(f"confidence >= {value:g}")

    def change_range(self, factor: float) -> None:
        """Bring the far end of the kept range nearer or push it out, beyond FARTHEST_M to no limit at all."""
        near, kept_far = self.loop.post_config.range_m
        # From no limit, nearer begins where the colours end: the first press changes something that is seen.
        far = self._farthest_shown_m if factor < 1 and math.isinf(kept_far) else kept_far
        far = max(near + 0.1, round(far * factor, 1)) if far * factor <= FARTHEST_M else math.inf
        if far != kept_far:
            self.control({"range_m": (near, far)})
        self.note(f"range {near:g} to {far:g} m" if math.isfinite(far) else f"range from {near:g} m, no limit")

    @property
    def _farthest_shown_m(self) -> float:
        """Where the depth colours end."""
        rig = self._result.rig if self._result is not None else None
        return render.scales(self.view, rig)["depth"].cold if rig is not None and rig.metric else self.view.range_m[1]

    def _told(self, command: Callable[[], str]) -> None:
        """Run a command and show what it says, or why it could not."""
        try:
            self.note(command())
        except StereoError as e:
            self.note(str(e))


@dataclass(frozen=True)
class Key:
    """A key of the window: its names, what it does in words, the command, and whether it goes on while the key is held."""

    names: tuple[str, ...]
    help: str
    command: Callable[[Viewer], None]
    repeats: bool = False


KEYS = (
    Key(("space",), "pause, and go on", Viewer.toggle_pause),
    Key(("s", "."), "one frame further", Viewer.step, repeats=True),
    Key(("p",), "save a snapshot", Viewer.save_snapshot),
    Key(("r",), "record, and stop recording", Viewer.toggle_record),
    Key(("c",), "next colour map", Viewer.next_colormap),
    Key(("up", "+", "="), "keep only surer pixels", lambda v: v.change_threshold(0.05), repeats=True),
    Key(("down", "-"), "keep less sure pixels too", lambda v: v.change_threshold(-0.05), repeats=True),
    Key(("]",), "see farther", lambda v: v.change_range(1.25), repeats=True),
    Key(("[",), "see less far", lambda v: v.change_range(0.8), repeats=True),
)


def remasked(result: DepthResult, config: PostConfig) -> DepthResult:
    """The same frame under other thresholds, so that they show at once, also while paused or after the end.

    The left-right check needs the other eye's map, which is gone: it takes part again from the next frame on.
    """
    disparity_px = result.disparity_px
    if result.filled is not None:
        disparity_px = disparity_px.copy()
        disparity_px[result.filled] = float("nan")
    frame = StereoFrame(result.left, result.left, result.index, result.stamp_ns, result.skew_ns, result.arrived_ns)
    post = Post(config.model_copy(update={"temporal": 0.0}))
    return post(Disparity(disparity_px, result.confidence), frame, result.rig, result.stage_ms, mono=result.mono)


def _sentence(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = str(problem["loc"][0]) if problem["loc"] else "it"
    if problem["type"] == "extra_forbidden":
        return f"there is no control '{name[:40]}'; there are: {', '.join(Control.model_fields)}"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"'{name}' is wrong: {reason[:1].lower()}{reason[1:]}"
