"""Textures of the synthetic room: made from a random generator, sampled at the resolution a view needs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

HALVINGS = 4
"""Textures measure multiples of 2**HALVINGS, so that every level covers exactly the same surface."""

Colour = tuple[int, int, int]
"""Blue, green, red."""


class Texture:
    """An image on a surface and its smaller copies, halved along each axis on its own (a "rip map").

    A slanted surface needs fewer samples along one axis than along the other; one number for both would blur or alias.
    """

    def __init__(self, image: np.ndarray) -> None:
        """image: (H, W, 3) uint8 BGR, H and W multiples of 2**HALVINGS."""
        height, width = image.shape[:2]
        if width % 2**HALVINGS or height % 2**HALVINGS:
            raise ValueError(f"a texture of {width}x{height} cannot be halved {HALVINGS} times")
        self.size = width, height
        self._image = image
        self._levels: dict[tuple[int, int], np.ndarray] = {}

    def level(self, halvings_x: int, halvings_y: int) -> np.ndarray:
        """((H >> halvings_y) + 2, (W >> halvings_x) + 2, 4) uint8: every texel the mean of those it stands for.

        The outermost texels are there twice, so that an edge can be interpolated. The fourth channel is padding: OpenCV
        warps four channels three times as fast as three.
        """
        key = halvings_x, halvings_y
        if key not in self._levels:
            width, height = self.size
            small = cv2.resize(self._image, (width >> halvings_x, height >> halvings_y), interpolation=cv2.INTER_AREA)
            padded = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
            self._levels[key] = cv2.cvtColor(padded, cv2.COLOR_BGR2BGRA)
        return self._levels[key]


def texel_count(length: float) -> int:
    """The nearest size a texture may have."""
    step = 2**HALVINGS
    return max(step, round(length / step) * step)


def noise(rng: np.random.Generator, h: int, w: int, cells: tuple[int, int], octaves: int, keep: float = 0.6) -> np.ndarray:
    """(h, w) float32 of zero mean and unit deviation: a random grid of (rows, columns) cells, refined `octaves` times.

    keep: amplitude of each octave relative to the one before.
    """
    total = np.zeros((h, w), np.float32)
    for k in range(octaves):
        grid = rng.standard_normal((min(cells[0] << k, h) + 1, min(cells[1] << k, w) + 1), dtype=np.float32)
        total += keep**k * cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def tint(colour: Colour, tone: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the colour made brighter or darker by tone (H, W), 0 for unchanged."""
    gain = 1 + tone
    return np.clip(cv2.merge([gain * c for c in colour]), 0, 255).astype(np.uint8)


def _courses(
    rng: np.random.Generator, h: int, w: int, rows: int, columns: int, joint_px: int, stagger: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of bricks, tiles or planks: a random tone in [-1, 1] for each, and where the joints run. Both (h, w)."""
    y, x = np.arange(h)[:, None] * rows, np.arange(w)[None, :] * columns
    row, row_rest = y // h, (y % h) / rows
    x = x + (stagger * w * row).astype(int)
    column, column_rest = x // w, (x % w) / columns
    tones = rng.uniform(-1, 1, (rows, columns + int(stagger * rows) + 2)).astype(np.float32)
    return tones[row, column], (row_rest < joint_px) | (column_rest < joint_px)


def plain(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Nothing to hold on to: only a slow change of brightness."""
    return tint(colour, 0.03 * noise(rng, h, w, (1, 1), 1))


def plaster(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    return tint(colour, 0.03 * noise(rng, h, w, (2, 2), 2) + 0.035 * noise(rng, h, w, (h // 12, w // 12), 3, 0.9))


def brick(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    tone, joint = _courses(rng, h, w, max(4, h // 40), max(2, w // 96), 4, 0.5)
    tone = 0.16 * tone + 0.07 * noise(rng, h, w, (h // 10, w // 10), 2)
    image = tint(colour, tone)
    mortar = tint((168, 176, 182), 0.05 * noise(rng, h, w, (h // 8, w // 8), 1))
    return np.where(joint[..., None], mortar, image)


def wood(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Planks along the second axis, with grain."""
    tone, joint = _courses(rng, h, w, max(2, h // 56), max(1, w // 420), 2, 0.37)
    grain = noise(rng, h, w, (h // 5, max(2, w // 110)), 2) + 0.7 * noise(rng, h, w, (h // 20, max(2, w // 60)), 2)
    return tint(colour, np.where(joint, -0.55, 0.17 * tone + 0.1 * grain).astype(np.float32))


def tiles(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    tone, joint = _courses(rng, h, w, max(2, h // 80), max(2, w // 80), 3, 0.0)
    marble = noise(rng, h, w, (max(2, h // 60), max(2, w // 60)), 4, 0.75)
    return tint(colour, np.where(joint, -0.4, 0.08 * tone + 0.09 * marble).astype(np.float32))


def checker(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Strictly repetitive."""
    count = int(rng.integers(5, 9))
    odd = (np.arange(h)[:, None] * count // h + np.arange(w)[None, :] * count // w) % 2
    return tint(colour, np.where(odd, -0.7, 0.1).astype(np.float32) + 0.02 * noise(rng, h, w, (h // 4, w // 4), 1))


def stripes(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Strictly repetitive along the first axis."""
    count = int(rng.integers(8, 14))
    wave = np.sin(2 * np.pi * count * np.arange(w, dtype=np.float32) / w)
    return tint(colour, np.tile(0.45 * np.tanh(4 * wave), (h, 1)) + 0.02 * noise(rng, h, w, (h // 4, w // 4), 1))


def dots(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Wallpaper: a regular grid of dots."""
    image = plain(rng, h, w, colour)
    step = 40
    for row, y in enumerate(range(step // 2, h, step)):
        for x in range(step // 2 + (row % 2) * step // 2, w, step):
            cv2.circle(image, (x, y), step // 5, [int(0.55 * c) for c in colour], -1, cv2.LINE_AA)
    return image


def terrazzo(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Chips of stone in all sizes: the best there is to match."""
    image = tint(colour, 0.04 * noise(rng, h, w, (h // 6, w // 6), 2))
    for radius in np.sort(rng.gamma(2.0, 3.5, h * w // 260))[::-1]:
        centre = int(rng.integers(0, w)), int(rng.integers(0, h))
        axes = int(radius) + 1, int(radius * rng.uniform(0.4, 1.0)) + 1
        chip = np.clip(np.multiply(colour, rng.uniform(0.4, 1.5)) + rng.normal(0, 22, 3), 0, 255)
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, chip.tolist(), -1, cv2.LINE_AA)
    return image


def poster(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """An abstract print: overlapping discs, bars and lines in a white frame."""
    image = tint(colour, 0.05 * noise(rng, h, w, (h // 8, w // 8), 2))
    for _ in range(14):
        a, b = (tuple(int(v) for v in rng.integers((0, 0), (w, h))) for _ in range(2))
        ink = rng.integers(20, 245, 3).tolist()
        shape = rng.integers(0, 3)
        if shape == 0:
            cv2.circle(image, a, int(rng.uniform(0.05, 0.22) * min(h, w)), ink, -1, cv2.LINE_AA)
        elif shape == 1:
            cv2.line(image, a, b, ink, int(rng.integers(2, 14)), cv2.LINE_AA)
        else:
            cv2.rectangle(image, a, (a[0] + w // 6, a[1] + h // 5), ink, -1)
    edge = max(4, min(h, w) // 28)
    cv2.rectangle(image, (0, 0), (w - 1, h - 1), (232, 236, 238), 2 * edge)
    return image


def books(rng: np.random.Generator, h: int, w: int, colour: Colour) -> np.ndarray:
    """Shelves of books in a case of the given colour."""
    image = tint(colour, np.full((h, w), -0.65, np.float32))
    shelves = max(2, h // 110)
    for k in range(shelves):
        top, bottom = k * h // shelves + 8, (k + 1) * h // shelves - 8
        x = 8
        while x < w - 8:
            right = min(x + int(rng.integers(9, 26)), w - 8)
            height = int((bottom - top) * rng.uniform(0.62, 0.97))
            cover = np.clip(rng.normal(115, 55, 3), 15, 240)
            cv2.rectangle(image, (x, bottom - height), (right - 1, bottom), cover.tolist(), -1)
            band = bottom - int(height * rng.uniform(0.6, 0.85))
            cv2.rectangle(image, (x + 1, band), (right - 2, band + 6), np.clip(cover * 1.7 + 25, 0, 255).tolist(), -1)
            x = right + (rng.random() < 0.1) * 6
        cv2.rectangle(image, (0, bottom), (w - 1, bottom + 16), colour, -1)
    cv2.rectangle(image, (0, 0), (w - 1, h - 1), colour, 16)
    return image


Material = Callable[[np.random.Generator, int, int, Colour], np.ndarray]

FLOORS: tuple[Material, ...] = (wood, tiles, terrazzo)
WALLS: tuple[Material, ...] = (plaster, brick, dots, plaster)
OBJECTS: tuple[Material, ...] = (terrazzo, wood, poster, brick, checker, tiles)
