"""Things: arrays of bodies with a pose each, and the single kinds of body that scenes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .shapes import CUT, SHAPE_VALUES, Kind

CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij"), -1).reshape(8, 3).astype(float)
CUTS = (Kind.SHEET, Kind.DISC, Kind.BARS, Kind.GRID, Kind.HOLES, Kind.BLOBS, Kind.FLOWER)
QUADRICS = np.array(  # q0 q1 q2 l c, see shapes
    [
        [1, 1, 1, 0, -1],  # ellipsoid
        [1, 1, 0, 0, -1],  # tube
        [1, 1, -0.25, 0.5, -0.25],  # cone
        [1, 1, -0.6, 0, -0.4],  # waisted vase
        [1.5, 0, 0, -1, -0.75],  # sheet bent one way
        [0.9, -0.9, 0, -1, 0],  # saddle
        [1, 1, 0, -1, -1],  # bowl
    ]
)
ELLIPSOID, TUBE = 0, 1
FLAT = np.array([0, 0, 0, 1.0, 0])


@dataclass(frozen=True, eq=False)
class Things:
    """n bodies: kind (n,) int, centre (n, 3), half (n, 3) half sizes along their own axes, rotation (n, 3, 3)
    world_from_local, shape (n, SHAPE_VALUES), and the group (n,) int of those that belong together."""

    kind: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    shape: np.ndarray
    group: np.ndarray

    def corners(self) -> np.ndarray:
        """(n, 8, 3) of the boxes around them, in the world."""
        return self.centre[:, None] + (CORNERS * self.half[:, None]) @ self.rotation.transpose(0, 2, 1)


def make(
    kind: np.ndarray | int, centre: np.ndarray, half: np.ndarray, rotation: np.ndarray, shape: np.ndarray | None = None
) -> Things:
    """Things each in a group of its own; a single kind, rotation or shape (5,) serves all."""
    n = len(centre)
    values = np.zeros((n, SHAPE_VALUES))
    if shape is not None:
        values[:, : shape.shape[-1]] = shape
    return Things(
        np.broadcast_to(np.asarray(kind), (n,)),
        np.asarray(centre, float),
        np.broadcast_to(half, (n, 3)),
        np.broadcast_to(rotation, (n, 3, 3)),
        values,
        np.arange(n),
    )


def assemble(parts: Things, rotation: np.ndarray, centre: np.ndarray, scale: float = 1.0) -> Things:
    """The parts, given in a frame of their own, as one group of the world."""
    return Things(
        parts.kind,
        centre + scale * parts.centre @ rotation.T,
        scale * parts.half,
        rotation @ parts.rotation,
        parts.shape,
        np.zeros(len(parts.kind), int),
    )


def join(many: Sequence[Things]) -> Things:
    """All of them, groups kept apart."""
    firsts = np.cumsum([0] + [int(t.group.max(initial=-1)) + 1 for t in many])
    group = np.concatenate([t.group + first for t, first in zip(many, firsts, strict=False)])
    columns = ("kind", "centre", "half", "rotation", "shape")
    return Things(**{name: np.concatenate([getattr(t, name) for t in many]) for name in columns}, group=group)


def turns(yaw: np.ndarray | float, pitch: np.ndarray | float, roll: np.ndarray | float) -> np.ndarray:
    """(n, 3, 3) rotations Ry(yaw) Rx(pitch) Rz(roll), angles (n,) in radians; (3, 3) of single ones."""
    yaw, pitch, roll = np.broadcast_arrays(yaw, pitch, roll)
    zero, one = np.zeros_like(yaw, float), np.ones_like(yaw, float)

    def rows(*values: np.ndarray) -> np.ndarray:
        return np.stack(values, -1).reshape(*yaw.shape, 3, 3)

    a, b, c, s = np.cos(yaw), np.cos(pitch), np.cos(roll), np.sin
    about_y = rows(a, zero, s(yaw), zero, one, zero, -s(yaw), zero, a)
    about_x = rows(one, zero, zero, zero, b, -s(pitch), zero, s(pitch), b)
    return about_y @ about_x @ rows(c, -s(roll), zero, s(roll), c, zero, zero, zero, one)


def poses(rng: np.random.Generator, n: int, upright: float = 0.55) -> np.ndarray:
    """Random rotations; that share of them stands upright (its y axis is nearly the world's)."""
    tilt, roll = np.where(rng.random((1, n)) < upright, 0.06 * rng.normal(size=(2, n)), rng.uniform(0, 2 * np.pi, (2, n)))
    return turns(rng.uniform(0, 2 * np.pi, n), tilt, roll)


def facing(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rotations whose z axis points to the eyes, more or less: for flat things."""
    return turns(0.55 * rng.normal(size=n), 0.45 * rng.normal(size=n), 0.8 * rng.normal(size=n) * (rng.random(n) < 0.7))


UPWARD = turns(0, np.pi / 2, 0)  # turns the z axis of a body to the vertical


def boxes(rng: np.random.Generator, centre: np.ndarray, half: np.ndarray) -> Things:
    """Boxes of half sizes about half (n,); three in ten are boards or poles."""
    n = len(centre)
    sizes = half[:, None] * 2 ** rng.normal(0, 0.9, (n, 3))
    long = np.eye(3, dtype=bool)[rng.integers(0, 3, n)]
    sizes = np.where((rng.random(n) < 0.3)[:, None], sizes * np.where(long, 2.2, 0.15), sizes)
    return make(Kind.BOX, centre, sizes, poses(rng, n))


def quadrics(rng: np.random.Generator, centre: np.ndarray, half: np.ndarray) -> Things:
    """Round things of half sizes about half (n,), half of them ellipsoids or tubes."""
    n = len(centre)
    which = np.where(rng.random(n) < 0.55, rng.integers(0, 2, n), rng.integers(0, len(QUADRICS), n))
    sizes = half[:, None] * 2 ** rng.normal(0, 0.7, (n, 3))
    slender = half[:, None] * np.stack([0.08 + 0.5 * rng.random(n) ** 2] * 2 + [1.5 + 3 * rng.random(n)], -1)
    sizes = np.where((which == TUBE)[:, None], slender, sizes)
    rotation = poses(rng, n)
    rotation = np.where((rng.random(n) < 0.6)[:, None, None], rotation @ UPWARD, rotation)
    return make(Kind.QUADRIC, centre, sizes, rotation, QUADRICS[which])


def sheets(rng: np.random.Generator, centre: np.ndarray, half: np.ndarray, px: np.ndarray) -> Things:
    """Flat things, whole or cut out. px (n,) is the length of one pixel there: bars and gaps are some pixels wide."""
    n = len(centre)
    sizes = 1.5 * half[:, None] * 2 ** rng.normal(0, 0.6, (n, 3))
    sizes[:, 2] = 0.01 * half
    kind = np.array(CUTS)[rng.choice(len(CUTS), n, p=[0.3, 0.14, 0.12, 0.14, 0.08, 0.12, 0.1])]
    return make(kind, centre, sizes, facing(rng, n), cuts(rng, kind, sizes, px))


def cuts(rng: np.random.Generator, kind: np.ndarray, sizes: np.ndarray, px: np.ndarray) -> np.ndarray:
    """(n, SHAPE_VALUES) of sheets: lattices with solid parts 1 to 6 px wide, blobs and flowers of any scale."""
    n = len(kind)
    shape = np.zeros((n, SHAPE_VALUES))
    shape[:, :5] = FLAT
    solid = rng.uniform(1, 4, n) * np.where(rng.random(n) < 0.3, 1.5, 1)
    share = rng.uniform(0.12, 0.6, n)
    lattice = np.isin(kind, (Kind.BARS, Kind.GRID, Kind.HOLES))
    period = solid * px / share * np.where(kind == Kind.HOLES, 2, 1)
    for axis in range(2):
        counts = sizes[:, axis] / period * (1 if axis == 0 else rng.uniform(0.4, 1.2, n))
        shape[:, CUT + axis] = np.where(lattice, counts, 0.8 + 6 * rng.random(n) ** 1.5)
    petals = rng.integers(2, 9, n)
    shape[:, CUT] = np.where(kind == Kind.FLOWER, petals, shape[:, CUT])
    shape[:, CUT + 2] = share
    return shape


def reliefs(
    rng: np.random.Generator, centre: np.ndarray, half: np.ndarray, rotation: np.ndarray, periods: tuple[float, float]
) -> Things:
    """Wavy sheets of half sizes half (n, 3), half[:, 2] being the height of the waves; periods: fewest and most."""
    n = len(centre)
    direction = rng.uniform(0, 2 * np.pi, (n, 3))
    count = rng.uniform(*periods, (n, 3)) * np.pi
    amplitude = rng.dirichlet([1.5, 1, 1], n) * 0.98
    waves = np.stack([count * np.cos(direction), count * np.sin(direction), rng.uniform(0, 7, (n, 3)), amplitude], -1)
    shape = np.concatenate([np.broadcast_to(FLAT, (n, 5)), waves.reshape(n, 12)], -1)
    return make(Kind.RELIEF, centre, half, rotation, shape)
