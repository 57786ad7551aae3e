"""Fields: typed access to a tree of values that a stranger wrote. Whatever is wrong becomes a CalibrationError."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CalibrationError

LARGEST = 1e9
"""No length, pixel or coefficient of a real camera comes near; larger numbers overflow in products."""
LARGEST_IMAGE = 32767
"""OpenCV's maps hold 16-bit pixels."""
OFF_CENTER = 0.15
"""Principal points lie nearer to the middle, as a share of the image's width or height; images resized to 3/4 do not."""


@dataclass(frozen=True)
class Fields:
    """A mapping and the dotted name it has in its file, for messages."""

    tree: Mapping[Any, Any]
    where: str = ""

    def __contains__(self, key: str) -> bool:
        return self.tree.get(key) is not None

    def value(self, key: str) -> Any:
        if key not in self:
            raise CalibrationError(f"'{self.where}{key}' is missing; the file looks truncated")
        return self.tree[key]

    def section(self, key: str) -> Fields:
        value = self.value(key)
        if not isinstance(value, Mapping):
            raise CalibrationError(f"'{self.where}{key}' must be a section with keys of its own")
        return Fields(value, f"{self.where}{key}.")

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            raise CalibrationError(f"'{self.where}{key}' must be text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        if default is not None and key not in self:
            return default
        return _number(self.value(key), self.where + key)

    def numbers(self, key: str, *counts: int) -> np.ndarray:
        """A flat (N,) float64 array from a list, or a list of lists, of N numbers; N is one of counts (any when none)."""
        value = self.value(key)
        rows = value if isinstance(value, (list, tuple)) else [value]
        flat = [v for row in rows[:100] for v in (row[:100] if isinstance(row, (list, tuple)) else [row])]
        if (counts and len(flat) not in counts) or len(rows) > 100:
            wanted = " or ".join(map(str, counts)) or "fewer"
            raise CalibrationError(
                f"'{self.where}{key}' holds {len(flat)} numbers instead of {wanted}; the file looks truncated"
            )
        return np.array([_number(v, self.where + key) for v in flat], np.float64)

    def integer(self, key: str) -> int:
        return whole(self.number(key), self.where + key)

    def size(self, key: str) -> tuple[int, int]:
        """(width, height) from a list of two."""
        width, height = self.numbers(key, 2)
        return pixels(width, self.where + key), pixels(height, self.where + key)


def whole(value: float, name: str) -> int:
    if value != round(value):
        raise CalibrationError(f"'{name}' is {value:g} and must be a whole number")
    return int(value)


def pixels(value: float, name: str) -> int:
    """A width or a height."""
    if not 1 <= value <= LARGEST_IMAGE:
        raise CalibrationError(f"'{name}' is {value:g} and must be an image size in pixels, 1 to {LARGEST_IMAGE}")
    return whole(value, name)


def fits_frames(K: np.ndarray, frame_size: tuple[int, int], line: str) -> None:
    """Raise CalibrationError where frames of this (width, height), which the file does not state, are not those of K (3, 3).

    line: what states the size in this format.
    """
    for n, (name, extent) in enumerate((("cx", "wide"), ("cy", "high"))):
        if abs((K[n, 2] + 0.5) / frame_size[n] - 0.5) > OFF_CENTER:
            raise CalibrationError(
                f"states no image size, and its {name} = {K[n, 2]:.1f} does not fit frames {frame_size[n]} pixels {extent}: "
                f"they look resized or cropped; state the size it was calibrated at with the line '{line}'"
            )


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) K in px."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def rigid(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) rotation and (3, 1) translation of a 4x4 transform given as 16 numbers, row by row."""
    T = numbers.reshape(4, 4)
    return T[:3, :3], T[:3, 3:]


def _number(value: Any, name: str) -> float:
    # Text that spells a number counts: YAML 1.1 reads 1e-05 as text, and XML and INI have nothing else.
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise CalibrationError(f"'{name}' holds something that is not a number") from None
    if not math.isfinite(number):
        raise CalibrationError(f"'{name}' holds a number that is not finite; calibrate again")
    if abs(number) > LARGEST:
        raise CalibrationError(f"'{name}' holds {number:g}, which no camera has; the file looks damaged")
    return number
