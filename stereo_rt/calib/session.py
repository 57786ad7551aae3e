"""CaptureSession: a camera, the judge and the folder, run on a thread; the window or page shows its picture and commands it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ConfigError, SourceTimeout
from ..sources.base import Source
from ..versions import Versioned
from .boards import Board
from .capture import Capture, Judge, Look
from .guide import draw

MESSAGE_S = 3.0
COMMANDS = ("take", "undo", "auto", "finish")


class CaptureSession(Versioned):
    """Takes pairs by itself while `auto`, and on command. Runs until the source ends, finish, or so many frames.

    say: prints a line for each pair taken or given up. run() raises what went wrong.
    """

    def __init__(
        self,
        source: Source,
        board: Board,
        folder: Path,
        *,
        say: Callable[[str], None],
        timeout_s: float = 2.0,
        max_frames: int | None = None,
        stop_when_enough: bool = False,
    ) -> None:
        super().__init__()
        self.capture = Capture(folder, board, source.name)
        self.auto = True
        self.look: Look | None = None
        self._source, self._judge = source, Judge(board)
        self._say, self._timeout_s, self._max_frames = say, timeout_s, max_frames
        self._stop_when_enough = stop_when_enough
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._message, self._message_s = "", 0.0

    @property
    def finished(self) -> bool:
        return self._finished.is_set()

    @property
    def message(self) -> str:
        return self._message if time.monotonic() - self._message_s < MESSAGE_S else ""

    def run(self) -> None:
        """Judge frames until the end. Raises StereoError."""
        count = 0
        try:
            while not self.finished and count != self._max_frames:
                try:
                    frame = self._source.read(self._timeout_s)
                except SourceTimeout as e:
                    self._tell(str(e))
                    continue
                if frame is None:
                    break
                count += 1
                look = self._judge(frame, self.capture.kept)
                with self._lock:
                    self.look = look
                    if self.auto and all(look.gates.values()):
                        self._take(look)
                self.touch()
                if self._stop_when_enough and self.capture.kept.enough:
                    break
        finally:
            self._source.close()
            self.finish()

    def take(self) -> None:
        """Keep the newest pair though it may be nothing new; not when an eye does not see the board or it is blurred."""
        with self._lock:
            look = self.look
            if look is None or not look.good:
                self._tell(f"not taken: {look.hint if look else 'there is no picture yet'}")
            else:
                self._take(look)
        self.touch()

    def undo(self) -> None:
        with self._lock:
            gone = self.capture.undo()
            self._tell(f"gave up pair {gone}" if gone else "there is nothing to give up")
        self.touch()

    def finish(self) -> None:
        self._finished.set()
        self.touch()

    def control(self, changes: Mapping[str, Any]) -> None:
        """One of COMMANDS, as {"command": name}. Raises ConfigError for anything else; StereoError as the command does."""
        name = changes.get("command")
        if name not in COMMANDS or len(changes) != 1:
            raise ConfigError(f'the commands are {", ".join(COMMANDS)}, as in {{"command": "take"}}')
        if name == "auto":
            self.auto = not self.auto
            self._tell("takes pairs by itself" if self.auto else "takes pairs on command only")
            self.touch()
        else:
            {"take": self.take, "undo": self.undo, "finish": self.finish}[name]()

    def describe(self) -> dict[str, Any]:
        """Plain values for the page and for scripts."""
        look = self.look
        return {
            "pairs": len(self.capture),
            "bars": self.capture.kept.bars,
            "enough": self.capture.kept.enough,
            "gates": look.gates if look else {},
            "hint": look.hint if look else "",
            "message": self.message,
            "auto": self.auto,
            "finished": self.finished,
            "folder": str(self.capture.folder),
        }

    def picture(self) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR; None before the first frame."""
        with self._lock:
            return draw(self.look, self.capture, self.message) if self.look is not None else None

    def jpeg(self) -> bytes | None:
        image = self.picture()
        return None if image is None else cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes()

    def _take(self, look: Look) -> None:
        self.capture.take(look)
        self._tell(f"took pair {len(self.capture) - 1:03d}")

    def _tell(self, text: str) -> None:
        if text != self._message or not self.message:
            self._say(text)
        self._message, self._message_s = text, time.monotonic()
