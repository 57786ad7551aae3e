"""Line plots as a picture, with nothing but OpenCV: enough to see at a glance how a training goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..render import FONT, FONT_SCALE, GROUND_BGR, MUTED_BGR, TEXT_BGR, text_width, ticks

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 56, 40
COLORS_BGR = ((80, 180, 255), (230, 170, 80), (120, 210, 120), (200, 130, 220), (90, 90, 240), (190, 190, 90), (150, 150, 150))


@dataclass(frozen=True)
class Line:
    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """logarithmic: the y axis; values that are not above 0 are left out then."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    logarithmic: bool = False


def draw(panels: Sequence[Panel]) -> np.ndarray:
    """The panels one below the other, (n * HEIGHT, WIDTH, 3) uint8 BGR."""
    return np.concatenate([_panel(panel) for panel in panels])


def _panel(panel: Panel) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), GROUND_BGR, np.uint8)
    _text(image, panel.title, LEFT, 20)
    curves = [_clean(line, panel.logarithmic) for line in panel.lines]
    points = np.concatenate([np.zeros((0, 2)), *curves])
    if not len(points):
        return image
    x_end = max(float(points[:, 0].max()), 1.0)
    low, high = float(points[:, 1].min()), float(points[:, 1].max())
    low, high = (low if panel.logarithmic else min(low, 0.0)), max(high, low + 1e-9)

    def place(xy: np.ndarray) -> np.ndarray:
        """(N, 2) data units -> pixels."""
        share = (xy - (0, low)) / (x_end, high - low)
        return np.array([LEFT, HEIGHT - BOTTOM]) + share * (WIDTH - LEFT - RIGHT, TOP + BOTTOM - HEIGHT)

    for value in ticks(0, x_end):
        x = int(place(np.array([[value, low]]))[0, 0])
        _text(image, f"{value:.6g}", x - text_width(f"{value:.6g}") // 2, HEIGHT - BOTTOM + 18, MUTED_BGR)
    for value in ticks(low, high):
        y = int(place(np.array([[0, value]]))[0, 1])
        cv2.line(image, (LEFT, y), (WIDTH - RIGHT, y), (60, 56, 54), 1)
        label = f"{10**value if panel.logarithmic else value:.3g}"
        _text(image, label, LEFT - 8 - text_width(label), y + 5, MUTED_BGR)
    x_legend = LEFT
    for i, (line, curve) in enumerate(zip(panel.lines, curves, strict=True)):
        color = COLORS_BGR[i % len(COLORS_BGR)]
        pixels = np.round(place(curve)).astype(np.int32)
        cv2.polylines(image, [pixels[:, None]], False, color, 2 if len(panel.lines) < 4 else 1, cv2.LINE_AA)
        if len(pixels) == 1:
            cv2.circle(image, pixels[0].tolist(), 3, color, -1, cv2.LINE_AA)
        _text(image, line.label, x_legend, 42, color)
        x_legend += text_width(line.label) + 14
    _text(image, panel.x_label, WIDTH - RIGHT - text_width(panel.x_label), HEIGHT - 6, MUTED_BGR)
    return image


def _clean(line: Line, logarithmic: bool) -> np.ndarray:
    """(N, 2) points that can be drawn; of a logarithmic axis, the powers of ten."""
    xy = np.stack([np.asarray(line.x, float), np.asarray(line.y, float)], 1)
    xy = xy[np.isfinite(xy).all(1) & ((xy[:, 1] > 0) if logarithmic else True)]
    return np.stack([xy[:, 0], np.log10(xy[:, 1])], 1) if logarithmic else xy


def _text(image: np.ndarray, text: str, x: int, y: int, color: tuple[int, int, int] = TEXT_BGR) -> None:
    cv2.putText(image, text, (x, y), FONT, FONT_SCALE, color, 1, cv2.LINE_AA)
