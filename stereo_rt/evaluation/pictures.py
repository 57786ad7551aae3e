"""Maps as small coloured pictures for a page: PNG with a palette, a third of the bytes of one in true colour."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from ..render import color_index, color_table

WIDTH_PX = 420
"""Pictures are not wider than this: a page of thirty scenes stays one file that opens."""

STEP = 8
"""Colours a step: 32 steps take a third of the bytes of 255."""


@dataclass(frozen=True, eq=False)
class Ramp:
    """What the colours of a picture mean. table: (256, 3) uint8 RGB, entry 0 for pixels without a value."""

    low: float
    high: float
    table: np.ndarray

    def picture(self, values: np.ndarray) -> str:
        """(H, W) float -> data URI of a PNG in steps of STEP colours."""
        height, width = values.shape
        size = (WIDTH_PX, round(height * WIDTH_PX / width))
        if width > WIDTH_PX:
            values = cv2.resize(values, size, interpolation=cv2.INTER_NEAREST)  # a mean would hide thin errors
        index = color_index(values, self.low, self.high)
        stepped = np.where(index, (index - 1) // STEP * STEP + STEP // 2 + 1, 0).astype(np.uint8)
        return _uri("png", palette_png(stepped, self.table))

    def gradient(self) -> str:
        """The ramp as a CSS gradient, left to right."""
        stops = (f"rgb({r} {g} {b})" for r, g, b in self.table[np.linspace(1, 255, 17).astype(int)])
        return f"linear-gradient(to right, {', '.join(stops)})"


def named_ramp(low: float, high: float, colormap: str) -> Ramp:
    return Ramp(low, high, color_table(colormap)[:, 0, ::-1])


def error_ramp(limit_px: float) -> Ramp:
    """Blue for too small (too far), white for right, red for too large (too near); dark where there is no value."""
    at = np.linspace(-1, 1, 255)
    anchors = np.array([[8, 48, 107], [66, 146, 198], [250, 250, 250], [239, 101, 72], [127, 0, 0]])
    colors = np.stack([np.interp(at, [-1, -0.5, 0, 0.5, 1], anchors[:, c]) for c in range(3)], 1)
    return Ramp(-limit_px, limit_px, np.concatenate([[color_table()[0, 0, ::-1]], colors]).round().astype(np.uint8))


def photo(image: np.ndarray) -> str:
    """(H, W, 3) uint8 BGR -> data URI of a JPEG."""
    height, width = image.shape[:2]
    if width > WIDTH_PX:
        image = cv2.resize(image, (WIDTH_PX, round(height * WIDTH_PX / width)), interpolation=cv2.INTER_AREA)
    return _uri("jpeg", cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def palette_png(index: np.ndarray, table: np.ndarray) -> bytes:
    """index: (H, W) uint8 rows of table, (256, 3) uint8 RGB. The format: w3.org/TR/png, colour type 3 (OpenCV writes none)."""
    height, width = index.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), index], axis=1)  # filter type 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", table.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
