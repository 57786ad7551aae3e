"""What a scene is made of at one instant, and the pinhole view it is seen in. World axes: x right, y down, z forward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .textures import Texture

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])
"""The window that shows all of a texture."""


@dataclass(frozen=True, eq=False)
class Faces:
    """F flat rectangles or parallelograms: the points origin + s * u + t * v with (s, t) inside the window.

    origin_m, u_m, v_m: (F, 3). Seen only from the side where u runs to the right and v down (u x v points away).
    window: (F, 4) s0, t0, s1, t1: the part of the texture's unit square that this face shows.
    textures: F of them, spanning (s, t) in [0, 1]. gain: (F,) brightness.
    """

    origin_m: np.ndarray
    u_m: np.ndarray
    v_m: np.ndarray
    window: np.ndarray
    textures: tuple[Texture, ...]
    gain: np.ndarray

    def __len__(self) -> int:
        return len(self.textures)

    @cached_property
    def texels(self) -> np.ndarray:
        """(F, 2) width and height of every texture."""
        return np.array([texture.size for texture in self.textures])

    @property
    def centre_m(self) -> np.ndarray:
        """(F, 3) middle of each window."""
        middle = (self.window[:, :2] + self.window[:, 2:]) / 2
        return self.origin_m + middle[:, :1] * self.u_m + middle[:, 1:] * self.v_m

    @staticmethod
    def concatenate(*parts: Faces) -> Faces:
        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        textures = tuple(texture for part in parts for texture in part.textures)
        return Faces(joined("origin_m"), joined("u_m"), joined("v_m"), joined("window"), textures, joined("gain"))

    @staticmethod
    def panel(origin_m: np.ndarray, u_m: np.ndarray, v_m: np.ndarray, texture: Texture, windows: np.ndarray = WHOLE) -> Faces:
        """One face, or several that each show a window (N, 4) of the same one."""
        n = len(windows)
        origin, u, v = (np.tile(np.asarray(value, float), (n, 1)) for value in (origin_m, u_m, v_m))
        return Faces(origin, u, v, windows, (texture,) * n, np.ones(n))


@dataclass(frozen=True, eq=False)
class Sphere:
    """centre_m: (3,). R: (3, 3), turns world directions into the ball's own, where its texture is fixed."""

    centre_m: np.ndarray
    radius_m: float
    R: np.ndarray
    texture: Texture


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Everything that can be seen. Surface ids count the faces first, then the spheres.

    lamp_m: (3,) the light that shades the spheres. floor_tiles: how many of the first faces are the floor, all of them
    parts of one panel; floor_light: (h, w) uint8 over that panel and one texel around, 255 where nothing casts a shadow.
    """

    faces: Faces
    spheres: tuple[Sphere, ...]
    lamp_m: np.ndarray
    floor_tiles: int
    floor_light: np.ndarray


@dataclass(frozen=True, eq=False)
class View:
    """A pinhole camera. K: (3, 3) px. R: (3, 3) camera_from_world. centre_m: (3,) where it stands in the world."""

    width: int
    height: int
    K: np.ndarray
    R: np.ndarray
    centre_m: np.ndarray

    def in_camera(self, points_m: np.ndarray) -> np.ndarray:
        """(..., 3) world points in the camera's frame."""
        return (points_m - self.centre_m) @ self.R.T

    @cached_property
    def K_inverse(self) -> np.ndarray:
        return np.linalg.inv(self.K)

    def planes(self, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
        """How every face appears: (F, 3, 3) matrices N, and (F,) bool whether the view is on its visible side.

        N @ (x, y, 1) = (s, t, 1) / z: with [u v o] in the camera's frame, K [u v o] (s, t, 1) = z (x, y, 1), and N is the
        inverse. So s/z, t/z and the inverse depth 1/z are affine in the pixel, which is what makes depth exact.
        """
        world = np.stack([faces.u_m @ self.R.T, faces.v_m @ self.R.T, self.in_camera(faces.origin_m)], axis=-1)
        facing = np.linalg.det(world) > 1e-12
        planes = np.zeros_like(world)
        planes[facing] = np.linalg.inv(self.K @ world[facing])
        return planes, facing


def window_edges(planes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(F, 5, 3) affine functions of the pixel, all >= 0 exactly where the face's window is in front of the view.

    planes: (F, 3, 3) of View.planes. The five: s >= s0, s <= s1, t >= t0, t <= t1, z > 0 (each times 1/z).
    """
    s, t, one = planes[:, 0], planes[:, 1], planes[:, 2]
    s0, t0, s1, t1 = (windows[:, k, None] for k in range(4))
    return np.stack([s - s0 * one, s1 * one - s, t - t0 * one, t1 * one - t, one], axis=1)
