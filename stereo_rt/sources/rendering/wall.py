"""A plain test target: one flat wall before a rig that stands still."""

from __future__ import annotations

import cv2
import numpy as np

from . import textures as tx
from .surfaces import Faces, Surfaces
from .textures import Texture

TURN_DEG = (1.5, -4.0, 0.0)
"""How the wall is turned about the rig's x, y and z: a wall exactly square to it would have one disparity everywhere."""
SIZE = (4.0, 3.0)
"""Width and height, in distances: beyond every view."""
TEXELS = (2048, 1536)


class Wall:
    """distance_m: from the left eye to the nearest point of the wall's plane. seed: of its pattern."""

    def __init__(self, distance_m: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        skin = Texture(tx.terrazzo(rng, TEXELS[1], TEXELS[0], (96, 140, 176)))
        turn = cv2.Rodrigues(np.deg2rad(TURN_DEG))[0]
        right, down, away = (axis * distance_m for axis in turn.T)
        origin = away - right * SIZE[0] / 2 - down * SIZE[1] / 2
        faces = Faces.panel(origin, right * SIZE[0], down * SIZE[1], skin)
        no_floor = np.full((1, 1), 255, np.uint8)
        self._surfaces = Surfaces(faces, (), np.zeros(3), 0, no_floor)

    def rig_pose(self, t_s: float) -> tuple[np.ndarray, np.ndarray]:
        """R (3, 3) left_camera_from_world and the left eye's place (3,) in the world: the same at all times."""
        return np.eye(3), np.zeros(3)

    def at(self, t_s: float) -> Surfaces:
        return self._surfaces
