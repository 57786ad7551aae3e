"""Guide: the picture that leads through a capture, the same in the window and on the web page."""

from __future__ import annotations

import cv2
import numpy as np

from .capture import GATES, Capture, Look
from .coverage import coverage_map
from .detect import Detection

EYE_PX = 640
"""Width of each eye's picture."""
PANEL_PX = 150
GROUND, TEXT, QUIET, GOOD, WARN, TRACK = (
    (24, 20, 18),
    (226, 222, 220),
    (160, 152, 148),
    (138, 191, 95),
    (78, 168, 224),
    (60, 52, 46),
)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(look: Look, capture: Capture, message: str) -> np.ndarray:
    """(H, W, 3) uint8 BGR: both eyes with the board's points and what is covered, and the bars below them."""
    eyes = [
        _eye(look.frame.left, look.left, capture.kept.left, look.good),
        _eye(look.frame.right, look.right, capture.kept.right, look.good),
    ]
    image = np.hstack(eyes)
    panel = np.full((PANEL_PX, image.shape[1], 3), GROUND, np.uint8)
    _bars(panel, capture.kept.bars)
    _gates(panel, look)
    enough = capture.kept.enough
    words = f"{len(capture)} pairs" + (": enough; finish, or go on" if enough else "")
    _write(panel, words, (16, PANEL_PX - 14), GOOD if enough else TEXT, 0.6)
    _write(panel, message or look.hint, (2 * EYE_PX // 3, PANEL_PX - 14), TEXT if message else WARN, 0.6)
    return np.vstack([image, panel])


def _eye(image: np.ndarray, seen: Detection | None, kept: tuple[Detection, ...], good: bool) -> np.ndarray:
    scale = EYE_PX / image.shape[1]
    picture = cv2.resize(image, (EYE_PX, round(image.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if kept:
        covered = cv2.resize(coverage_map(kept).astype(np.float32), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        tint = 0.35 * covered[..., None]
        picture = ((1 - tint) * picture + tint * np.array(GOOD)).astype(np.uint8)
    if seen is not None:
        for x, y in (seen.corners_px + 0.5) * scale - 0.5:
            cv2.circle(picture, (round(16 * x), round(16 * y)), 16 * 4, GOOD if good else WARN, 2, cv2.LINE_AA, shift=4)
    return picture


def _bars(panel: np.ndarray, bars: dict[str, float]) -> None:
    step = (panel.shape[1] - 16) // len(bars)
    for n, (name, share) in enumerate(bars.items()):
        x, width = 16 + n * step, step - 16
        _write(panel, name, (x, 24), TEXT if share < 1 else QUIET, 0.5)
        cv2.rectangle(panel, (x, 34), (x + width, 44), TRACK, cv2.FILLED)
        if share > 0:
            cv2.rectangle(panel, (x, 34), (x + max(2, round(share * width)), 44), GOOD if share >= 1 else WARN, cv2.FILLED)


def _gates(panel: np.ndarray, look: Look) -> None:
    step = (panel.shape[1] - 16) // len(GATES)
    for n, name in enumerate(GATES):
        x = 16 + n * step
        cv2.circle(panel, (x + 7, 81), 7, GOOD if look.gates[name] else TRACK, cv2.FILLED, cv2.LINE_AA)
        _write(panel, name, (x + 24, 86), TEXT if look.gates[name] else QUIET, 0.5)


def _write(image: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int], size: float) -> None:
    cv2.putText(image, text, at, FONT, size, color, 1, cv2.LINE_AA)
