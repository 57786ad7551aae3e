"""Detection: where the points of a board are seen in one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .boards import Board

LEAST_POINTS = 6
"""Of a board that may be seen in part; fewer hold no pose worth having."""
SUBPIX_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)
KALIBR_BORDER = 2
"""Kalibr prints its tags with a black border of two cells; most others take one."""


@dataclass(frozen=True, eq=False)
class Detection:
    """Points of a board in one image.

    ids: (n,) int, rows of Board.points_m. corners_px: (n, 2) float64, pixel centres at whole numbers.
    size: (width, height) of the image. sharpness: see sharpness_of.
    """

    ids: np.ndarray
    corners_px: np.ndarray
    size: tuple[int, int]
    sharpness: float


def detect(board: Board, image: np.ndarray, *, quick: bool = False) -> Detection | None:
    """The board in an (H, W) or (H, W, 3) uint8 image; None when it is not seen (chessboard and circles: not wholly).

    A board that looks the same upside down (a chessboard with both sides odd or both even) is taken the way up that it
    seems to have; same_way_up makes two eyes agree. quick: give up sooner on an image without a chessboard, for live use.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    found = _chessboard(board, grey, quick) if board.kind == "chessboard" else MARKED[board.kind](board, grey)
    if found is None:
        return None
    ids, corners = found
    corners = corners.reshape(-1, 2).astype(np.float64)
    return Detection(ids, corners, (grey.shape[1], grey.shape[0]), sharpness_of(grey, corners))


def same_way_up(board: Board, left: Detection, right: Detection) -> Detection:
    """The right eye's detection, its points renamed where the board was taken the other way up than on the left."""
    if not _ambiguous(board):
        return right
    grid = right.corners_px.reshape(board.rows, board.columns, 2)
    ways = [np.rot90(grid, k).reshape(-1, 2) for k in ((0, 1, 2, 3) if board.rows == board.columns else (0, 2))]
    shape = left.corners_px - left.corners_px.mean(axis=0)
    # As seen from two eyes side by side the board is turned by next to nothing.
    return replace(right, corners_px=max(ways, key=lambda way: float((shape * (way - way.mean(axis=0))).sum())))


def sharpness_of(grey: np.ndarray, corners_px: np.ndarray) -> float:
    """Median over points of the steepest slope nearby over the contrast there, in 1/px: about 0.5 for a perfect step.

    An edge blurred by a Gaussian of sigma px has 1 / (sqrt(2 pi) sigma).
    """
    reach = int(np.clip(0.7 * np.median(_nearest_px(corners_px)), 4, 40))
    slopes = []
    for x, y in np.rint(corners_px).astype(int)[:: max(1, len(corners_px) // 24)]:
        patch = grey[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].astype(np.float32)
        if min(patch.shape) < 3 or (contrast := np.ptp(patch)) < 10:
            continue
        dy, dx = np.gradient(cv2.GaussianBlur(patch, (3, 3), 0.5))
        slopes.append(float(np.hypot(dx, dy).max() / contrast))
    return float(np.median(slopes)) if slopes else 0.0


def _nearest_px(corners_px: np.ndarray) -> np.ndarray:
    """(n,) distance from each point to its nearest neighbour."""
    between = np.linalg.norm(corners_px[:, None] - corners_px, axis=-1)
    np.fill_diagonal(between, np.inf)
    return between.min(axis=1)


def _ambiguous(board: Board) -> bool:
    return board.kind == "chessboard" and (board.columns + board.rows) % 2 == 0


Found = tuple[np.ndarray, np.ndarray] | None


def _chessboard(board: Board, grey: np.ndarray, quick: bool) -> Found:
    # Of OpenCV's two detectors the classic one: refined as below it has the lower stereo RMS on every real set tried,
    # finds more of the boards in a fisheye's corners, and takes a tenth of the time.
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | (cv2.CALIB_CB_FAST_CHECK if quick else 0)
    found, corners = cv2.findChessboardCorners(grey, (board.columns, board.rows), flags=flags)
    if not found:
        return None
    grid = _refined(grey, corners.reshape(-1, 2)).reshape(board.rows, board.columns, 2)
    return np.arange(board.columns * board.rows), _upright(board, grid, grey)


def _refined(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Each corner at its saddle point, from a window as large as its neighbours leave room for."""
    radii = np.clip(np.rint(0.4 * _nearest_px(corners)), 3, 6).astype(int)
    refined = corners.copy()
    for radius in np.unique(radii):
        some = radii == radius
        refined[some] = cv2.cornerSubPix(grey, corners[some], (int(radius), int(radius)), (-1, -1), SUBPIX_STOP)
    return refined


def _upright(board: Board, grid: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """The (rows, columns, 2) corners in the order of Board.points_m: not mirrored, and the first cell a black one."""
    along, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    if along[0] * down[1] - along[1] * down[0] < 0:
        grid = grid[:, ::-1]
    if _ambiguous(board):
        turn = (grid[-1, -1] - grid[0, 0]).sum() < 0
    else:
        turn = _cell_level(grey, grid, 0, 0) > _cell_level(grey, grid, 0, 1)
    return grid[::-1, ::-1] if turn else grid


def _cell_level(grey: np.ndarray, grid: np.ndarray, row: int, column: int) -> float:
    """Median brightness of all cells of the same colour as this one."""
    middles = (grid[:-1, :-1] + grid[1:, 1:] + grid[:-1, 1:] + grid[1:, :-1]) / 4
    y, x = np.mgrid[: middles.shape[0], : middles.shape[1]]
    at = np.rint(middles[(x + y) % 2 == (row + column) % 2]).astype(int)
    return float(np.median(grey[at[:, 1].clip(0, grey.shape[0] - 1), at[:, 0].clip(0, grey.shape[1] - 1)]))


def _charuco(board: Board, grey: np.ndarray) -> Found:
    assert board.marker_m is not None
    layout = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, board.markers)
    corners, ids, _, _ = cv2.aruco.CharucoDetector(layout).detectBoard(grey)
    if ids is None or len(ids) < LEAST_POINTS:
        return None
    return ids.ravel().astype(int), corners


def _aprilgrid(board: Board, grey: np.ndarray) -> Found:
    for border in (KALIBR_BORDER, 1):
        parameters = cv2.aruco.DetectorParameters()
        parameters.markerBorderBits = border
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        tags, tag_ids, _ = cv2.aruco.ArucoDetector(board.markers, parameters).detectMarkers(grey)
        known = (
            [] if tag_ids is None else [(t, c) for t, c in zip(tag_ids.ravel(), tags, strict=True) if t < board.marker_count]
        )
        if len(known) * 4 >= LEAST_POINTS:
            ids = np.concatenate([4 * int(tag) + np.arange(4) for tag, _ in known])
            return ids, np.concatenate([corners.reshape(4, 2) for _, corners in known])
    return None


def _circles(board: Board, grey: np.ndarray) -> Found:
    found, centres = cv2.findCirclesGrid(grey, (board.columns, board.rows), flags=cv2.CALIB_CB_ASYMMETRIC_GRID)
    return (np.arange(len(centres)), centres) if found else None


MARKED = {"charuco": _charuco, "aprilgrid": _aprilgrid, "circles": _circles}
