"""Groups: bodies that belong together, such as furniture, rows, twigs, leaves, wires, and what hangs on a wall.

Each takes the generator, the view, the group's place (3,), the length px of one pixel there, and gives Things.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shapes import Kind
from .things import FLAT, QUADRICS, TUBE, UPWARD, Things, assemble, cuts, facing, make, poses, reliefs, turns
from .view import View


def _along(directions: np.ndarray) -> np.ndarray:
    """(n, 3, 3) rotations whose z axes are the directions (n, 3)."""
    z = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    x = np.cross(z, np.where(np.abs(z[:, :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], -1)


def twigs(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A thicket of rods 1 to 4 px thick."""
    n = int(rng.integers(8, 36))
    spread = px * rng.uniform(15, 80)
    length = px * rng.uniform(12, 70, n)
    direction = rng.normal(size=(n, 3)) * [1, 1, 0.5] + [0, rng.choice([0, -2.0]), 0]
    radius = px * rng.uniform(0.5, 2, n)
    centre = place + spread * rng.normal(0, 0.6, (n, 3))
    rods = make(Kind.QUADRIC, centre, np.stack([radius, radius, length], -1), _along(direction), QUADRICS[TUBE])
    return assemble(rods, np.eye(3), np.zeros(3))


def leaves(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """Many small flat or bent leaves around a point."""
    n = int(rng.integers(20, 70))
    spread = px * rng.uniform(20, 90)
    size = px * rng.uniform(2, 4) * rng.uniform(0.7, 4, (n, 1)) * [1, rng.uniform(0.25, 1), 0.3]
    bent = rng.random() < 0.4
    kind, shape = (Kind.QUADRIC, QUADRICS[4]) if bent else (Kind.DISC, FLAT)
    centre = place + spread * rng.normal(0, 0.5, (n, 3))
    return assemble(make(kind, centre, size, facing(rng, n) if bent else poses(rng, n, 0), shape), np.eye(3), np.zeros(3))


def wires(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A few long straight wires, or the bars of a scaffold."""
    n = int(rng.integers(2, 7))
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]) + 0.08 * rng.normal(size=n)
    direction = np.stack([np.cos(angle), np.sin(angle), 0.3 * rng.normal(size=n)], -1)
    radius = px * np.full(n, rng.uniform(0.5, 2.5))
    centre = place + px * rng.normal(0, 60, (n, 3)) * [1, 1, 0.5]
    length = px * rng.uniform(80, 400, n)
    rods = make(Kind.QUADRIC, centre, np.stack([radius, radius, length], -1), _along(direction), QUADRICS[TUBE])
    return assemble(rods, np.eye(3), np.zeros(3))


def row(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """Boards side by side: pickets, slats, books, shelves."""
    n = int(rng.integers(4, 15))
    width = rng.uniform(0.1, 1.0) * (1 + rng.uniform(0, 0.6) * rng.normal(size=n)).clip(0.3, 2)
    pitch = width + (0.02 if rng.random() < 0.4 else rng.uniform(0.1, 1.5))
    high = rng.uniform(2, 7) * (1 + rng.choice([0.0, 0.15]) * rng.normal(size=n)).clip(0.4, 1.6)
    deep = rng.choice([0.15, 1.5]) * np.ones(n)
    x = np.cumsum(pitch) - pitch.sum() / 2
    parts = make(
        Kind.BOX,
        np.stack([x, high.mean() - high, 0.1 * deep * rng.normal(size=n)], -1),
        np.stack([width / 2, high, deep], -1),
        turns(np.zeros(n), np.zeros(n), 0.03 * rng.normal(size=n)),
    )
    roll = rng.choice([0, 0, np.pi / 2]) + 0.05 * rng.normal()
    frame = turns(0.5 * rng.normal(), 0.06 * rng.normal(), roll)
    return assemble(parts, frame, place, px * rng.uniform(8, 20))


def furniture(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A table or chair: a slab on four legs, often with a back of slats."""
    w, d, h, leg = rng.uniform(0.6, 1.6), rng.uniform(0.5, 1), rng.uniform(0.6, 1.4), rng.uniform(0.02, 0.09)
    centre, half = [[0.0, 0, 0]], [[w, rng.uniform(0.02, 0.1), d]]
    for side in (-1, 1):
        for end in (-1, 1):
            centre.append([side * (w - leg), h, end * (d - leg)])
            half.append([leg, h, leg])
    if rng.random() < 0.6:
        slats, back = int(rng.integers(2, 8)), rng.uniform(0.6, 1.5)
        for k in range(slats):
            centre.append([w * (2 * (k + 0.5) / slats - 1), -back, d])
            half.append([w / slats * rng.uniform(0.3, 0.8), back, 0.02])
        centre.append([0, -2 * back, d])
        half.append([w, leg * 1.5, leg])
    parts = make(Kind.BOX, np.array(centre), np.array(half), np.eye(3))
    frame = turns(rng.uniform(0, 2 * np.pi), 0.03 * rng.normal(), 0.03 * rng.normal())
    return assemble(parts, frame, place, px * rng.uniform(30, 110))


def lattice(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A fence, a grille or a net of bars 1 to 4 px wide."""
    half = px * np.array([[rng.uniform(40, 220), rng.uniform(40, 160), 1.0]])
    kind = np.array([rng.choice([Kind.GRID, Kind.BARS])])
    return make(kind, place[None], half, facing(rng, 1), cuts(rng, kind, half, np.array([px])))


def cushion(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A piece of crumpled cloth."""
    half = px * np.array([[rng.uniform(30, 130), rng.uniform(30, 110), rng.uniform(4, 25)]])
    return reliefs(rng, place[None], half, facing(rng, 1), (0.7, 2.5))


def pane(rng: np.random.Generator, view: View, place: np.ndarray, px: float) -> Things:
    """A pane of glass, in a frame more often than not."""
    w, h, frame = rng.uniform(30, 170), rng.uniform(30, 120), rng.uniform(1, 8)
    centre, half, kind = [[0, 0, 0.0]], [[w, h, 0.1]], [Kind.PANE]
    if rng.random() < 0.7:
        for side in (-1, 1):
            centre += [[side * w, 0, 0], [0, side * h, 0]]
            half += [[frame, h + frame, frame], [w - frame, frame, frame]]
            kind += [Kind.BOX, Kind.BOX]
    shape = np.where((np.array(kind) == Kind.PANE)[:, None], FLAT, 0)
    parts = make(np.array(kind), np.array(centre), np.array(half), np.eye(3), shape)
    return assemble(parts, facing(rng, 1)[0], place, px)


TERRAIN = 0.3  # of the way from the left eye to a wall, that terrain may take

GROUPS: tuple[Callable[[np.random.Generator, View, np.ndarray, float], Things], ...] = (
    twigs,
    leaves,
    wires,
    row,
    furniture,
    lattice,
    cushion,
    pane,
)


def posters(rng: np.random.Generator, room: Things) -> Things:
    """Flat things on the back wall of the room, which the first of these Things is."""
    n = int(rng.integers(1, 7))
    half, rotation = room.half[0], room.rotation[0]
    size = half[None] * np.stack([rng.uniform(0.03, 0.3, n), rng.uniform(0.05, 0.4, n), np.full(n, 1e-4)], -1)
    lift = half[2] * (1 - rng.uniform(0.002, 0.02, n))
    place = np.stack([half[0] * rng.uniform(-0.8, 0.8, n), half[1] * rng.uniform(-0.9, 0.6, n), lift], -1)
    kind = rng.choice([Kind.SHEET, Kind.SHEET, Kind.DISC], n)
    return make(kind, room.centre[0] + place @ rotation.T, size, rotation, FLAT)


def terrain(rng: np.random.Generator, room: Things) -> Things:
    """Uneven ground, or a curtain before the back wall, of the room that the first of these Things is.

    It leaves at least the share 1 - TERRAIN of the way from the left eye to the floor or the wall.
    """
    half, rotation = room.half[0], room.rotation[0]
    reach = half + room.centre[0] @ rotation
    high = 0.5 * TERRAIN * reach * rng.uniform(0.2, 1)
    if rng.random() < 0.5:
        size = np.array([half[0], half[2], high[1]])
        place, turn, periods = np.array([0, half[1] - high[1], 0]), UPWARD, (1.0, 4.0)
    else:
        size = np.array([half[0], half[1], high[2]])
        place, turn, periods = np.array([0, 0, half[2] - high[2]]), np.eye(3), (1.5, 6.0)
    return reliefs(rng, (room.centre[0] + rotation @ place)[None], size[None], (rotation @ turn)[None], periods)
