"""The protocol every source of stereo pairs follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from ..frames import StereoFrame

if TYPE_CHECKING:
    from ..calib.rig import StereoRig
    from ..geometry import RectifiedRig

SourceState = Literal["ok", "stale", "ended"]


@dataclass(frozen=True)
class SourceStatus:
    """state: 'ok' while frames come, 'stale' while a lost camera is being re-opened, 'ended' after the last frame."""

    state: SourceState = "ok"
    detail: str = ""
    reopened: int = 0
    unpaired: int = 0
    """Single images given up because the other eye had none within max_skew_ms."""


@runtime_checkable
class Source(Protocol):
    """Delivers pairs in order of time.

    live: a camera or stream, whose frames lose value with age; otherwise a recording, of which none may be lost.
    size: (width, height) of one eye. fps, length: None where unknown.
    calibration: what the source itself knows of its geometry (the synthetic camera, a recording with calibration).
    """

    name: str
    live: bool
    size: tuple[int, int]
    fps: float | None
    length: int | None
    calibration: StereoRig | RectifiedRig | None

    @property
    def status(self) -> SourceStatus: ...

    def read(self, timeout_s: float) -> StereoFrame | None:
        """The next pair; None at the end of a recording.

        Raises SourceTimeout when nothing came in time (call again), SourceError when there is no going on.
        """
        ...

    def close(self) -> None: ...
