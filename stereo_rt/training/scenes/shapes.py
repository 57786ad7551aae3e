"""Shapes: where a ray meets each kind of thing, in the thing's own coordinates, where it fills the cube [-1, 1]^3.

A ray is origin + t * direction, both (3, N). Every function gives t (N,), the depth of the first point met, infinity where
there is none. shape (SHAPE_VALUES, N) holds what is particular to a thing:

    0-4   q0 q1 q2 l c   the quadric q0 x^2 + q1 y^2 + q2 z^2 + l z + c = 0; its gradient is the normal
    5-16                 the waves of a relief, or what cuts holes into a sheet
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from math import inf

import torch
from torch import Tensor

SHAPE_VALUES = 17
CUT = 5  # first of the values that cut a sheet
WAVES = 3
MARCH_STEPS, BISECTIONS = 20, 18
NEAREST = 1e-3


class Kind(IntEnum):
    ROOM = 0
    BOX = 1
    QUADRIC = 2
    RELIEF = 3
    SHEET = 4
    DISC = 5
    BARS = 6
    GRID = 7
    HOLES = 8
    BLOBS = 9
    FLOWER = 10
    PANE = 11


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(N,) products of vectors (3, N): written out, which takes a tenth of the time of a sum over the first axis."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(a: Tensor) -> Tensor:
    return a * dot(a, a).rsqrt()


def main_axis(a: Tensor) -> Tensor:
    """(N,) int64, the axis along which the vectors (3, N) are longest."""
    x, y, z = a.abs()
    return torch.where(z > torch.maximum(x, y), 2, (y > x).long())


def _slabs(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """t (N,) where the ray enters and leaves the cube; it misses where the first is not less than the second."""
    inverse = 1 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    middle, half = -origin * inverse, inverse.abs()
    near, far = middle - half, middle + half
    return (
        torch.maximum(torch.maximum(near[0], near[1]), near[2]),
        torch.minimum(torch.minimum(far[0], far[1]), far[2]),
    )


def room(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
    """A box seen from within."""
    return _slabs(origin, direction)[1]


def box(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
    enters, leaves = _slabs(origin, direction)
    return torch.where((enters < leaves) & (enters > NEAREST), enters, inf)


def quadric(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
    """A surface of second order, cut off by the cube: ellipsoids, tubes, cones, bent sheets, saddles."""
    # From the point of the ray next to the centre, so that float32 suffices for thin things far away.
    shift = -dot(origin, direction) / dot(direction, direction)
    start = torch.addcmul(origin, shift, direction)
    q, linear = shape[:3], shape[3]
    scaled = q * start
    a = dot(q * direction, direction)
    b = dot(scaled, direction) + 0.5 * linear * direction[2]
    c = dot(scaled, start) + linear * start[2] + shape[4]
    discriminant = b * b - a * c
    root = -(b + torch.copysign(discriminant.clamp(min=0).sqrt(), b))  # of two formulas the one that does not cancel
    first, second = root / a, c / root
    best = torch.full_like(shift, inf)
    for t in (torch.maximum(first, second), torch.minimum(first, second)):
        x, y, z = torch.addcmul(start, t, direction).abs()
        inside = torch.maximum(torch.maximum(x, y), z) <= 1.0001
        best = torch.where(inside & (discriminant >= 0) & (t + shift > NEAREST), t + shift, best)
    return best


def height(u: Tensor, v: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The relief z(u, v), a sum of waves, and its slopes along u and v."""
    z, du, dv = torch.zeros_like(u), torch.zeros_like(u), torch.zeros_like(u)
    for wave in range(WAVES):
        ku, kv, phase, amplitude = shape[CUT + 4 * wave : CUT + 4 * wave + 4]
        angle = ku * u + kv * v + phase
        z += amplitude * angle.sin()
        slope = amplitude * angle.cos()
        du += ku * slope
        dv += kv * slope
    return z, du, dv


def _above(origin: Tensor, direction: Tensor, shape: Tensor, t: Tensor) -> Tensor:
    """How far the ray at t is above the relief."""
    u, v, z = torch.addcmul(origin, t, direction)
    for wave in range(WAVES):
        ku, kv, phase, amplitude = shape[CUT + 4 * wave : CUT + 4 * wave + 4]
        z = z - amplitude * (ku * u + kv * v + phase).sin()
    return z


def relief(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
    """A wavy sheet: marched to the first change of side, then halved to the precision of float32."""
    enters, leaves = _slabs(origin, direction)
    enters = enters.clamp(min=NEAREST)
    best = torch.full_like(enters, inf)
    through = (enters < leaves).nonzero()[:, 0]
    origin, direction, shape = origin[:, through], direction[:, through], shape[:, through]
    near, leaves = enters[through], leaves[through]
    step = (leaves - near) / MARCH_STEPS
    side = _above(origin, direction, shape, near) > 0
    low, found = near.clone(), torch.zeros_like(side)
    for k in range(1, MARCH_STEPS + 1):
        t = near + k * step
        crossed = (_above(origin, direction, shape, t) > 0) != side
        found |= crossed
        low = torch.where(found, low, t)
    met = found.nonzero()[:, 0]
    origin, direction, shape = origin[:, met], direction[:, met], shape[:, met]
    low, step, side = low[met], step[met], side[met]
    for _ in range(BISECTIONS):
        step = step / 2
        same = (_above(origin, direction, shape, low + step) > 0) == side
        low = torch.where(same, low + step, low)
    best[through[met]] = low + step / 2
    return best


def _cut(keeps: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The intersection with the plane z = 0 where keeps(u, v, cut) (N,) is True."""

    def sheet(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
        t = -origin[2] / torch.where(direction[2].abs() < 1e-9, 1e-9, direction[2])
        u, v = torch.addcmul(origin[:2], t, direction[:2])
        square = torch.maximum(u.abs(), v.abs()) < 1
        return torch.where(square & (t > NEAREST) & keeps(u, v, shape[CUT:]), t, inf)

    return sheet


def _bars(u: Tensor, cut: Tensor) -> Tensor:
    """cut: how many along u, along v, and the share of each that is solid."""
    return (u * cut[0]).remainder(1) < cut[2]


def _grid(u: Tensor, v: Tensor, cut: Tensor) -> Tensor:
    return _bars(u, cut) | ((v * cut[1]).remainder(1) < cut[2])


def _holes(u: Tensor, v: Tensor, cut: Tensor) -> Tensor:
    across, down = (u * cut[0]).remainder(1) - 0.5, (v * cut[1]).remainder(1) - 0.5
    return across * across + down * down > 0.25 * (1 - cut[2]) ** 2


def _blobs(u: Tensor, v: Tensor, cut: Tensor) -> Tensor:
    a, b = u * cut[0], v * cut[1]
    return (2.1 * a).sin() + (1.7 * b).sin() + (3.3 * a + 2.9 * b).sin() + (5.1 * a - 4.3 * b).sin() > 4 * cut[2] - 1.5


def _flower(u: Tensor, v: Tensor, cut: Tensor) -> Tensor:
    return torch.hypot(u, v) < 0.65 + 0.35 * torch.cos(torch.atan2(v, u) * cut[0].round() + cut[1])


_whole = _cut(lambda u, v, cut: torch.ones_like(u, dtype=torch.bool))

MEETS: dict[Kind, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Kind.ROOM: room,
    Kind.BOX: box,
    Kind.QUADRIC: quadric,
    Kind.RELIEF: relief,
    Kind.SHEET: _whole,
    Kind.DISC: _cut(lambda u, v, cut: u * u + v * v < 1),
    Kind.BARS: _cut(lambda u, v, cut: _bars(u, cut)),
    Kind.GRID: _cut(_grid),
    Kind.HOLES: _cut(_holes),
    Kind.BLOBS: _cut(_blobs),
    Kind.FLOWER: _cut(_flower),
    Kind.PANE: _whole,
}


def normals(kind: Tensor, point: Tensor, shape: Tensor) -> Tensor:
    """(3, N) gradients, not of unit length, at points (3, N) of things of these kinds (N,)."""
    gradient = 2 * shape[:3] * point
    gradient[2] += shape[3]
    flat = kind <= Kind.BOX
    face = main_axis(point)
    for axis in range(3):
        gradient[axis] = torch.where(flat, torch.where(face == axis, point[axis].sign(), 0), gradient[axis])
    wavy = (kind == Kind.RELIEF).nonzero()[:, 0]
    _, du, dv = height(point[0, wavy], point[1, wavy], shape[:, wavy])
    gradient[:, wavy] = torch.stack([-du, -dv, torch.ones_like(du)])
    return gradient
