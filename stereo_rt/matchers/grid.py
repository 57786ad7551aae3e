"""Grid: a frame to the network's fixed input and back. The only place where matchers resize or pad.

The frame keeps its aspect: it is resized until it touches the network's grid, but at most ENLARGED times as large, and
padded at the right and at the bottom by repeating the last pixel. On the way back the padding is cropped, and disparities
grow with the width.
Pixel centres are at integers, so scaling by s maps x to (x + 0.5) * s - 0.5, as cv2.resize does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ..frames import Disparity

STEP_PX = 1.0
"""Interpolated disparities stay within this of the nearest sample (network pixels); beyond it the sample itself is taken."""
ENLARGED = 2
"""More adds no detail, and takes from what the network sees around a pixel, and from the largest disparity it finds."""
WASTEFUL = 1.03
"""A grid gives way to another that frames fill so many times better."""


def grid_size(text: str) -> tuple[int, int]:
    """(width, height) of what the table of networks and their metadata write as "640x480"."""
    width, height = text.split("x")
    return int(width), int(height)


def content_size(frame_size: tuple[int, int], network_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) that a frame takes inside the network's grid: the largest that fits and keeps the aspect, and at most
    ENLARGED times the frame's.

    The height differs from the exact aspect by at most half a pixel (and is at least 1).
    """
    (w, h), (grid_w, grid_h) = frame_size, network_size
    width = grid_w if w * grid_h >= h * grid_w else max(1, w * grid_h // h)
    width = min(width, ENLARGED * w)
    return width, max(1, min(grid_h, round(h * width / w)))


def suited(frame_size: tuple[int, int], network_size: tuple[int, int], others: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The grid for such frames: of the others on which they are larger the one that they fill best, or the network's own, where
    they fill that about as well."""
    width, _ = content_size(frame_size, network_size)
    finer = (size for size in others if content_size(frame_size, size)[0] > width)
    best = max(finer, key=lambda size: _filled(frame_size, size), default=network_size)
    return best if _filled(frame_size, best) > WASTEFUL * _filled(frame_size, network_size) else network_size


def _filled(frame_size: tuple[int, int], network_size: tuple[int, int]) -> float:
    """The share of a grid that such frames fill."""
    width, height = content_size(frame_size, network_size)
    return width * height / (network_size[0] * network_size[1])


@dataclass(frozen=True)
class Grid:
    """The way between frames of one size and a network's grid; sizes are (width, height)."""

    frame_size: tuple[int, int]
    network_size: tuple[int, int]

    @property
    def content_size(self) -> tuple[int, int]:
        return content_size(self.frame_size, self.network_size)

    def enter(self, image: np.ndarray) -> np.ndarray:
        """(H, W[, 3]) uint8 frame -> (network height, network width[, 3]); the same array when the sizes are equal."""
        width, height = self.content_size
        if (width, height) != self.frame_size:
            image = cv2.resize(image, (width, height), interpolation=self._interpolation)
        right, below = self.network_size[0] - width, self.network_size[1] - height
        if right or below:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return image

    def enter_into(self, image: np.ndarray, out: np.ndarray) -> None:
        """As enter, but written straight into out (network height, network width, 3) uint8; grey becomes BGR."""
        width, height = self.content_size
        content = out[:height, :width]
        if image.ndim == 2:
            if (width, height) != self.frame_size:
                image = cv2.resize(image, (width, height), interpolation=self._interpolation)
            cv2.cvtColor(image, cv2.COLOR_GRAY2BGR, dst=content)
        elif (width, height) == self.frame_size:
            np.copyto(content, image)
        else:
            cv2.resize(image, (width, height), dst=content, interpolation=self._interpolation)
        out[:height, width:] = content[:, -1:]
        out[height:] = out[height - 1]

    @property
    def _interpolation(self) -> int:
        return cv2.INTER_AREA if self.content_size[0] < self.frame_size[0] else cv2.INTER_LINEAR

    def leave(self, disparity_px: np.ndarray, confidence: np.ndarray) -> Disparity:
        """Maps on the network's grid, (H, W) float32 each -> maps on the frame's grid; no copy when the sizes are equal.

        Linear interpolation across a depth edge would invent points in the air. So a pixel is interpolated only where
        that stays within STEP_PX of the nearest sample, and takes that sample (and its confidence) elsewhere;
        NaN does not spread either.
        """
        width, height = self.content_size
        disparity_px, confidence = disparity_px[:height, :width], confidence[:height, :width]
        if (width, height) == self.frame_size:
            return Disparity(disparity_px, confidence)
        smooth = cv2.resize(disparity_px, self.frame_size, interpolation=cv2.INTER_LINEAR)
        out = _nearest(disparity_px, self.frame_size)
        out_confidence = _nearest(confidence, self.frame_size)
        flat = np.less_equal(cv2.absdiff(smooth, out), STEP_PX).view(np.uint8)  # 0 where either is NaN
        cv2.copyTo(smooth, flat, out)
        cv2.copyTo(cv2.resize(confidence, self.frame_size, interpolation=cv2.INTER_LINEAR), flat, out_confidence)
        out *= np.float32(self.frame_size[0] / width)
        return Disparity(out, out_confidence)

    def leave_numpy(self, disparity_px: np.ndarray, confidence: np.ndarray) -> Disparity:
        """Plain twin of leave."""
        width, height = self.content_size
        disparity_px, confidence = disparity_px[:height, :width], confidence[:height, :width]
        smooth, nearest = _linear(disparity_px, self.frame_size), _nearest(disparity_px, self.frame_size)
        with np.errstate(invalid="ignore"):
            flat = np.abs(smooth - nearest) <= STEP_PX
        out = np.where(flat, smooth, nearest) * np.float32(self.frame_size[0] / width)
        return Disparity(out, np.where(flat, _linear(confidence, self.frame_size), _nearest(confidence, self.frame_size)))


def _nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sample whose pixel holds each new pixel's centre (cv2.INTER_NEAREST_EXACT rounds ties either way)."""
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size[::-1], values.shape, strict=True))
    return values.take(columns, 1).take(rows, 0)


def _linear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    for axis, (n, m) in enumerate(zip(size[::-1], values.shape, strict=True)):
        at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        low = np.floor(at).astype(int)
        weight = np.expand_dims((at - low).astype(np.float32), 1 - axis)
        values = values.take(low, axis) * (1 - weight) + values.take(np.minimum(low + 1, m - 1), axis) * weight
    return values
