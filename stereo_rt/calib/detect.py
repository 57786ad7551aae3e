"""Detection: where the points of a board are seen in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .boards import Board

LEAST_POINTS = 6
"""Of a board that may be seen in part; fewer hold no pose worth having."""
SUBPIX_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)
NEIGHBOURS = 12
OFF_PX = 4.0
"""A marker's corner this far from where it and its neighbours say it should be is a mistake, whatever the lens."""
RIM = 32
"""Corners of the polygon that stands for a circle."""
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
    seems to have; same_way_up makes two eyes agree. quick: spend less on an image in which it is not
    easily seen, for live use.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    found = DETECTORS[board.kind](board, grey, quick)
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
    ids = np.arange(len(corners))
    corners = _refined(grey, corners.reshape(-1, 2), _radii(board, ids, corners.reshape(-1, 2)))
    return ids, _upright(board, corners.reshape(board.rows, board.columns, 2), grey)


def _radii(board: Board, ids: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n,) radius in px of the window around each corner that holds its own edges only, however it is foreshortened."""
    plane = board.points_m[ids, :2]
    between_m = np.linalg.norm(plane[:, None] - plane, axis=-1)
    np.fill_diagonal(between_m, np.inf)
    between_px = np.linalg.norm(corners[:, None] - corners, axis=-1)
    near = between_m < 1.5 * between_m.min(axis=1, keepdims=True)
    px_per_m = np.where(near, between_px / between_m, np.inf).min(axis=1)
    room_m, least = (0.4 * board.square_m, 3) if board.marker_m is None else (0.5 * (board.square_m - board.marker_m), 2)
    return np.clip(np.rint(room_m * px_per_m), least, 6).astype(int)


def _refined(grey: np.ndarray, corners: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(n, 2) float32: each corner at its saddle point."""
    refined = corners.astype(np.float32)
    for radius in np.unique(radii):
        some = radii == radius
        refined[some] = cv2.cornerSubPix(grey, refined[some], (int(radius), int(radius)), (-1, -1), SUBPIX_STOP)
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


def _charuco(board: Board, grey: np.ndarray, quick: bool) -> Found:
    assert board.marker_m is not None
    layout = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, board.markers)
    detector = cv2.aruco.CharucoDetector(layout)
    seen: dict[int, np.ndarray] = {}
    for scale in _scales(grey, quick):
        corners, ids, _, _ = detector.detectBoard(_enlarged(grey, scale))
        if ids is not None:
            found = (corners.reshape(-1, 2) + 0.5) / scale - 0.5
            seen |= dict(zip(ids.ravel().tolist(), found, strict=True))
        if len(seen) == len(board.points_m):
            break
    return _settled(board, grey, seen)


def _aprilgrid(board: Board, grey: np.ndarray, quick: bool) -> Found:
    parameters = cv2.aruco.DetectorParameters()
    parameters.minMarkerPerimeterRate = 0.01
    seen: dict[int, np.ndarray] = {}
    for border in (KALIBR_BORDER, 1):
        parameters.markerBorderBits = border
        detector = cv2.aruco.ArucoDetector(board.markers, parameters)
        for scale in _scales(grey, quick):
            tags, ids, _ = detector.detectMarkers(_enlarged(grey, scale))
            for tag, corners in zip([] if ids is None else ids.ravel().tolist(), tags, strict=True):
                if tag < board.marker_count:
                    seen |= {4 * tag + k: (corner + 0.5) / scale - 0.5 for k, corner in enumerate(corners.reshape(4, 2))}
        if seen:
            break
    return _settled(board, grey, seen)


def _scales(grey: np.ndarray, quick: bool) -> tuple[int, ...]:
    """OpenCV reads small markers, and places their corners, better in an image enlarged."""
    return (1,) if quick or max(grey.shape) > 2000 else (1, 2)


def _enlarged(grey: np.ndarray, scale: int) -> np.ndarray:
    return grey if scale == 1 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def _settled(board: Board, grey: np.ndarray, seen: dict[int, np.ndarray]) -> Found:
    """The corners refined, without those that do not lie among their neighbours as they do on the board.

    A tag whose corners touch black squares is found a few pixels too large or too small. Its neighbours are so in other
    directions: refinement starts from where all those nearby agree that the corner is.
    """
    if len(seen) < LEAST_POINTS:
        return None
    ids = np.array(sorted(seen))
    rough, plane = np.array([seen[i] for i in ids]), board.points_m[ids, :2]
    agreed = _placed(_neighbourhoods(plane, rough), plane)
    height, width = grey.shape
    usable = (
        (np.linalg.norm(agreed - rough, axis=1) < OFF_PX) & (agreed > 0).all(axis=1) & (agreed < (width, height)).all(axis=1)
    )
    if usable.sum() < LEAST_POINTS:
        return None
    ids, agreed = ids[usable], agreed[usable]
    radii = _radii(board, ids, agreed)
    refined = _refined(grey, agreed, radii)
    fits = np.linalg.norm(refined - agreed, axis=1) < np.minimum(radii, OFF_PX)
    return (ids[fits], refined[fits]) if fits.sum() >= LEAST_POINTS else None


def _neighbourhoods(plane: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(n, 3, 3) homographies from the board's plane to the image, each by the neighbours of a point; NaN where none fits."""
    found = np.full((len(plane), 3, 3), np.nan)
    for n, point in enumerate(plane):
        near = np.argsort(np.linalg.norm(plane - point, axis=1))[:NEIGHBOURS]
        H, _ = cv2.findHomography(plane[near], pixels[near], cv2.RANSAC, OFF_PX)
        if H is not None:
            found[n] = H
    return found


def _placed(homographies: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """(n, ..., 2) pixels of points (n, ..., 2) of the plane, each by its own homography."""
    x, y, w = np.moveaxis(np.einsum("nij,n...j->n...i", homographies, np.insert(plane, 2, 1.0, axis=-1)), -1, 0)
    return np.stack([x, y], axis=-1) / w[..., None]


def _circles(board: Board, grey: np.ndarray, quick: bool) -> Found:
    parameters = cv2.SimpleBlobDetector.Params()
    parameters.maxArea = grey.size / 20  # OpenCV's own limit leaves out the circles of a board held near
    blobs = cv2.SimpleBlobDetector.create(parameters)
    size = (board.columns, board.rows)
    found, centres = cv2.findCirclesGrid(grey, size, flags=cv2.CALIB_CB_ASYMMETRIC_GRID, blobDetector=blobs)
    if not found:
        return None
    ids, centres = np.arange(len(centres)), centres.reshape(-1, 2)
    return ids, centres if quick else _centred(board, centres, blobs.detect(grey))


def _centred(board: Board, centroids: np.ndarray, blobs: Sequence[cv2.KeyPoint]) -> np.ndarray:
    """(n, 2) where the middles of circles are seen: a slanted circle's far half looks smaller, so its centroid lies nearer."""
    plane = board.points_m[:, :2]
    near = _neighbourhoods(plane, centroids)
    angle = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    rim = 0.4 * board.square_m * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    areas, _ = _polygons(_placed(near, plane[:, None] + rim))
    # Boards differ in how large their circles are: the areas seen tell.
    own = np.linalg.norm(centroids[:, None] - [blob.pt for blob in blobs], axis=-1).argmin(axis=1)
    seen = np.pi / 4 * np.array([blob.size for blob in blobs])[own] ** 2
    _, middles = _polygons(_placed(near, plane[:, None] + rim * np.sqrt(np.nanmedian(seen / areas))))
    return centroids - np.nan_to_num(middles - _placed(near, plane))


def _polygons(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas (n,) and centroids (n, 2) of polygons (n, k, 2), by the shoelace formula."""
    origin = corners.mean(axis=1, keepdims=True)
    here = corners - origin
    after = np.roll(here, -1, axis=1)
    cross = here[..., 0] * after[..., 1] - here[..., 1] * after[..., 0]
    total = cross.sum(axis=1)
    return np.abs(total) / 2, origin[:, 0] + ((here + after) * cross[..., None]).sum(axis=1) / (3 * total[:, None])


DETECTORS = {"chessboard": _chessboard, "charuco": _charuco, "aprilgrid": _aprilgrid, "circles": _circles}
