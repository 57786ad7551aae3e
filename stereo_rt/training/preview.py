"""Preview: a sheet of samples of a stream, to be looked at before hours are spent on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from .. import render
from ..atomic import write_bytes
from .batch import Stream


def sheet(stream: Stream, path: Path, rows: int = 8, title: str = "") -> None:
    """Writes the first `rows` samples of the stream as one PNG: left, right, disparity with its colours, occlusion.

    Unknown disparities are dark. The colours of each row span that row's own disparities. Raises OutputError when the
    disk or the folder refuses.
    """
    drawn: list[np.ndarray] = []
    step = 0
    while len(drawn) < rows:
        batch = stream.batch(step)
        fields = zip(batch.left, batch.right, batch.disparity_px, batch.occluded, strict=True)
        drawn += [_row(len(drawn) + k, *sample) for k, sample in enumerate(fields)]
        step += 1
    strip = _strip(drawn[0].shape[1], title) if title else drawn[0][:0]
    _, data = cv2.imencode(".png", np.concatenate([strip, *drawn[:rows]]))
    write_bytes(path, data.tobytes())


def _row(number: int, left: Tensor, right: Tensor, disparity_px: Tensor, occluded: Tensor) -> np.ndarray:
    """A sample and the strip above it, (H, W, 3) uint8 BGR."""
    disparity = disparity_px.cpu().numpy()
    known = np.isfinite(disparity)
    low, high = (float(f(disparity, where=known, initial=0 if f is np.max else np.inf)) for f in (np.min, np.max))
    low = np.floor(low) if known.any() else 0.0
    scale = render.Scale("disparity", "px", low, max(np.ceil(high), low + 1), "turbo")
    hidden = occluded.cpu().numpy()
    pictures = (
        picture(left),
        picture(right),
        render.colorize(disparity, scale.cold, scale.warm, scale.colormap),
        np.repeat(np.where(hidden, 255, 0).astype(np.uint8)[..., None], 3, 2),
    )
    notes = (f"{number} left", "right", "disparity", f"occluded {hidden.mean():.0%}, unknown {1 - known.mean():.0%}")
    cells = []
    for shown, note in zip(pictures, notes, strict=True):
        cell = captioned(shown, note)
        if note == "disparity":
            width = max(1, shown.shape[1] - render.text_width(note) - 24)
            cell[: render.HEADER_PX, -width:] = render.color_bar(width, render.HEADER_PX, scale)
        cells.append(cell)
    gap = np.zeros((len(cells[0]), render.GAP_PX, 3), np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], 1)


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """The image with a strip above it that says the text."""
    return np.concatenate([_strip(image.shape[1], text), image])


def picture(image: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 BGR of (3, H, W) RGB in [0, 1]."""
    return np.ascontiguousarray(image.mul(255).round().byte().cpu().numpy()[::-1].transpose(1, 2, 0))


def _strip(width: int, text: str) -> np.ndarray:
    strip = np.full((render.HEADER_PX, width, 3), render.GROUND_BGR, np.uint8)
    cv2.putText(strip, text, (8, render.HEADER_PX - 12), render.FONT, render.FONT_SCALE, render.TEXT_BGR, 1, cv2.LINE_AA)
    return strip
