"""Boxes and balls, and how they move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .surfaces import WHOLE, Faces, Sphere
from .textures import Texture

Vector = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Motion:
    """Back and forth by slide_m (3,), rate_hz times a second, while turning spin_hz times a second about axis (3,)."""

    slide_m: Vector = (0.0, 0.0, 0.0)
    rate_hz: float = 0.0
    spin_hz: float = 0.0
    axis: Vector = (0.0, 1.0, 0.0)
    phase: float = 0.0
    """Of both, in turns."""

    def at(self, t_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Offset (3,) in metres and rotation (3, 3)."""
        offset = np.array(self.slide_m) * np.sin(2 * np.pi * (self.rate_hz * t_s + self.phase))
        turns = (self.spin_hz * t_s + self.phase) % 1.0 if self.spin_hz else 0.0
        turn = np.array(self.axis) / np.linalg.norm(self.axis) * (2 * np.pi * turns)
        return offset, cv2.Rodrigues(turn)[0]

    def periodic(self, period_s: float) -> Motion:
        """The nearest motion that is back where it was after period_s, and does move."""

        def whole(hz: float) -> float:
            return float(np.sign(hz)) * max(1, round(abs(hz) * period_s)) / period_s

        return replace(self, rate_hz=whole(self.rate_hz), spin_hz=whole(self.spin_hz))


@dataclass(frozen=True, eq=False)
class Cuboid:
    """centre_m, size_m: (3,). R: (3, 3) at rest. textures: front and back, left and right, top and bottom."""

    centre_m: Vector
    size_m: Vector
    textures: tuple[Texture, Texture, Texture]
    motion: Motion
    R: np.ndarray


@dataclass(frozen=True, eq=False)
class Ball:
    centre_m: Vector
    radius_m: float
    texture: Texture
    motion: Motion

    def at(self, t_s: float) -> Sphere:
        offset, turn = self.motion.at(t_s)
        return Sphere(self.centre_m + offset, self.radius_m, turn.T, self.texture)


_CORNERS = np.array([[-1, -1, -1], [1, -1, 1], [-1, -1, 1], [1, -1, -1], [-1, -1, 1], [-1, 1, -1]]) / 2
_RIGHT = np.array([[1, 0, 0], [-1, 0, 0], [0, 0, -1], [0, 0, 1], [1, 0, 0], [1, 0, 0]], float)
_DOWN = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)
"""The six faces of a unit cube seen from outside: front, back, left, right, top, bottom."""


def place_cuboids(cuboids: tuple[Cuboid, ...], t_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Where they are at time t: centres (N, 3) and turns (N, 3, 3), world_from_cuboid."""
    poses = [c.motion.at(t_s) for c in cuboids]
    centre_m = np.stack([c.centre_m + offset for c, (offset, _) in zip(cuboids, poses, strict=True)])
    return centre_m, np.stack([turn @ c.R for c, (_, turn) in zip(cuboids, poses, strict=True)])


def cuboid_faces(cuboids: tuple[Cuboid, ...], centre_m: np.ndarray, R: np.ndarray, lamp_m: np.ndarray) -> Faces:
    """All six faces of each, brighter where they are turned to the lamp. centre_m, R: of place_cuboids."""
    size = np.array([c.size_m for c in cuboids])[:, None, :]
    corner, u, v = (np.einsum("nij,nfj->nfi", R, size * unit).reshape(-1, 3) for unit in (_CORNERS, _RIGHT, _DOWN))
    origin = corner + np.repeat(centre_m, 6, axis=0)
    outward, to_lamp = _unit(np.cross(v, u)), _unit(lamp_m - (origin + (u + v) / 2))
    gain = 0.55 + 0.6 * np.clip((outward * to_lamp).sum(axis=1), 0, None)
    textures = tuple(c.textures[k // 2] for c in cuboids for k in range(6))
    return Faces(origin, u, v, np.repeat(WHOLE, len(u), axis=0), textures, gain)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
