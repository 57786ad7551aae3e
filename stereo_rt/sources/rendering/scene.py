"""The moving scene: what is where at time t, and where the rig is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from . import textures as tx
from .room import FLOOR_M, FLOOR_TILES, LAMP_M, build_room, floor_light
from .surfaces import Faces, Surfaces
from .textures import Colour, Texture
from .things import Ball, Cuboid, Motion, Vector, cuboid_faces, place_cuboids

PALETTES: tuple[tuple[Colour, ...], ...] = (
    ((196, 214, 226), (86, 122, 170), (60, 92, 196), (150, 128, 70), (94, 160, 120), (70, 180, 226)),
    ((206, 210, 200), (110, 138, 158), (70, 110, 210), (168, 120, 84), (120, 90, 160), (96, 190, 180)),
    ((188, 206, 216), (70, 104, 150), (80, 170, 230), (140, 140, 60), (80, 80, 190), (170, 160, 110)),
    ((214, 218, 222), (96, 130, 176), (150, 110, 200), (190, 150, 90), (60, 140, 190), (110, 180, 100)),
)
"""Walls, floor, then things."""
DOWNWARD = np.deg2rad([-2.5, 0.0, 0.0])
"""How the rig is tilted, in radians about its axes."""
THIN_M = 0.1
"""Things that reach less far to the side cast no shadow."""


class Scene:
    """The room of one seed. period_s: make every motion repeat after this time, without a seam."""

    def __init__(self, seed: int, period_s: float | None = None) -> None:
        self._room, self._cuboids, self._balls, sway = _furnish(seed)
        self._sway, self._turn = sway
        if period_s is not None:
            self._cuboids = tuple(replace(c, motion=c.motion.periodic(period_s)) for c in self._cuboids)
            self._balls = tuple(replace(b, motion=b.motion.periodic(period_s)) for b in self._balls)
            self._sway, self._turn = self._sway.periodic(period_s), self._turn.periodic(period_s)

    def rig_pose(self, t_s: float) -> tuple[np.ndarray, np.ndarray]:
        """R (3, 3) left_camera_from_world and the left eye's place (3,) in the world."""
        place, _ = self._sway.at(t_s)
        angles, _ = self._turn.at(t_s)
        return cv2.Rodrigues(angles + DOWNWARD)[0], place

    def at(self, t_s: float) -> Surfaces:
        """Everything that can be seen at time t."""
        centre_m, R = place_cuboids(self._cuboids, t_s)
        spheres = tuple(ball.at(t_s) for ball in self._balls)
        shadows = [(sphere.centre_m, np.full(3, sphere.radius_m)) for sphere in spheres]
        for cuboid, place, turn in zip(self._cuboids, centre_m, R, strict=True):
            reach = np.abs(turn) @ np.array(cuboid.size_m) / 2
            if max(reach[0], reach[2]) > THIN_M:
                shadows.append((place, reach))
        return Surfaces(
            Faces.concatenate(self._room, cuboid_faces(self._cuboids, centre_m, R, LAMP_M)),
            spheres,
            LAMP_M,
            FLOOR_TILES,
            floor_light(self._room, shadows),
        )


@lru_cache(maxsize=8)
def _furnish(seed: int) -> tuple[Faces, tuple[Cuboid, ...], tuple[Ball, ...], tuple[Motion, Motion]]:
    """Room, boxes, balls, and the rig's sway (metres) and turning (radians)."""
    rng = np.random.default_rng(seed)
    palette = PALETTES[rng.integers(len(PALETTES))]
    side = 1.0 if rng.random() < 0.5 else -1.0  # a left-handed or right-handed room

    def colour() -> Colour:
        return palette[rng.integers(2, len(palette))]

    def texture(material: tx.Material, h: int = 256, w: int = 256, ink: Colour | None = None) -> Texture:
        image = material(rng, h, w, ink or colour())
        edge = np.minimum.outer(np.minimum(np.arange(h), np.arange(h)[::-1]), np.minimum(np.arange(w), np.arange(w)[::-1]))
        corners = 1 - 0.25 * np.exp(-edge / (0.06 * min(h, w)))
        return Texture(np.clip(image * corners[..., None], 0, 255).astype(np.uint8))

    def material() -> tx.Material:
        return tx.OBJECTS[rng.integers(len(tx.OBJECTS))]

    def motion(slide: Vector = (0, 0, 0), spin_hz: float = 0.0, tumble: bool = False) -> Motion:
        x, y, z = rng.normal(size=3) if tumble else (0.0, 1.0, 0.0)
        rate_hz, spin_hz = float(rng.uniform(0.07, 0.16)), spin_hz * float(rng.uniform(0.7, 1.3))
        return Motion(slide, rate_hz, spin_hz, (float(x), float(y), float(z)), float(rng.random()))

    still = Motion()

    def cuboid(
        centre: Vector,
        size: Vector,
        skin: Texture | tuple[Texture, Texture, Texture],
        moves: Motion = still,
        yaw_deg: float = 0.0,
        lean_deg: float = 0.0,
    ) -> Cuboid:
        place = side * centre[0], centre[1], centre[2]
        lean, yaw = (cv2.Rodrigues(np.deg2rad(side * np.array(turn)))[0] for turn in ((0, 0, lean_deg), (0, yaw_deg, 0)))
        return Cuboid(place, size, skin if isinstance(skin, tuple) else (skin, skin, skin), moves, lean @ yaw)

    def ball(centre: Vector, radius_m: float, skin: Texture, moves: Motion) -> Ball:
        return Ball((side * centre[0], centre[1], centre[2]), radius_m, skin, moves)

    def around(x: float, y: float, z: float) -> Vector:
        """Somewhere near."""
        dx, dz = rng.uniform(-0.2, 0.2, 2)
        return x + float(dx), y, z + float(dz)

    oak, white = texture(tx.wood, ink=palette[1]), texture(tx.plain, 64, 64, (214, 220, 224))
    case = texture(tx.books, 448, 256, palette[1]), oak, oak
    stand = texture(tx.stripes)
    metal = texture(tx.plaster, 512, 32, (90, 96, 100))
    barber = Texture(np.ascontiguousarray(np.rot90(tx.stripes(rng, 32, 512, (120, 150, 235)))))
    table_m, case_m = around(0.35, 0.45, 4.7), around(-0.9, 0.2, 5.95)
    cuboids = [
        cuboid(around(-0.52, -0.12, 1.95), (0.36, 0.36, 0.36), texture(tx.poster), motion((0.12, 0.1, 0.2), 0.09, tumble=True)),
        cuboid(around(0.95, -0.62, 2.7), (0.34, 0.5, 0.3), texture(material()), motion((0.1, 0.1, 0.1), 0.07, tumble=True)),
        cuboid(around(1.0, FLOOR_M - 0.3, 3.7), (0.6, 0.6, 0.5), texture(tx.terrazzo), motion((0.25, 0, 0.1), 0.03)),
        cuboid(around(-1.35, FLOOR_M - 0.45, 4.4), (0.7, 0.9, 0.6), texture(material()), motion((0, 0, 0.25), -0.02)),
        cuboid(around(-1.2, FLOOR_M - 0.2, 3.2), (0.4, 0.4, 0.4), texture(material()), still, 20),
        cuboid(case_m, (1.2, 2.1, 0.35), case, still, -6),
        cuboid(around(1.55, 0.35, 5.0), (0.95, 1.8, 0.05), stand, still, 24),
        cuboid(around(-1.85, 0.35, 3.9), (0.05, 1.8, 1.1), white, still, -8),
        cuboid(table_m, (1.2, 0.05, 0.7), oak),
        cuboid(around(0.45, -0.1, 2.05), (0.02, 3.2, 0.02), barber, motion((0.06, 0, 0))),
        cuboid(around(-0.95, -0.1, 2.9), (0.035, 3.2, 0.035), metal, still, 0, 3),
        cuboid(around(1.3, -0.1, 3.1), (0.05, 3.2, 0.05), barber, still, 0, -2),
        cuboid(around(-0.25, -0.1, 4.0), (0.03, 3.2, 0.03), metal, motion((0.2, 0, 0))),
    ]
    for dx in (-0.5, 0.5):
        leg_m = table_m[0] + dx, (0.45 + FLOOR_M) / 2, table_m[2]
        cuboids.append(cuboid(leg_m, (0.05, FLOOR_M - 0.45, 0.5), metal))
    balls = (
        ball(around(0.62, 0.22, 1.55), 0.15, texture(tx.terrazzo), motion((0.12, 0.16, 0.22), 0.12, tumble=True)),
        ball(around(-0.3, FLOOR_M - 0.24, 3.2), 0.24, texture(tx.poster), motion((0.5, 0, 0.1), 0.1, tumble=True)),
        ball((table_m[0], 0.45 - 0.175, table_m[2]), 0.15, texture(tx.checker), motion((0.2, 0, 0), 0.08)),
        ball(around(-0.2, -0.75, 3.6), 0.2, texture(tx.tiles), motion((0.15, 0.2, 0.3), 0.05, tumble=True)),
        ball(around(0.75, -0.95, 5.2), 0.22, texture(tx.plain, 64, 64), motion((0.1, 0.15, 0.2), 0.05)),
    )
    sway = motion((0.14, 0.05, 0.12)), motion((np.deg2rad(1.0), np.deg2rad(3.0), np.deg2rad(0.6)))
    return build_room(rng, side, palette), tuple(cuboids), balls, sway
