"""The protocol every consumer of results follows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..frames import DepthResult, StereoFrame


@runtime_checkable
class Sink(Protocol):
    """Runs on a thread of its own, behind a channel of its own.

    lossless: True for files (every frame arrives, the loop waits if it must), False for viewers (the newest only).
    """

    name: str
    lossless: bool

    def write(self, result: DepthResult) -> None: ...

    def close(self) -> None:
        """Finish what is being written. Called once, also after an error elsewhere; whole files stay behind."""
        ...


class FrameSink(Protocol):
    """Sees every captured pair before rectification: a recorder. Runs behind a channel of its own, which loses nothing."""

    def write(self, frame: StereoFrame) -> None: ...

    def close(self) -> None: ...
