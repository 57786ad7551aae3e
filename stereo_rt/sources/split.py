"""One image that holds both eyes, cut in two."""

from __future__ import annotations

import numpy as np

from ..errors import SourceError
from .uri import Layout


def eye_size(size: tuple[int, int], layout: Layout, name: str) -> tuple[int, int]:
    """(width, height) of one eye of an image of this size. Raises SourceError for an odd size."""
    width, height = size
    side, length = ("width", width) if layout == "sbs" else ("height", height)
    if length % 2:
        raise SourceError(f"{name}: a {side} of {length} px cannot be cut into two equal eyes; check ?layout={layout}")
    return (width // 2, height) if layout == "sbs" else (width, height // 2)


def split_eyes(image: np.ndarray, layout: Layout, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(H, 2W[, 3]) side by side or (2H, W[, 3]) top and bottom -> two contiguous (H, W[, 3]).

    sbs: the left eye is the left half; tb: it is the upper half. Raises SourceError for an odd size.
    """
    eye_size((image.shape[1], image.shape[0]), layout, name)
    left, right = np.split(image, 2, axis=1 if layout == "sbs" else 0)
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


def check_same_size(left: np.ndarray, right: np.ndarray, left_name: str, right_name: str) -> None:
    """Raises SourceError naming both when the eyes differ in size."""
    if left.shape[:2] != right.shape[:2]:
        (lh, lw), (rh, rw) = left.shape[:2], right.shape[:2]
        raise SourceError(
            f"{left_name} is {lw}x{lh} but {right_name} is {rw}x{rh}; both eyes must have one size, scale or crop one of them"
        )
