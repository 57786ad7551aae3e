"""Capture: decides which pairs of a stream are worth calibrating with, and keeps them without loss.

DIR/left/000.png, DIR/right/000.png, ...    the pairs, numbered in the order of their capture
DIR/board.yaml                              the board that was filmed
DIR/manifest.json                           source, and of each pair: index in the source, stamp, sharpness, skew
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..atomic import write_bytes
from ..errors import OutputError
from ..frames import StereoFrame
from ..sinks.manifest import refuse_filled
from .boards import Board, write_board
from .detect import LEAST_POINTS, Detection, detect, same_way_up
from .diversity import NOTHING, Kept

GATES = ("seen", "sharp", "still", "in step", "new")
SHARP = 0.13
"""Least sharpness (see detect.sharpness_of): edges blurred by 3 px."""
STILL_PX_S = 0.05
"""Fastest motion, in image widths a second."""
STEP_PX = 0.25
"""Farthest that the board may move between the exposures of the two eyes."""


@dataclass(frozen=True, eq=False)
class Look:
    """One frame, judged. gates: by name of GATES; a pair is taken when all are open. novelty: see Kept.novelty."""

    frame: StereoFrame
    left: Detection | None
    right: Detection | None
    gates: dict[str, bool]
    speed_px_s: float = float("nan")
    novelty: float = 0.0

    @property
    def good(self) -> bool:
        """Fit to calibrate with, be it new or not."""
        return all(is_open for name, is_open in self.gates.items() if name != "new")

    @property
    def hint(self) -> str:
        """What to do, for the first gate that is shut."""
        shut = next((name for name in GATES if not self.gates[name]), None)
        if shut == "seen":
            eyes = [name for name, seen in (("left", self.left), ("right", self.right)) if seen is None]
            if not eyes:
                return "the eyes see different parts of the board: farther away, or more to the middle"
            return "show the board to both eyes" if len(eyes) == 2 else f"the {eyes[0]} eye does not see the board"
        hints = {
            "sharp": "blurred: focus, more light, or hold it still",
            "still": "hold it still",
            "in step": "the eyes are not in step: hold it stiller, or synchronise the cameras",
            "new": "nothing new here: another place, nearer or farther, or tilt it",
        }
        return hints.get(shut or "", "")


class Judge:
    """Looks at the frames of one stream in their order."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._eyes = ThreadPoolExecutor(2, "stereo_rt eye")
        self._before: tuple[Detection, int] | None = None

    def __call__(self, frame: StereoFrame, kept: Kept) -> Look:
        left, right = self._eyes.map(lambda image: detect(self._board, image, quick=True), (frame.left, frame.right))
        speed = self._speed(left, frame.stamp_ns)
        self._before = (left, frame.stamp_ns) if left is not None else None
        if left is None or right is None:
            return Look(frame, left, right, dict.fromkeys(GATES, False), speed)
        right = same_way_up(self._board, left, right)
        novelty = kept.novelty(self._board, left, right)
        gates = {
            "seen": len(np.intersect1d(left.ids, right.ids)) >= LEAST_POINTS,
            "sharp": min(left.sharpness, right.sharpness) >= SHARP,
            "still": speed <= STILL_PX_S * left.size[0],
            "in step": abs(frame.skew_ns) / 1e9 * np.nan_to_num(speed) <= STEP_PX,
            "new": novelty >= 1,
        }
        return Look(frame, left, right, {name: bool(is_open) for name, is_open in gates.items()}, speed, novelty)

    def _speed(self, seen: Detection | None, stamp_ns: int) -> float:
        """Median speed of the points since the frame before, in px/s; NaN, which is not still, without one."""
        if seen is None or self._before is None:
            return float("nan")
        before, before_ns = self._before
        _, here, there = np.intersect1d(seen.ids, before.ids, return_indices=True)
        passed_s = (stamp_ns - before_ns) / 1e9
        if not len(here) or passed_s <= 0:
            return float("nan")
        moved = np.linalg.norm(seen.corners_px[here] - before.corners_px[there], axis=1)
        return float(np.median(moved)) / passed_s


class Capture:
    """The pairs kept in `folder`, which must be new or empty. Raises OutputError."""

    def __init__(self, folder: Path, board: Board, source: str) -> None:
        try:
            refuse_filled(folder)
        except OutputError:
            raise OutputError(f"{folder}: is not a new or empty folder; choose another for this capture") from None
        self.folder, self.board, self._source = folder, board, source
        self.kept: Kept = NOTHING
        self._entries: list[dict[str, object]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, look: Look) -> None:
        """Keep a pair in which both eyes see the board. Raises OutputError."""
        assert look.left is not None and look.right is not None
        name = f"{len(self):03d}.png"
        for eye, image in (("left", look.frame.left), ("right", look.frame.right)):
            write_bytes(self.folder / eye / name, cv2.imencode(".png", image)[1].data)
        entry = {
            "file": name,
            "index": look.frame.index,
            "stamp_ns": look.frame.stamp_ns,
            "skew_ns": look.frame.skew_ns,
            "points": [len(look.left.ids), len(look.right.ids)],
            "sharpness": [round(look.left.sharpness, 3), round(look.right.sharpness, 3)],
        }
        self._entries.append(entry)
        self.kept = self.kept.plus(self.board, look.left, look.right)
        self._record()

    def undo(self) -> str | None:
        """Give up the pair taken last; its number, or None without one. Raises OutputError."""
        if not self._entries:
            return None
        name = str(self._entries.pop()["file"])
        self.kept = self.kept.without_last()
        self._record()
        for eye in ("left", "right"):
            (self.folder / eye / name).unlink(missing_ok=True)
        return name.removesuffix(".png")

    @property
    def command(self) -> str:
        """What to run next."""
        d = self.folder
        return f"stereo-rt calibrate solve {d / 'left'} {d / 'right'} --board {d / 'board.yaml'} -o {d / 'rig.yaml'}"

    def _record(self) -> None:
        if len(self) == 1:
            write_board(self.board, self.folder / "board.yaml")
        bars = {name: round(share, 3) for name, share in self.kept.bars.items()}
        tree = {
            "format": "stereo_rt capture",
            "version": 1,
            "source": self._source,
            "board": str(self.board),
            "bars": bars,
            "pairs": self._entries,
        }
        write_bytes(self.folder / "manifest.json", json.dumps(tree, indent=1).encode())
