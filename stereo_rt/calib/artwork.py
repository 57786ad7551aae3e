"""Artwork: the black shapes of a board in its own plane, for the printer and for the renderer alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .boards import Board
from .detect import KALIBR_BORDER

CIRCLE_RADIUS = 0.4
"""Of square_m; the nearest circle is 1.41 away."""


@dataclass(frozen=True, eq=False)
class Artwork:
    """Black on white, in metres, in the frame of Board.points_m.

    rects: (n, 4) x, y, width, height; they touch but never overlap. circles: (m, 3) x, y, radius.
    """

    rects: np.ndarray
    circles: np.ndarray

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of all that is black."""
        boxes = [np.column_stack([self.rects[:, :2], self.rects[:, :2] + self.rects[:, 2:]])]
        if len(self.circles):
            centre, radius = self.circles[:, :2], self.circles[:, 2:]
            boxes.append(np.column_stack([centre - radius, centre + radius]))
        box = np.concatenate(boxes)
        (left, top), (right, bottom) = box[:, :2].min(axis=0).tolist(), box[:, 2:].max(axis=0).tolist()
        return left, top, right, bottom


def artwork(board: Board) -> Artwork:
    """What to draw for this board."""
    draw = {"chessboard": _chessboard, "charuco": _charuco, "aprilgrid": _aprilgrid, "circles": _circles}[board.kind]
    shapes = np.array(list(draw(board)), np.float64)
    none = np.empty((0, 4))
    return Artwork(none, shapes) if board.kind == "circles" else Artwork(shapes, none[:, :3])


def raster(art: Artwork, px_per_m: float, box_m: tuple[float, float, float, float]) -> np.ndarray:
    """(H, W) float32, 0 black to 1 white, of a box (left, top, right, bottom) of the plane; each pixel the mean of its area.

    Exact for rectangles; the rim of a circle is a ramp one pixel wide.
    """
    left, top, right, bottom = box_m
    width, height = round((right - left) * px_per_m), round((bottom - top) * px_per_m)
    image = np.ones((height, width), np.float32)
    edges = (np.column_stack([art.rects[:, :2], art.rects[:, :2] + art.rects[:, 2:]]) - (left, top, left, top)) * px_per_m
    for x0, y0, x1, y1 in edges:
        columns, share_x = _covered(x0, x1, width)
        rows, share_y = _covered(y0, y1, height)
        image[rows, columns] -= share_y[:, None] * share_x
    for x, y, radius in (art.circles - (left, top, 0)) * px_per_m:
        columns, _ = _covered(x - radius - 1, x + radius + 1, width)
        rows, _ = _covered(y - radius - 1, y + radius + 1, height)
        row, column = np.mgrid[rows, columns] + 0.5
        image[rows, columns] -= np.clip(radius + 0.5 - np.hypot(column - x, row - y), 0, 1)
    return np.clip(image, 0, 1)


def _covered(start: float, stop: float, count: int) -> tuple[slice, np.ndarray]:
    """The pixels that the interval touches, and the share of each that it covers."""
    first, last = max(0, int(np.floor(start))), min(count, int(np.ceil(stop)))
    pixel = np.arange(first, max(first, last))
    share = np.minimum(pixel + 1, stop) - np.maximum(pixel, start)
    return slice(first, max(first, last)), share.astype(np.float32)


def _chessboard(board: Board) -> Iterator[tuple[float, float, float, float]]:
    s = board.square_m
    for y in range(board.rows + 1):
        for x in range(y % 2, board.columns + 1, 2):
            yield (x - 1) * s, (y - 1) * s, s, s


def _charuco(board: Board) -> Iterator[tuple[float, float, float, float]]:
    s, marker = board.square_m, board.marker_m or 0.0
    tag = 0
    for y in range(board.rows):
        for x in range(board.columns):
            if (x + y) % 2 == 0:
                yield x * s, y * s, s, s
            else:
                margin = (s - marker) / 2
                yield from _tag(board, tag, x * s + margin, y * s + margin, border=1)
                tag += 1


def _aprilgrid(board: Board) -> Iterator[tuple[float, float, float, float]]:
    """As Kalibr prints it: tags upside down to OpenCV's eye, and black squares between their corners."""
    s, marker = board.square_m, board.marker_m or 0.0
    for tag in range(board.marker_count):
        row, column = divmod(tag, board.columns)
        yield from _tag(board, tag, column * s, (board.rows - 1 - row) * s, border=KALIBR_BORDER, turned=True)
    gap = s - marker
    for y in range(board.rows + 1):
        for x in range(board.columns + 1):
            yield x * s - gap, y * s - gap, gap, gap


def _tag(
    board: Board, tag: int, x: float, y: float, *, border: int, turned: bool = False
) -> Iterator[tuple[float, float, float, float]]:
    """The black cells of a marker whose top left corner is at x, y; those that touch in a row are one rectangle."""
    cells = board.markers.markerSize + 2 * border
    black = board.markers.generateImageMarker(tag, cells, borderBits=border) == 0
    if turned:
        black = black[::-1, ::-1]
    size = (board.marker_m or 0.0) / cells
    for row, line in enumerate(black):
        steps = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
        for start, stop in steps.reshape(-1, 2):
            yield x + start * size, y + row * size, (stop - start) * size, size


def _circles(board: Board) -> Iterator[tuple[float, float, float]]:
    for x, y, _ in board.points_m:
        yield x, y, CIRCLE_RADIUS * board.square_m
