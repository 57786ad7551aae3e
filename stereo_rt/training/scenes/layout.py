"""Layout: what stands where in one scene, a pure function of (seed, number)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .groups import GROUPS, TERRAIN, posters, terrain
from .materials import Light, Materials, sample_light, sample_materials
from .shapes import Kind
from .things import Things, boxes, join, make, quadrics, sheets, turns
from .view import View, sample_view

LARGE = 0.12  # of the view: from here on a surface must have contrast
CLUTTER = (11, 9, 6)  # at most, of boxes, of round and of flat things
LARGEST = 0.6  # of the view, that anything but the room may cover


@dataclass(frozen=True, eq=False)
class Layout:
    """One scene. The first of the things is the room."""

    view: View
    things: Things
    materials: Materials
    light: Light


def sample_layout(seed: int, number: int, size: tuple[int, int], max_disparity_px: float, deviation: np.ndarray) -> Layout:
    """Scene `number` of `seed` for images of size (width, height).

    deviation: (textures,) standard deviation of each texture's brightness. No point of it that either eye sees has more
    than max_disparity_px.
    """
    rng = np.random.default_rng((seed, number))
    view = sample_view(rng, size, max_disparity_px)
    uneven = rng.random() < 0.3
    room = _room(rng, view, 1 - TERRAIN if uneven else 1)
    fixed = [room]
    if rng.random() < 0.4:
        fixed.append(posters(rng, room))
    if uneven:
        fixed.append(terrain(rng, room))
    behind = sum(len(t.kind) for t in fixed)
    density = rng.uniform(0.2, 0.85)
    clutter = _clutter(rng, view, room, density)
    groups = [_group(rng, view, room) for _ in range(rng.binomial(5, density))]
    things = _behind_the_limit(_not_too_large(join([*fixed, clutter, *groups]), view, behind), view, behind)
    large = covered(things, view) > LARGE
    large[0] = True
    return Layout(view, things, sample_materials(rng, view, things, large, deviation), sample_light(rng, view, len(deviation)))


def rectangles(things: Things, view: View, eye: int) -> np.ndarray:
    """(n, 4) int x0 y0 x1 y1 around what the eye sees of each; x1 = x0 or y1 = y0 for what is out of view."""
    corners = things.corners()
    x, y = view.project(np.maximum(corners, [-np.inf, -np.inf, 1e-6]), eye)
    ends = np.stack([x.min(1) - 1, y.min(1) - 1, x.max(1) + 2, y.max(1) + 2], -1)
    ends[corners[..., 2].min(1) < 1e-2] = [0, 0, view.width, view.height]  # partly beside or behind the eye
    ends[corners[..., 2].max(1) < 1e-2] = 0
    return np.clip(ends, 0, [view.width, view.height] * 2).astype(int)


def covered(things: Things, view: View) -> np.ndarray:
    """(n,) shares of the left view that the rectangles take."""
    x0, y0, x1, y1 = rectangles(things, view, 0).T
    share: np.ndarray = (x1 - x0) * (y1 - y0) / (view.width * view.height)
    return share


def _room(rng: np.random.Generator, view: View, nearer: float) -> Things:
    """A box around the eyes: a room, or open country whose sides are far away. What covers its walls may bring them nearer
    by that factor."""
    back = view.focal_px / view.far_px
    wide, above = (back * length / view.focal_px * rng.uniform(0.25, 0.75) for length in (view.width, view.height))
    below = back * view.height / view.focal_px * 0.5 * (0.25 + rng.random() ** 1.5)
    if rng.random() < 0.35:
        wide, above = 6 * wide, 8 * above
    half = np.array([wide, (above + below) / 2, 1.5 * back])
    centre = np.array([0.3 * wide * rng.uniform(-0.5, 0.5), (below - above) / 2, -0.5 * back])
    turned = 0.25 * rng.normal() * (rng.random() < 0.7)
    rotation = turns(turned, 0.06 * rng.normal(), 0.04 * rng.normal())
    # The disparity of a wall is highest in a corner of the picture: move each wall away until it is low enough there.
    x, y = np.meshgrid([-0.5, view.width - 0.5], [-0.5, view.height - 0.5])
    rays = view.points(x.ravel(), y.ravel(), np.full(4, view.focal_px)) @ rotation
    eyes = (np.array([[0, 0, 0], [1, 0, 0]]) - centre) @ rotation
    least = view.focal_px / (nearer * view.near_px)
    low = np.minimum(-half, (eyes.min(0) + least * rays.min(0)).clip(max=eyes.min(0) - 0.05 * least))
    high = np.maximum(half, (eyes.max(0) + least * rays.max(0)).clip(min=eyes.max(0) + 0.05 * least))
    centre, half = centre + rotation @ (low + high) / 2, (high - low) / 2
    return make(Kind.ROOM, centre[None], half[None], rotation)


def _place(rng: np.random.Generator, view: View, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n places (n, 3) in and a little beside the view, at all disparities, and the length (n,) of a pixel there."""
    disparity_px = 1.02 * view.far_px * (view.near_px / view.far_px) ** (rng.random(n) ** 0.65)
    x, y = (length * rng.uniform(-0.05, 1.05, n) for length in (view.width, view.height))
    return view.points(x, y, disparity_px), 1 / disparity_px


def _clutter(rng: np.random.Generator, view: View, room: Things, density: float) -> Things:
    """Single things all over the view; some of those that have a body stand on the floor."""
    (box, box_px), (round_, round_px), (flat, flat_px) = (_place(rng, view, rng.binomial(m, density)) for m in CLUTTER)
    solid = join([boxes(rng, box, _half(rng, view, box_px)), quadrics(rng, round_, _half(rng, view, round_px))])
    stands = rng.random((len(solid.kind), 1)) < 0.3
    solid = replace(solid, centre=solid.centre + stands * _down(solid, room))
    return join([solid, sheets(rng, flat, _half(rng, view, flat_px), flat_px)])


def _half(rng: np.random.Generator, view: View, px: np.ndarray) -> np.ndarray:
    """(n,) half sizes of 7 to 140 px in a view 640 px wide."""
    half: np.ndarray = px * view.width / 640 * 7 * 20 ** rng.random(len(px))
    return half


def _group(rng: np.random.Generator, view: View, room: Things) -> Things:
    place, px = _place(rng, view, 1)
    which = rng.integers(len(GROUPS))
    things = GROUPS[which](rng, view, place[0], px[0] * view.width / 640)
    if GROUPS[which].__name__ in ("furniture", "row") and rng.random() < 0.7:
        down = _down(things, room)
        things = replace(things, centre=things.centre + down[down[:, 1].argmin()])
    return things


def _down(things: Things, room: Things) -> np.ndarray:
    """(n, 3) the way down for each to stand on the floor of the room."""
    corners = things.corners()
    normal = room.rotation[0][:, 1]
    gap = (room.half[0, 1] - (corners - room.centre[0]) @ normal) / normal[1]
    down: np.ndarray = gap.min(1)[:, None] * [0, 1, 0]
    return down


def _not_too_large(things: Things, view: View, fixed: int) -> Things:
    """Shrinks what would hide most of the view."""
    factor = np.minimum(1, np.sqrt(LARGEST / np.maximum(covered(things, view), 1e-9)))
    factor[:fixed] = 1
    return replace(things, half=things.half * factor[:, None])


def _behind_the_limit(things: Things, view: View, fixed: int) -> Things:
    """Moves groups away until no corner has more disparity than view.most_px."""
    lacking = view.focal_px / view.most_px - things.corners()[..., 2].min(1)
    push = np.zeros(things.group.max() + 1)
    np.maximum.at(push, things.group[fixed:], np.maximum(lacking[fixed:], 0))
    return replace(things, centre=things.centre + push[things.group, None] * [0, 0, 1])
