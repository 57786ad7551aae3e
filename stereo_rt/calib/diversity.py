"""Diversity: how the views of a board differ, what one more would add, and when there are enough of them.

The measures follow the bars of ROS's camera_calibration: where the board is, how large, how tilted. They need no
calibration, only how the outline of the board looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .boards import Board
from .coverage import seen_area
from .detect import Detection

MEASURES = ("across", "down", "size", "turned", "tipped")
WANTED = np.array([0.7, 0.7, 0.3, 0.3, 0.3])
"""The span of each measure that a set should have."""
WANTED_COVERAGE = 0.6
ENOUGH_VIEWS = 15
NEW = 0.8
"""Sum of the differences from the nearest view, each in spans wanted, that makes a view worth keeping."""
WORTH_COVERAGE = 0.02
"""Share of an image newly seen that makes a view worth keeping, too."""


def stance(board: Board, seen: Detection) -> np.ndarray:
    """(5,) float64, MEASURES: place in the image across and down (0 to 1 as far as the board can go without leaving it),
    size (square root of its share of the image), and tilt (logarithm of the ratio of opposite sides).
    """
    points = board.points_m[:, :2]
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    H, _ = cv2.findHomography(points[seen.ids], seen.corners_px)
    if H is None:  # all in one line
        return np.full(5, np.nan)
    outline = cv2.perspectiveTransform(np.array([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]]), H)[0]
    width, height = seen.size
    size = float(np.sqrt(abs(cv2.contourArea(outline.astype(np.float32))) / (width * height)))
    top, right, bottom, left = np.maximum(np.linalg.norm(np.roll(outline, -1, axis=0) - outline, axis=1), 1e-3)
    reach = np.ptp(outline, axis=0)
    place = (outline.mean(axis=0) - reach / 2) / np.maximum(np.array(seen.size) - reach, 1.0)
    return np.array([*np.clip(place, 0, 1), size, np.log(right / left), np.log(bottom / top)])


@dataclass(frozen=True, eq=False)
class Kept:
    """The views kept so far. stances: (n, 5), of the left eye. left, right: their detections."""

    stances: np.ndarray
    left: tuple[Detection, ...] = ()
    right: tuple[Detection, ...] = ()

    def plus(self, board: Board, left: Detection, right: Detection) -> Kept:
        return Kept(np.vstack([self.stances, stance(board, left)]), (*self.left, left), (*self.right, right))

    def without_last(self) -> Kept:
        return Kept(self.stances[:-1], self.left[:-1], self.right[:-1])

    @cached_property
    def _areas(self) -> tuple[np.ndarray, np.ndarray]:
        return seen_area(self.left), seen_area(self.right)

    @cached_property
    def coverage(self) -> tuple[float, float]:
        """Of the left and the right image, in [0, 1]."""
        left, right = self._areas
        return float(left.mean()), float(right.mean())

    @property
    def bars(self) -> dict[str, float]:
        """How much of what is wanted is there, in [0, 1]: each of MEASURES, and the coverage of each eye."""
        spans = np.ptp(self.stances, axis=0) / WANTED if len(self.stances) else np.zeros(len(MEASURES))
        shares = dict(zip(MEASURES, spans.tolist(), strict=True))
        shares |= dict(zip(("left image", "right image"), (c / WANTED_COVERAGE for c in self.coverage), strict=True))
        return {name: min(1.0, share) for name, share in shares.items()}

    @property
    def enough(self) -> bool:
        return len(self.left) >= ENOUGH_VIEWS and min(self.bars.values()) >= 1

    def novelty(self, board: Board, left: Detection, right: Detection) -> float:
        """What the view would add, as a multiple of what makes it worth keeping: 1 and above is."""
        if not len(self.stances):
            return 1.0
        here = stance(board, left)
        distance = np.abs((self.stances - here) / WANTED).sum(axis=1).min()
        # The same place seen by other corners, as with half a board, is new to the lens though not to the pose.
        grown = max(float((seen_area([new]) & ~area).mean()) for area, new in zip(self._areas, (left, right), strict=True))
        return float(max(np.nan_to_num(distance) / NEW, grown / WORTH_COVERAGE))


NOTHING = Kept(np.empty((0, len(MEASURES))))


def choose(board: Board, pairs: Sequence[tuple[Detection, Detection]], most: int) -> list[int]:
    """Indices of the views that together show the board most diversely: greedily the one that adds most, while any adds.

    The sharpest is the first.
    """
    kept, chosen = NOTHING, list[int]()
    left = set(range(len(pairs)))
    while left and len(chosen) < most:
        gains = {i: _worth(kept, board, *pairs[i]) for i in left}
        best = max(gains, key=lambda i: gains[i])
        if gains[best] < 1:
            break
        kept = kept.plus(board, *pairs[best])
        chosen.append(best)
        left = {i for i in left if gains[i] >= 1 and i != best}  # what adds too little now never adds more later
    return sorted(chosen)


def _worth(kept: Kept, board: Board, left: Detection, right: Detection) -> float:
    if not kept.left:
        return 1.0 + min(left.sharpness, right.sharpness)
    return kept.novelty(board, left, right)
