"""Materials and light: how things look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Kind
from .things import Things
from .view import View

LEAST_CONTRAST = 0.15  # of large surfaces, as a share of what the texture has
LEAST_DEVIATION = 0.02  # of the brightness of large surfaces: below it nothing could be matched over most of the view
MOST_CONTRAST = 6.0  # what a texture may be exaggerated to for that
APART = 37 * np.arange(6)  # between the textures of a thing's faces, where they have different ones
MOSTLY = 0.5  # from this opacity on the truth is of the pane, below it of what is behind


@dataclass(frozen=True, eq=False)
class Materials:
    """Of n things. texture (n, 6) int, of each face; texels (n,) a baseline; offset (n, 2) texels; contrast (n, 6) of the
    texture about its mean; tint (n, 3); specular (n,) and shininess (n,) of the highlight; reflectivity (n,) in [0, 0.45],
    the mirrored surroundings (infinitely far); opacity (n,), less than 1 for panes only."""

    texture: np.ndarray
    texels: np.ndarray
    offset: np.ndarray
    contrast: np.ndarray
    tint: np.ndarray
    specular: np.ndarray
    shininess: np.ndarray
    reflectivity: np.ndarray
    opacity: np.ndarray


@dataclass(frozen=True, eq=False)
class Light:
    """A lamp at place (3,) and an ambient share in [0, 1]; dapple in [0, 1] is how much of the lamp a pattern of shade
    takes away, which the texture throws with that many texels a radian; surroundings is the texture that mirrors show."""

    place: np.ndarray
    ambient: float
    dapple: float
    texture: int
    texels: float
    surroundings: int


def sample_light(rng: np.random.Generator, view: View, textures: int) -> Light:
    depth = view.focal_px / view.far_px
    place = depth * np.array([rng.uniform(-1.5, 1.5), rng.uniform(-2.5, 0.3), rng.uniform(-1, 0.8)])
    dapple = rng.uniform(0.2, 0.8) if rng.random() < 0.35 else 0.0
    pattern, surroundings = rng.integers(textures, size=2)
    return Light(place, rng.uniform(0.4, 0.9), dapple, int(pattern), 30 * 10 ** rng.random(), int(surroundings))


def sample_materials(
    rng: np.random.Generator, view: View, things: Things, large: np.ndarray, deviation: np.ndarray
) -> Materials:
    """Materials of the things, alike within a group. large (n,) bool: what covers much of the view, and so is given enough
    contrast to be matched. deviation (textures,): the standard deviation of each texture's brightness, in [0, 1]."""
    n, groups = len(things.kind), int(things.group.max()) + 1
    group, pick = things.group, rng.random

    def shared(values: np.ndarray) -> np.ndarray:
        return values[group]

    first = rng.integers(len(deviation), size=groups)
    contrast = shared(rng.choice([1.4, 1.4, 1.4, 1, 1, 0.5, 0.2, 0.06], groups))
    depth = np.maximum(things.centre[:, 2], view.focal_px / view.most_px)
    depth[0] = 0.5 * view.focal_px / view.far_px  # the room, in whose midst the eyes are
    colour = 1 + 1.2 * pick((groups, 1)) * (pick((groups, 3)) - 0.5)
    tint = shared(((0.45 + 0.35 * pick((groups, 1))) * colour).clip(max=0.9))  # light must not bleach it
    clear, per_face = pick(groups) < 0.65, pick(groups) < 0.5
    texture = shared((first[:, None] + APART * per_face[:, None]) % len(deviation))
    visible = np.maximum(deviation[texture] * tint.mean(1, keepdims=True), 1e-3)
    floor = np.maximum(LEAST_CONTRAST, LEAST_DEVIATION / visible).clip(max=MOST_CONTRAST)
    contrast = np.repeat(contrast[:, None], len(APART), 1)
    pane = things.kind == Kind.PANE
    return Materials(
        texture=texture,
        texels=shared(0.35 * 7 ** pick(groups)) * view.focal_px / depth,
        offset=256 * pick((n, 2)),
        contrast=np.where(large[:, None], np.maximum(contrast, floor), contrast),
        tint=tint * (1 + 0.12 * (pick((n, 1)) - 0.5)),
        specular=shared(np.where(pick(groups) < 0.25, 0.6 * pick(groups), 0)),
        shininess=shared(8 * 12 ** pick(groups)),
        reflectivity=np.where(pane, 0.45, shared(np.where(pick(groups) < 0.15, rng.uniform(0.1, 0.45, groups), 0))),
        opacity=np.where(pane, shared(np.where(clear, rng.uniform(0.05, 0.3, groups), rng.uniform(0.6, 0.9, groups))), 1),
    )
