"""Bundle adjustment of a stereo rig: both lenses, the pose between the eyes, and the board's pose in every view.

Plain least squares by the Levenberg-Marquardt method (J. Nocedal and S. Wright, "Numerical Optimization", chapter 10).
A board's pose touches the residuals of its own view only, so each view's poses are eliminated by a QR decomposition of
its own rows and one small problem in the parameters that all views share is left ("square root" form of the Schur
complement, which does not square the condition number).

Rotations are updated on the left, R <- exp([w]) R, so a step of three numbers w never meets a singularity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .derivatives import LensModel, lens_size, project

STEPS = 60
TOLERANCE = 1e-9
BLOCK = 192
FARTHEST = 1e6
"""A board does not turn or move by more in one step (radians, metres or squares): such a pose is running off to infinity."""


@dataclass(frozen=True, eq=False)
class Observations:
    """What was seen. points_m: (N, 3) of the board. pixels: (V, 2, N, 2), view, eye, point; NaN where not seen."""

    points_m: np.ndarray
    pixels: np.ndarray

    @cached_property
    def seen(self) -> np.ndarray:
        """(V, 2, N) bool."""
        return np.isfinite(self.pixels[..., 0])

    def only(self, eye: int) -> Observations:
        """The views in which this eye sees the board, as a rig whose other eye sees nothing. This eye becomes the left one."""
        pixels = np.full_like(self.pixels, np.nan)
        pixels[:, 0] = self.pixels[:, eye]
        return Observations(self.points_m, pixels[self.seen[:, eye].any(axis=-1)])

    def take(self, views: np.ndarray) -> Observations:
        """Some of the views, by index or mask."""
        return replace(self, pixels=self.pixels[views])


@dataclass(frozen=True, eq=False)
class Estimate:
    """lenses: (2, k), see derivatives. R, T: (3, 3) and (3,), x_right = R x_left + T. Board poses: x_left = R x_board + t."""

    model: LensModel
    lenses: np.ndarray
    R: np.ndarray
    T: np.ndarray
    board_R: np.ndarray
    board_t: np.ndarray

    @property
    def shared_size(self) -> int:
        """Parameters that all views share: both lenses, then rotation and translation between the eyes."""
        return 2 * lens_size(self.model) + 6

    def moved(self, shared: np.ndarray, boards: np.ndarray | None = None) -> Estimate:
        """The estimate a step away. shared: (G,). boards: (V, 6), rotation and translation of each board's pose."""
        k = lens_size(self.model)
        there = replace(
            self,
            lenses=self.lenses + shared[: 2 * k].reshape(2, k),
            R=rotation(shared[2 * k : 2 * k + 3]) @ self.R,
            T=self.T + shared[2 * k + 3 :],
        )
        if boards is None:
            return there
        return replace(there, board_R=rotation(boards[:, :3]) @ self.board_R, board_t=self.board_t + boards[:, 3:])

    def take(self, views: np.ndarray) -> Estimate:
        return replace(self, board_R=self.board_R[views], board_t=self.board_t[views])


class System(NamedTuple):
    """The residuals of each view and their derivatives. In px: (V, rows), (V, rows, G), (V, rows, 6)."""

    residuals: np.ndarray
    shared: np.ndarray
    boards: np.ndarray

    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        """Residuals and shared derivatives with what the boards' poses can take up removed."""
        q, _ = np.linalg.qr(self.boards)
        qt = np.swapaxes(q, -1, -2)
        residuals = self.residuals - (q @ (qt @ self.residuals[..., None]))[..., 0]
        return residuals, self.shared - q @ (qt @ self.shared)


def rotation(w: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), by Rodrigues' formula."""
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    cross = skew(w)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)


def skew(v: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices of the cross product with v (..., 3)."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, -2)


def residuals(seen: Observations, estimate: Estimate) -> np.ndarray:
    """(V, 2, N, 2) projected minus seen in px, 0 where not seen, NaN where a point seen lies behind its camera."""
    return linearise(seen, estimate).residuals.reshape(seen.pixels.shape)


def linearise(seen: Observations, estimate: Estimate) -> System:
    """Residuals and derivatives at an estimate."""
    k, views, count = lens_size(estimate.model), len(seen.pixels), len(seen.points_m)
    turned = seen.points_m @ np.swapaxes(estimate.board_R, -1, -2)
    in_left = turned + estimate.board_t[:, None]
    across = in_left @ estimate.R.T
    eyes = np.stack([in_left, across + estimate.T], axis=1)
    identity = np.broadcast_to(np.eye(3), (views, count, 3, 3))
    board_left = np.concatenate([-skew(turned), identity], -1)
    by_board = np.stack([board_left, estimate.R @ board_left], axis=1)
    by_pose = np.concatenate([-skew(across), identity], -1)

    rows = (views, 2, count, 2)
    out, shared = np.empty(rows), np.zeros((*rows, estimate.shared_size))
    boards = np.empty((*rows, 6))
    for eye in (0, 1):
        pixels, by_point, by_lens = project(estimate.model, estimate.lenses[eye], eyes[:, eye])
        out[:, eye] = pixels - seen.pixels[:, eye]
        shared[:, eye, ..., eye * k : (eye + 1) * k] = by_lens
        boards[:, eye] = by_point @ by_board[:, eye]
        if eye:
            shared[:, eye, ..., 2 * k :] = by_point @ by_pose
    for values in (out, shared, boards):
        values[~seen.seen] = 0
    return System(out.reshape(views, -1), shared.reshape(views, 4 * count, -1), boards.reshape(views, 4 * count, 6))


def adjust(seen: Observations, start: Estimate, weights: np.ndarray | None = None, tolerance: float = TOLERANCE) -> Estimate:
    """The estimate of least squares, from a start near enough. weights: (V,) of the views' squared residuals, 1 when None.

    Views that start behind a camera have no weight. tolerance: a step that lowers the cost by a smaller share is the last.
    """
    here, damping = start, 1e-4
    first = linearise(seen, here)
    root = np.isfinite(first.residuals).all(axis=1) * (1.0 if weights is None else np.sqrt(weights))
    system = _weighted(first, root)
    cost = float((system.residuals**2).sum())
    for _ in range(STEPS):
        shared, boards = _step(system, damping)
        there = here.moved(shared, boards)
        ahead = _weighted(linearise(seen, there), root)
        lower = float((ahead.residuals**2).sum())
        if lower < cost:  # never so for NaN
            gain = (cost - lower) / cost
            here, system, cost, damping = there, ahead, lower, max(damping / 10, 1e-12)
            if gain < tolerance:
                break
        elif damping > 1e8:
            break
        else:
            damping *= 10
    return here


def fit_boards(seen: Observations, estimate: Estimate) -> Estimate:
    """Only the boards' poses brought to least squares: what a rig makes of views it was not solved with.

    A pose behind a camera, or that runs off, is left where it is.
    """
    here = estimate
    for _ in range(10):
        system = linearise(seen, here)
        q, r = np.linalg.qr(system.boards)
        step = np.linalg.solve(r, -(np.swapaxes(q, -1, -2) @ system.residuals[..., None]))[..., 0]
        step = np.where(np.abs(step).max(axis=-1, keepdims=True) < FARTHEST, step, 0)  # never so for NaN
        here = here.moved(np.zeros(here.shared_size), step)
        if np.abs(step).max(initial=0) < 1e-9:
            break
    return here


def _weighted(system: System, root: np.ndarray) -> System:
    """Every view's rows times its root (V,); zero where that is, even of rows that are NaN."""
    columns = (root.reshape(-1, *[1] * (values.ndim - 1)) for values in system)
    return System(*(np.where(column > 0, values * column, 0) for values, column in zip(system, columns, strict=True)))


def _step(system: System, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """One damped step (G,), (V, 6). Every parameter is damped in proportion to what it moves (Marquardt)."""
    views, _, size = system.shared.shape
    board_scale = np.sqrt(damping * np.maximum((system.boards**2).sum(axis=1), 1e-12))
    rows = np.concatenate([system.boards, system.shared, system.residuals[..., None]], axis=-1)
    damped = np.concatenate([board_scale[:, :, None] * np.eye(6), np.zeros((views, 6, size + 1))], axis=-1)
    r = _triangle(np.concatenate([rows, damped], axis=1))
    # A parameter that nothing depends on (the lens of an eye that saw nothing) stays where it is.
    scale = np.sqrt((system.shared**2).sum(axis=(0, 1)))
    scale = np.where(scale > 0, scale, 1.0)
    damped = np.pad(np.diag(np.sqrt(damping) * scale), ((0, 0), (0, 1)))
    small = _triangle(np.concatenate([r[:, 6:, 6:].reshape(-1, size + 1), damped]))
    shared = -np.linalg.lstsq(small[:, :-1] / scale, small[:, -1], rcond=None)[0] / scale
    boards = -np.linalg.solve(r[:, :6, :6], r[:, :6, -1:] + r[:, :6, 6:-1] @ shared[:, None])[..., 0]
    return shared, boards


def _triangle(rows: np.ndarray) -> np.ndarray:
    """(..., n, n) triangular with the same normal matrix as (..., rows, n), by QR in blocks of BLOCK rows.

    Blocks: above a certain size BLAS starts threads, which on matrices like these wait for each other most of the time.
    """
    n = rows.shape[-1]
    while (count := rows.shape[-2]) > BLOCK:
        lacking = -count % BLOCK
        rows = np.concatenate([rows, np.zeros((*rows.shape[:-2], lacking, n))], axis=-2)
        blocks = np.asarray(np.linalg.qr(rows.reshape(*rows.shape[:-2], -1, BLOCK, n), mode="r"))
        rows = blocks.reshape(*blocks.shape[:-3], -1, n)
    return np.asarray(np.linalg.qr(rows, mode="r"))
