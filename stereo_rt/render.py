"""Draws results: colour maps, colour bars with units, and the composite of panes. Pure functions on arrays.

A composite is a grid of cells; a cell is a header strip (title, colour bar) above a picture:

    left        disparity
    depth       confidence

Ranges are fixed by default, so that a colour means the same depth in every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from .config import ViewConfig
from .frames import DepthResult
from .geometry import RectifiedRig

PANES = ("left", "disparity", "depth", "confidence")
COLORMAPS = ("turbo", "viridis", "magma", "gray")

INVALID_BGR = (44, 40, 38)
GROUND_BGR = (24, 20, 18)
TEXT_BGR = (226, 222, 220)
MUTED_BGR = (160, 152, 148)
HEADER_PX = 34
GAP_PX = 2
STRIPE_PX = 6
NEAREST_M, FARTHEST_M = 1e-3, 1e5
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


@lru_cache(maxsize=8)
def color_table(colormap: str = "turbo") -> np.ndarray:
    """(256, 1, 3) uint8 BGR: entry 0 is the colour of invalid pixels, 1 to 255 run from low to high.

    Raises ValueError for a name outside COLORMAPS.
    """
    if colormap not in COLORMAPS:
        raise ValueError(f"colour map '{colormap}' is not one of {', '.join(COLORMAPS)}")
    ramp: np.ndarray = np.round(np.linspace(0, 255, 255)).astype(np.uint8)[:, None]
    colors: np.ndarray = np.repeat(ramp[..., None], 3, axis=2)
    if colormap != "gray":
        colors = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    table = np.concatenate([np.array([[INVALID_BGR]], np.uint8), colors])
    table.flags.writeable = False
    return table


def color_index(values: np.ndarray, low: float, high: float, valid: np.ndarray | None = None) -> np.ndarray:
    """Rows of a color_table: (H, W) uint8, 0 where not valid or not finite, 1 at low and below, 255 at high and beyond.

    low > high turns the ramp round, so that near things can be warm in depth as they are in disparity.
    Raises ValueError when the range is empty or not finite.
    """
    span = high - low
    if not np.isfinite(span) or span == 0:
        raise ValueError(f"{low:g} to {high:g} is no range for colours")
    scaled = np.subtract(values, np.float32(low), dtype=np.float32)
    scaled *= np.float32(254 / span)
    scaled += np.float32(1.5)
    np.clip(scaled, 1, 255, out=scaled)
    known = np.isfinite(values) if valid is None else valid & np.isfinite(values)
    with np.errstate(invalid="ignore"):  # NaN becomes any number here, and 0 in the next line
        return scaled.astype(np.uint8) * known


def colorize(
    values: np.ndarray, low: float, high: float, colormap: str = "turbo", valid: np.ndarray | None = None
) -> np.ndarray:
    """A map of numbers as (H, W, 3) uint8 BGR, over a fixed range; invalid pixels are a neutral dark grey.

    values: (H, W) float. valid: (H, W) bool, all where None; NaN and infinity are never valid. low > high turns the
    ramp round. Raises ValueError for an empty range or an unknown colour map.
    """
    return cv2.applyColorMap(color_index(values, low, high, valid), color_table(colormap))


@dataclass(frozen=True)
class Scale:
    """What a pane's colours mean: cold and warm are the values at the two ends of the colour map."""

    title: str
    unit: str
    cold: float
    warm: float
    colormap: str


def scales(view: ViewConfig, rig: RectifiedRig) -> dict[str, Scale]:
    """The scale of every pane of numbers; near is warm in depth and in disparity alike.

    An open end of view.range_m becomes the depth of a quarter of the image width (near) or of 2 px (far). Without a
    calibration there are no metres: the depth pane shows the masked disparity, up to a quarter of the width.
    """
    confidence = Scale("Confidence", "", 0.0, 1.0, "gray")
    if not rig.metric:
        disparity = Scale("Disparity", "px", 0.0, rig.width / 4, view.colormap)
        return {"disparity": disparity, "depth": replace(disparity, title="Masked disparity"), "confidence": confidence}
    nearest, farthest = (rig.fx_px * rig.baseline_m / d for d in (rig.width / 4, 2.0))
    near, far = view.range_m
    near = near if near > 0 else min(nearest, far / 2)
    far = far if np.isfinite(far) else max(farthest, near * 2)
    near = min(max(near, NEAREST_M), FARTHEST_M / 2)  # so that any range can be drawn
    far = min(max(far, near * 1.001), FARTHEST_M)
    warm, cold = (float(d) for d in rig.disparity_px(np.array([near, far])))
    return {
        "disparity": Scale("Disparity", "px", cold, warm, view.colormap),
        "depth": Scale("Depth", "m", far, near, view.colormap),
        "confidence": confidence,
    }


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high], at most `most` of them."""
    span = high - low
    for power in range(int(np.floor(np.log10(span))) - 2, int(np.ceil(np.log10(span))) + 1):
        for base in (1, 2, 5):
            step = base * 10.0**power
            first, last = int(np.ceil(low / step - 1e-6)), int(np.floor(high / step + 1e-6))
            if last - first < most:
                return [n * step for n in range(first, last + 1)]
    return []


def color_bar(width: int, height: int, scale: Scale) -> np.ndarray:
    """A horizontal colour bar with its ticks and unit, (height, width, 3) uint8 BGR; numbers grow to the right."""
    image = np.full((height, width, 3), GROUND_BGR, np.uint8)
    low, high = min(scale.cold, scale.warm), max(scale.cold, scale.warm)
    margin = 14
    unit_width = 4 + text_width(scale.unit) if scale.unit else 0
    span_px = width - 2 * margin - unit_width
    if span_px < 60:
        return image
    ramp = np.linspace(low, high, span_px, dtype=np.float32)[None, :]
    bar_height = max(4, height // 4)
    image[4 : 4 + bar_height, margin : margin + span_px] = colorize(ramp, scale.cold, scale.warm, scale.colormap)
    for value in ticks(low, high, most=max(2, span_px // 52)):
        x = margin + round((value - low) / (high - low) * (span_px - 1))
        image[4 + bar_height : 7 + bar_height, x] = MUTED_BGR
        label = f"{value:.6g}"
        _text(image, label, x - text_width(label) // 2, height - 5, MUTED_BGR)
    if scale.unit:
        _text(image, scale.unit, width - unit_width, height - 5, MUTED_BGR)
    return image


@dataclass(frozen=True)
class Layout:
    """Where each pane's picture lies in a composite.

    panes: names, in reading order; one alone fills the composite. grid: (width, height) of the result.
    picture: (width, height) of one drawn picture.
    """

    panes: tuple[str, ...]
    grid: tuple[int, int]
    picture: tuple[int, int]

    @property
    def columns(self) -> int:
        return 1 if len(self.panes) == 1 else 2

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the composite."""
        rows = -(-len(self.panes) // self.columns)
        width, height = self.picture
        return (width + GAP_PX) * self.columns - GAP_PX, (height + HEADER_PX + GAP_PX) * rows - GAP_PX

    def origin(self, pane: str) -> tuple[int, int]:
        """(x, y) of the picture's top left pixel; the header lies above it."""
        row, column = divmod(self.panes.index(pane), self.columns)
        width, height = self.picture
        return column * (width + GAP_PX), row * (height + HEADER_PX + GAP_PX) + HEADER_PX

    def locate(self, x: float, y: float) -> tuple[int, int] | None:
        """The result's pixel (column, row) under a point of the composite; None on a header or a gap."""
        for pane in self.panes:
            left, top = self.origin(pane)
            u, v = (x - left) / self.picture[0], (y - top) / self.picture[1]
            if 0 <= u < 1 and 0 <= v < 1:
                return int(u * self.grid[0]), int(v * self.grid[1])
        return None


def layout(rig: RectifiedRig, shown: Sequence[str] = PANES, picture_width: int | None = None) -> Layout:
    """The composite of these panes. Pictures default to the grid's own width, held between 320 and 640."""
    width = picture_width or max(320, min(rig.width, 640))
    return Layout(tuple(shown), rig.size, (width, max(1, round(rig.height * width / rig.width))))


def fitted(rig: RectifiedRig, shown: Sequence[str], box: tuple[int, int]) -> Layout:
    """The largest composite of these panes that fits in box (width, height)."""
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    by_width = (box[0] + GAP_PX) // columns - GAP_PX
    by_height = ((box[1] + GAP_PX) / rows - GAP_PX - HEADER_PX) * rig.width / rig.height
    return layout(rig, shown, max(16, min(by_width, int(by_height))))


def picture(result: DepthResult, pane: str, view: ViewConfig, size: tuple[int, int] | None = None) -> np.ndarray:
    """One pane without its header, (H, W, 3) uint8 BGR; size (width, height), the result's own grid where None."""
    size = size or result.rig.size
    if pane == "left":
        left = result.left if result.left.ndim == 3 else cv2.cvtColor(result.left, cv2.COLOR_GRAY2BGR)
        return left if size == result.rig.size else cv2.resize(left, size, interpolation=cv2.INTER_AREA)
    values, valid = {
        "disparity": lambda: (result.disparity_px, None),
        "depth": lambda: (result.depth_m if result.rig.metric else result.disparity_px, result.valid),
        "confidence": lambda: (result.confidence, None),
    }[pane]()
    scale = scales(view, result.rig)[pane]
    index = color_index(values, scale.cold, scale.warm, valid)
    if size != result.rig.size:
        index = cv2.resize(index, size, interpolation=cv2.INTER_NEAREST)
    if pane != "confidence" and result.filled is not None:
        index *= ~_hatched(result.filled, size)
    return cv2.applyColorMap(index, color_table(scale.colormap))


def _hatched(filled: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, True on the gaps between stripes where values were filled in: nobody shall take those for measured."""
    columns, rows = np.arange(size[0]), np.arange(size[1])[:, None]
    shown = cv2.resize(filled.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return shown.view(bool) & ((columns + rows) % STRIPE_PX < STRIPE_PX // 2)


def panes(result: DepthResult, view: ViewConfig, where: Layout | None = None) -> np.ndarray:
    """The composite, (H, W, 3) uint8 BGR: left, disparity, masked depth and confidence, each with title and colour bar."""
    where = where or layout(result.rig)
    width, height = where.size
    image = np.zeros((height, width, 3), np.uint8)
    pane_width, pane_height = where.picture
    legends = scales(view, result.rig)
    for pane in where.panes:
        x, y = where.origin(pane)
        image[y : y + pane_height, x : x + pane_width] = picture(result, pane, view, where.picture)
        image[y - HEADER_PX : y, x : x + pane_width] = _header(pane_width, legends.get(pane))
    return image


def text_width(text: str) -> int:
    """Pixels that `text` takes in a composite."""
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])


@lru_cache(maxsize=64)
def _header(width: int, scale: Scale | None) -> np.ndarray:
    """The strip above a picture. It changes only with the settings, so it is drawn once for each."""
    image = np.full((HEADER_PX, width, 3), GROUND_BGR, np.uint8)
    title = scale.title if scale else "Left"
    _text(image, title, 8, HEADER_PX - 12, TEXT_BGR)
    if scale:
        bar = color_bar(max(1, min(360, width - text_width(title) - 24)), HEADER_PX, scale)
        image[:, width - bar.shape[1] :] = bar
    return image


def _text(image: np.ndarray, text: str, x: int, y: int, color: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (int(x), int(y)), FONT, FONT_SCALE, color, 1, cv2.LINE_AA)
