"""The room itself: an attic with slanted walls, pictures on them, and the light of one lamp.

World axes: x right, y down, z into the room, in metres; the rig hangs near the origin.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from . import textures as tx
from .surfaces import Faces
from .textures import Colour, Texture

FLOOR_M, CEILING_M = 1.25, -1.45
TEXELS_PER_M = 170
LAMP_M = np.array([0.3, -1.15, 2.6])
FLOOR_TILES = 2
"""The floor is cut into this many faces, which come first."""


def build_room(rng: np.random.Generator, side: float, palette: tuple[Colour, ...]) -> Faces:
    """Floor first, then ceiling, the slope under the roof, and four walls; panels may reach beyond each other, unseen."""
    left, right = sorted((side * -2.3, side * 2.45))
    back_left, back_right = sorted((side * -2.9, side * 2.6))
    near, far = -1.0, 6.9
    corners = [(left, near), (back_left, far - 0.45 * side), (back_right, far + 0.45 * side), (right, near)]
    tall = FLOOR_M - CEILING_M
    wall = [tx.WALLS[k] for k in rng.permutation(len(tx.WALLS))]
    depth = (0.0, 0.42, 1.0)  # where long panels are cut, so that each part gets textures of a fitting resolution

    def panel(
        origin: tuple[float, float, float],
        u: tuple[float, float, float],
        v: tuple[float, float, float],
        material: tx.Material,
        ink: Colour,
        cut_s: tuple[float, ...] = (0.0, 1.0),
        cut_t: tuple[float, ...] = (0.0, 1.0),
    ) -> Faces:
        corner, u_m, v_m = np.array(origin, float), np.array(u, float), np.array(v, float)
        w, h = (tx.texel_count(float(np.linalg.norm(edge)) * TEXELS_PER_M) for edge in (u_m, v_m))
        skin = Texture(_lit(material(rng, h, w, ink), corner, u_m, v_m))
        windows = np.array([(s0, t0, s1, t1) for s0, s1 in pairwise(cut_s) for t0, t1 in pairwise(cut_t)])
        return Faces.panel(corner, u_m, v_m, skin, windows)

    def wall_between(a: tuple[float, float], b: tuple[float, float], material: tx.Material, *cut: tuple[float, ...]) -> Faces:
        u = (b[0] - a[0], 0.0, b[1] - a[1])
        return panel((a[0], CEILING_M, a[1]), u, (0.0, tall, 0.0), material, palette[0], *cut)

    reach_x, reach_z = 6.4, far + 1.6 - near
    backwards = tuple(1 - d for d in depth[::-1])
    floor_material = tx.FLOORS[rng.integers(len(tx.FLOORS))]
    floor = panel(
        (-3.2, FLOOR_M, near + reach_z), (reach_x, 0, 0), (0, 0, -reach_z), floor_material, palette[1], (0, 1), backwards
    )
    ceiling = panel((-3.2, CEILING_M, near), (reach_x, 0, 0), (0, 0, reach_z), tx.plaster, (222, 226, 228), (0, 1), depth)
    # a plank slope comes down from the ceiling on one side; its first axis runs so that the room sees its face
    inner, outer, drop = 1.2 * side, 2.75 * side, 1.1
    start, cut = (near + reach_z, backwards) if side > 0 else (near, depth)
    roof = panel((inner, CEILING_M, start), (0, 0, -side * reach_z), (outer - inner, drop, 0), tx.wood, palette[1], cut)
    walls = (
        wall_between(corners[0], corners[1], wall[0], depth),
        wall_between(corners[1], corners[2], wall[1]),
        wall_between(corners[2], corners[3], wall[2], backwards),
        wall_between(corners[3], corners[0], tx.plaster),
    )
    return Faces.concatenate(floor, ceiling, roof, *walls, _posters(rng, corners))


def _posters(rng: np.random.Generator, corners: list[tuple[float, float]]) -> Faces:
    """Pictures a centimetre in front of the back wall and the side walls."""
    parts = []
    for (a, b), (start, width) in zip(
        ((corners[1], corners[2]), (corners[1], corners[2]), (corners[0], corners[1]), (corners[2], corners[3])),
        ((0.62, 0.15), (0.84, 0.12), (0.48, 0.14), (0.30, 0.14)),
        strict=True,
    ):
        along = np.array([b[0] - a[0], 0, b[1] - a[1]])
        length = float(np.linalg.norm(along))
        inward = np.array([along[2], 0, -along[0]]) / length * 0.01
        origin = np.array([a[0], float(rng.uniform(-0.75, -0.5)), a[1]]) + start * along + inward
        u, v = along * width, np.array([0, float(rng.uniform(0.8, 1.05)), 0])
        skin = Texture(_lit(tx.poster(rng, 240, 240, (200, 208, 214)), origin, u, v))
        parts.append(Faces.panel(origin, u, v, skin))
    return Faces.concatenate(*parts)


def _lit(image: np.ndarray, origin: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The image with the lamp's light painted on: it falls off with angle and distance, the same from every view."""
    h, w = image.shape[:2]
    s, t = np.meshgrid((np.arange(32) + 0.5) / 32, (np.arange(32) + 0.5) / 32)
    to_lamp = LAMP_M - (origin + s[..., None] * u + t[..., None] * v)
    distance = np.linalg.norm(to_lamp, axis=-1)
    outward = np.cross(v, u) / np.linalg.norm(np.cross(v, u))
    light = 0.62 + 0.55 * np.clip(to_lamp @ outward / distance, 0, None) / (1 + (distance / 4.5) ** 2)
    light = cv2.resize(light.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    return np.clip(image * light[..., None], 0, 255).astype(np.uint8)


def floor_light(room: Faces, shadows: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(h, w) uint8 light on the floor panel and a texel around it: soft blobs under things, fainter the higher they are.

    shadows: centre (3,) and half extent (3,) of every thing.
    """
    width, depth = float(room.u_m[0, 0]), float(-room.v_m[0, 2])
    x = room.origin_m[0, 0] + np.arange(0.04, width, 0.08)
    z = room.origin_m[0, 2] - np.arange(0.04, depth, 0.08)
    light = np.ones((len(z), len(x)), np.float32)
    for place, (reach_x, reach_y, reach_z) in shadows:
        height = max(FLOOR_M - place[1] - reach_y, 0.0)
        grow = 1.05 + 0.5 * height
        across, along = np.abs(x - place[0]) / (reach_x * grow), np.abs(z - place[2]) / (reach_z * grow)
        light *= 1 - 0.65 / (1 + 2.5 * height) * np.outer(np.exp(-(along**4)), np.exp(-(across**4))).astype(np.float32)
    return np.pad((light * 255).astype(np.uint8), 1, mode="edge")
