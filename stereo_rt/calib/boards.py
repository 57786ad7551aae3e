"""Boards: the calibration targets, their points, and how one is named on the command line or kept as YAML.

    chessboard:9x6:0.025                     9x6 inner corners, as OpenCV counts; squares of 25 mm
    charuco:8x11:0.02:0.015:DICT_5X5_250     8x11 squares of 20 mm; markers of 15 mm; their dictionary
    aprilgrid:6x6:0.0286:0.022               6x6 tags of 22 mm, one every 28.6 mm, laid out as Kalibr prints them
    circles:4x11:0.02                        asymmetric, as OpenCV counts; the next row is 20 mm lower
    FILE.yaml                                written by write_board

Every board lies in its own plane z = 0 with x to the right and y down, as printed, and z away from who looks at it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import yaml

from ..atomic import write_bytes
from ..errors import CalibrationError, UsageError
from .formats.document import load
from .formats.fields import Fields

Kind = Literal["chessboard", "charuco", "aprilgrid", "circles"]
KINDS: tuple[str, ...] = get_args(Kind)
DICTIONARIES = {"charuco": "DICT_5X5_250", "aprilgrid": "DICT_APRILTAG_36h11"}
"""The kinds that have markers, and the dictionary each takes when none is named."""
MARKER_SHARE = {"charuco": 0.75, "aprilgrid": 1 / 1.3}
"""Marker size over square size when none is given; 1.3 is Kalibr's usual tag and gap."""
LARGEST_M = 5.0
UNKNOWN_SQUARE = 1.0
"""A square of this size stands for one that nobody measured: lengths of the rig are then in squares."""
EXAMPLE = "chessboard:9x6:0.025 (9x6 inner corners, squares of 25 mm)"
FORMAT = "stereo_rt board"


@dataclass(frozen=True)
class Board:
    """One target. Raises CalibrationError when its numbers fit no board.

    columns, rows: inner corners of a chessboard; squares of a ChArUco; tags of an AprilGrid; circles in a row and rows of
    an asymmetric grid. square_m: side of a square; from a tag to the next; from a row of circles to the next.
    marker_m: side of a marker's black square. dictionary: OpenCV's name of the markers' dictionary.
    """

    kind: Kind
    columns: int
    rows: int
    square_m: float
    marker_m: float | None = None
    dictionary: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CalibrationError(f"'{self.kind}' is no kind of board; known are {', '.join(KINDS)}")
        least = 1 if self.kind == "aprilgrid" else 2 if self.kind == "circles" else 3
        if not (least <= self.columns <= 100 and least <= self.rows <= 100):
            raise CalibrationError(f"a {self.kind} of {self.columns}x{self.rows} is not possible; each side has {least} to 100")
        if not 0 < self.square_m < math.inf:
            raise CalibrationError(f"a square of {self.square_m:g} m is not possible; measure one on the print, in metres")
        if self.square_m > LARGEST_M:
            raise CalibrationError(
                f"a square of {self.square_m:g} m is too large; sizes are in metres, so perhaps {self.square_m / 1000:g}"
            )
        if self.kind not in DICTIONARIES:
            if self.marker_m is not None or self.dictionary is not None:
                raise CalibrationError(f"a {self.kind} has no markers; leave their size and dictionary out")
            return
        object.__setattr__(self, "dictionary", self.dictionary or DICTIONARIES[self.kind])
        if self.marker_m is None:
            object.__setattr__(self, "marker_m", self.square_m * MARKER_SHARE[self.kind])
        assert self.marker_m is not None
        if not 0 < self.marker_m < self.square_m:
            raise CalibrationError(f"markers of {self.marker_m:g} m do not fit into squares of {self.square_m:g} m")
        self._check_dictionary()

    def _check_dictionary(self) -> None:
        if not str(self.dictionary).startswith("DICT_") or not hasattr(cv2.aruco, str(self.dictionary)):
            raise CalibrationError(f"there is no marker dictionary '{self.dictionary}'; OpenCV's are named like DICT_5X5_250")
        has = len(self.markers.bytesList)
        if self.marker_count > has:
            raise CalibrationError(
                f"the board has {self.marker_count} markers and {self.dictionary} only {has}; take a larger dictionary"
            )

    @property
    def markers(self) -> cv2.aruco.Dictionary:
        """The markers' dictionary."""
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, str(self.dictionary)))

    @property
    def marker_count(self) -> int:
        count = self.columns * self.rows
        return {"charuco": count // 2, "aprilgrid": count}.get(self.kind, 0)

    @property
    def unit(self) -> str:
        """Of lengths of a rig that is solved with it."""
        return "squares" if self.square_m == UNKNOWN_SQUARE else "m"

    @property
    def points_m(self) -> np.ndarray:
        """(N, 3) float64 of all points; the index is the point's id.

        Row by row from the top left for chessboard and circles (first one at 0, 0) and ChArUco (first inner corner at one
        square, one square). AprilGrid: 4 * tag + corner, tags counted from the bottom left as Kalibr does, corners in the
        order in which OpenCV finds them: bottom right, bottom left, top left, top right of the tag as printed.
        """
        if self.kind == "aprilgrid":
            tag = np.arange(self.columns * self.rows)
            place = np.stack([tag % self.columns, self.rows - 1 - tag // self.columns], axis=-1) * self.square_m
            corners = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * self.marker_m
            plane = (place[:, None] + corners).reshape(-1, 2)
        else:
            columns, rows = (self.columns - 1, self.rows - 1) if self.kind == "charuco" else (self.columns, self.rows)
            y, x = np.divmod(np.arange(columns * rows), columns)
            if self.kind == "circles":
                x = 2 * x + y % 2
            plane = (np.stack([x, y], axis=-1) + (1 if self.kind == "charuco" else 0)) * self.square_m
        return np.pad(plane.astype(np.float64), ((0, 0), (0, 1)))

    def __str__(self) -> str:
        """As parse_board reads it."""
        parts: list[str] = [self.kind, f"{self.columns}x{self.rows}", f"{self.square_m:.9g}"]
        if self.marker_m is not None:
            parts += [f"{self.marker_m:.9g}", str(self.dictionary)]
        return ":".join(parts)


def parse_board(text: str) -> Board:
    """The board that a user named: KIND:COLUMNSxROWS:SQUARE_M[:MARKER_M[:DICTIONARY]] or a YAML file.

    Raises UsageError for a name that is none, CalibrationError for a file that holds no board.
    """
    if text.lower().endswith((".yaml", ".yml")):
        return read_board(Path(text))
    number = r"[0-9.]+(?:e-?[0-9]+)?"
    found = re.fullmatch(rf"(\w+):(\d{{1,3}})x(\d{{1,3}}):({number})(?::({number})(?::(\w+))?)?", text.strip(), re.ASCII)
    if found is None:
        sized = re.fullmatch(r"\w+:\d+x\d+", text.strip())
        why = "says no size of its squares; add it in metres, or :1 where it is unknown" if sized else "names no board"
        raise UsageError(f"--board {text}: {why}; expected a YAML file or {EXAMPLE}")
    kind, columns, rows, square, marker, dictionary = found.groups()
    try:
        return Board(kind, int(columns), int(rows), float(square), marker and float(marker), dictionary)  # type: ignore[arg-type]
    except (CalibrationError, ValueError) as e:
        raise UsageError(f"--board {text}: {e}") from None


def read_board(path: Path) -> Board:
    """The board in a YAML file. Raises CalibrationError: one sentence that names the file."""
    try:
        tree = Fields(load(path).tree)
        if tree.tree.get("format") != FORMAT:
            raise CalibrationError("describes no board; make one with: stereo-rt calibrate board")
        sizes: dict[str, Any] = {"square_m": tree.number("square_m")}
        if "marker_m" in tree:
            sizes["marker_m"] = tree.number("marker_m")
        if "dictionary" in tree:
            sizes["dictionary"] = tree.text("dictionary")
        return Board(tree.text("kind"), tree.integer("columns"), tree.integer("rows"), **sizes)  # type: ignore[arg-type]
    except CalibrationError as e:
        raise CalibrationError(f"{path}: {e}") from None


def write_board(board: Board, path: Path) -> None:
    """Write the board as YAML: the whole file or none. Raises OutputError."""
    tree = {"format": FORMAT, "version": 1} | {f.name: getattr(board, f.name) for f in fields(board)}
    present = {key: value for key, value in tree.items() if value is not None}
    write_bytes(path, yaml.safe_dump(present, sort_keys=False).encode())
