"""Where bundle adjustment starts: a focal length tried out, the board's pose in every view, and the pose between the eyes.

OpenCV's own solvers start from a pinhole camera even for a fisheye lens and stop when one view's pose comes out behind
it. Here every model starts from its own ideal lens: directions are taken through it first, and poses come from those.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..errors import CalibrationError
from . import lens as lenses
from .bundle import Estimate, Observations, adjust, residuals
from .derivatives import LensModel, camera_of, lens_size, project

FOCAL_SHARES = np.geomspace(0.2, 4, 16)
"""Focal lengths tried, as shares of the image width: from wide fisheye to tele."""
TRIED_VIEWS = 12
WIDEST_DEG = 80.0
"""Directions further from the axis say little about a pose on a plane."""
LEAST_POINTS = 4


def mono_start(seen: Observations, model: LensModel, size: tuple[int, int]) -> Estimate:
    """One eye (the left one of `seen`, which saw every view) solved by itself, views that do not fit counting little.

    size: (width, height). Raises CalibrationError when no focal length explains the views.
    """
    if model == "rational":  # what it adds to the pinhole model has no use before that fits, and leads astray
        estimate = mono_start(seen, "pinhole", size)
        return adjust_robustly(seen, replace(estimate, model=model, lenses=np.pad(estimate.lenses, ((0, 0), (0, 3)))))
    some = seen.take(np.unique(np.linspace(0, len(seen.pixels) - 1, TRIED_VIEWS).astype(int)))
    guesses = [_ideal(model, size, share * size[0]) for share in FOCAL_SHARES]
    fits = [float(np.median(_poses(some, model, guess, size)[2])) for guess in guesses]
    guess = guesses[int(np.argmin(fits))]
    if not np.isfinite(min(fits)):
        raise CalibrationError("the board's corners fit no camera; check --board (it counts inner corners) and the images")
    for _ in range(2):  # a plane seen from the front has two poses that look alike until the lens is known
        R, t, _ = _poses(seen, model, guess, size)
        start = Estimate(model, np.stack([guess, guess]), np.eye(3), np.zeros(3), R, t)
        estimate = adjust_robustly(seen, start)
        guess = estimate.lenses[0]
    return estimate


def stereo_start(seen: Observations, left: Estimate, right: Estimate) -> Estimate:
    """Both eyes together. left, right: their mono_start, over the views that each saw.

    Each view that both saw proposes a pose between the eyes; the one that most views agree with is taken.
    """
    in_left, in_right = np.asarray(seen.seen.any(axis=-1)).T
    count = len(seen.pixels)
    R, t = (np.tile(np.eye(3), (2, count, 1, 1)), np.tile([0.0, 0, 1], (2, count, 1)))
    for eye, (mask, alone) in enumerate(((in_left, left), (in_right, right))):
        R[eye, mask], t[eye, mask] = alone.board_R, alone.board_t
    both = np.flatnonzero(both_seen(seen))
    proposals = both[np.unique(np.linspace(0, len(both) - 1, 2 * TRIED_VIEWS).astype(int))]
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for view in proposals:
        R_right_left = R[1, view] @ R[0, view].T
        T = t[1, view] - R_right_left @ t[0, view]
        points = (seen.points_m @ np.swapaxes(R[0, both], -1, -2) + t[0, both][:, None]) @ R_right_left.T + T
        miss = usual_px(_rms(project(left.model, right.lenses[0], points).pixels, seen.pixels[both, 1]))
        if best is None or miss < best[0]:
            best = miss, R_right_left, T
    assert best is not None, "a view that both eyes saw"
    _, R_right_left, T = best
    R_board = np.where(in_left[:, None, None], R[0], R_right_left.T @ R[1])
    t_board = np.where(in_left[:, None], t[0], (t[1] - T) @ R_right_left)
    lens_pair = np.stack([left.lenses[0], right.lenses[0]])
    return adjust_robustly(seen, Estimate(left.model, lens_pair, R_right_left, T, R_board, t_board))


def adjust_robustly(seen: Observations, start: Estimate, rounds: int = 4) -> Estimate:
    """Bundle adjustment in which a view that fits far worse than the others hardly counts (Geman-McClure weights)."""
    here = start
    for _ in range(rounds):
        errors = view_rms_px(seen, here)
        weights = np.nan_to_num(1 / (1 + (errors / (2 * usual_px(errors))) ** 2) ** 2)
        here = adjust(seen, here, weights, tolerance=1e-4)
    return here


def usual_px(errors: np.ndarray) -> float:
    """What a good view's error is. Below the median: of a rig that was moved half way, either half should win."""
    with np.errstate(invalid="ignore"):
        usual = float(np.quantile(np.where(np.isnan(errors), np.inf, errors), 0.35))
    return np.inf if np.isnan(usual) else max(usual, 1e-3)  # NaN is what numpy finds between two infinities


def both_seen(seen: Observations) -> np.ndarray:
    """(V,) bool: views in which both eyes see the board."""
    return np.asarray(seen.seen.any(axis=-1).all(axis=-1))


def view_rms_px(seen: Observations, estimate: Estimate) -> np.ndarray:
    """(V,) root mean square distance between points projected and seen, over both eyes; NaN behind a camera."""
    squares = (residuals(seen, estimate) ** 2).sum(axis=(1, 2, 3))
    return np.asarray(np.sqrt(squares / np.maximum(seen.seen.sum(axis=(1, 2)), 1)))


def _ideal(model: LensModel, size: tuple[int, int], focal: float) -> np.ndarray:
    """The model's lens without distortion."""
    center = (np.array(size) - 1) / 2
    return np.concatenate([[focal, focal], center, np.zeros(lens_size(model) - 4)])


def _poses(
    seen: Observations, model: LensModel, lens: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R (V, 3, 3), t (V, 3) and RMS in px (V,) of the board in each view of the left eye, the lens given.

    A view without a pose before the camera has infinity as its RMS and a board straight ahead.
    """
    camera = camera_of(model, lens, size)
    count = len(seen.pixels)
    pixels = seen.pixels[:, 0]
    rays = lenses.unproject(camera, pixels.reshape(-1, 2)).reshape(count, -1, 3)
    R, t, there = np.tile(np.eye(3), (count, 2, 1, 1)), np.tile([0.0, 0, 1], (count, 2, 1)), np.zeros((count, 2), bool)
    for view in range(count):
        near = rays[view, :, 2] > np.cos(np.radians(WIDEST_DEG))
        if near.sum() < LEAST_POINTS:
            continue
        for which, pose in enumerate(_plane_poses(seen.points_m[near], rays[view, near, :2] / rays[view, near, 2:])):
            (R[view, which], t[view, which]), there[view, which] = pose, True
    points = seen.points_m @ np.swapaxes(R, -1, -2) + t[:, :, None]
    rms = np.where(there, _rms(project(model, lens, points).pixels, pixels[:, None]), np.inf)
    R[np.isinf(rms)], t[np.isinf(rms)] = np.eye(3), (0, 0, 1)
    views, best = np.arange(count), rms.argmin(axis=1)
    return R[views, best], t[views, best], rms[views, best]


def _plane_poses(points_m: np.ndarray, plane: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The one or two poses of a board whose points are seen at (n, 2) on the plane z = 1."""
    try:
        _, turns, shifts, _ = cv2.solvePnPGeneric(points_m, plane, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    except cv2.error:
        return []
    poses = [(cv2.Rodrigues(w)[0], np.asarray(t, np.float64).ravel()) for w, t in zip(turns, shifts, strict=True)]
    return [(R, t) for R, t in poses if np.isfinite(R).all() and np.isfinite(t).all()]


def _rms(projected: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(..., N, 2) each -> (...) root mean square distance, over the points seen; inf where none is, or one lies behind."""
    there = np.isfinite(pixels).all(axis=-1)
    squares = np.where(there, ((projected - pixels) ** 2).sum(axis=-1), 0)
    mean = squares.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return np.where(there.any(axis=-1) & np.isfinite(mean), np.sqrt(mean), np.inf)
