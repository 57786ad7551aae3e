"""Small videos whose pictures carry their own number, readable after lossy coding."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

BITS = 8
BLOCK = 16


def numbered(number: int, *, height: int = 48) -> np.ndarray:
    """(height, BITS * BLOCK, 3) uint8: one black or white bar for each bit of the number."""
    bars = [255 * (number >> bit & 1) for bit in range(BITS)]
    return np.tile(np.repeat(np.array(bars, np.uint8), BLOCK)[None, :, None], (height, 1, 3))


def number_of(image: np.ndarray) -> int:
    grey = image.mean(axis=2) if image.ndim == 3 else image
    bars = grey.mean(axis=0).reshape(BITS, BLOCK).mean(axis=1)
    return sum(int(bar > 127) << bit for bit, bar in enumerate(bars))


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    stamps_ms: Sequence[int] | None = None,
    fps: int = 25,
    *,
    index_first: bool = False,
) -> Path:
    """With PyAV, at exactly these presentation times. index_first: an .mp4 that can be cut short."""
    import av

    stamps_ms = stamps_ms or [round(1000 * i / fps) for i in range(len(images))]
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, stamp_ms in zip(images, stamps_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = stamp_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
