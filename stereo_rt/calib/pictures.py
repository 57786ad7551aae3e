"""Pictures of a calibration as inline SVG: residual vectors, coverage, and a rectified pair.

Every eye is drawn WIDTH units wide. Colours and line styles are classes of the page that shows them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from ..errors import CalibrationError
from ..frames import StereoFrame
from . import lens
from .coverage import CELLS, coverage_map
from .detect import Detection
from .rectify import Rectifier, rectify_rig
from .rig import StereoRig
from .views import View, load_pair

WIDTH = 1000
GAP = 20
ARROW = 25.0
"""Units that a usual residual is drawn long."""
OUTLIER = 4.0
"""A corner is marked when it is this many times further off than the root mean square."""
MOST_ARROWS = 4000
"""More are thinned out: the page stays one that opens."""
LINES = 20
"""Epipolar lines over the height of a pair."""
COVERED_INK, GAP_INK = 0.5, 0.22
"""Opacity of a cell wholly covered, and of one not at all: told apart without colour vision, too."""
GOOD_PX, BAD_PX = 0.5, 1.0
"""A vertical offset up to the first is fine; beyond the second matching suffers."""

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class RectifiedPair:
    """A view brought to common rows. left, right: (H, W) or (H, W, 3) uint8.

    left_px, right_px: (n, 2) of the corners that both eyes saw, on the rectified grid; NaN where they have no place there.
    """

    left: np.ndarray
    right: np.ndarray
    left_px: np.ndarray
    right_px: np.ndarray

    @property
    def offsets_px(self) -> np.ndarray:
        """(n,) how much lower the right eye sees each corner."""
        return np.asarray(self.right_px[:, 1] - self.left_px[:, 1])


def rectified_pair(rig: StereoRig, view: View) -> RectifiedPair:
    """A view of both eyes, its images read again. Raises SourceError when they are gone, CalibrationError."""
    if view.left is None or view.right is None:
        raise CalibrationError(f"{view.name}: only one eye saw the board")
    rectification = rectify_rig(rig)
    if not view.files:
        raise CalibrationError(f"{view.name}: has no images")
    left, right = load_pair(view.files)
    frame = Rectifier(rectification)(StereoFrame(left, right, 0, 0))
    _, in_left, in_right = np.intersect1d(view.left.ids, view.right.ids, return_indices=True)
    grid, corners = rectification.rig, []
    for camera, R_rect_cam, seen in (
        (rig.left, rectification.R_left, view.left.corners_px[in_left]),
        (rig.right, rectification.R_right, view.right.corners_px[in_right]),
    ):
        rays = lens.unproject(camera, seen) @ R_rect_cam.T
        with np.errstate(all="ignore"):
            plane = np.where(rays[:, 2:] > 0, rays[:, :2] / rays[:, 2:], np.nan)
        corners.append(plane * grid.fx_px + (grid.cx_px, grid.cy_px))
    return RectifiedPair(frame.left, frame.right, corners[0], corners[1])


def magnification(lengths_px: np.ndarray, size: Size) -> float:
    """How many times longer to draw residuals: 1, 2 or 5 times a power of ten, that a usual one becomes ARROW units."""
    there = lengths_px[np.isfinite(lengths_px)]
    usual = float(np.sqrt((there**2).mean())) if len(there) else 0.0
    wanted = ARROW * size[0] / WIDTH / max(usual, 1e-6)
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(max(step * power for step in (1, 2, 5) if step * power <= wanted * 1.0001))


def residual_picture(eye: str, seen_px: np.ndarray, off_px: np.ndarray, size: Size, magnified: float) -> str:
    """Each corner (n, 2) with an arrow towards where the rig puts it, off_px (n, 2) away, drawn `magnified` times longer."""
    lengths = np.linalg.norm(off_px, axis=1)
    far = lengths > OUTLIER * np.sqrt((lengths**2).mean())
    some = np.unique(np.linspace(0, len(seen_px) - 1, MOST_ARROWS).astype(int)) if len(seen_px) else np.zeros(0, int)
    scale = WIDTH / size[0]
    start, move = (seen_px[some] + 0.5) * scale, off_px[some] * scale * magnified
    parts = [_box(size)]
    for mask, kind in ((~far[some], "usual"), (far[some], "far")):
        parts.append(f'<path class="dot {kind}" d="{_dots(start[mask])}"/>')
        moves = zip(start[mask], move[mask], strict=True)
        parts.append(
            f'<path class="arrow {kind}" d="' + "".join(f"M{x:.0f} {y:.0f}l{u:.1f} {v:.1f}" for (x, y), (u, v) in moves) + '"/>'
        )
    ruler_px = _round_down(120 / scale / magnified)
    y, length = _height(size) - 18, ruler_px * scale * magnified
    parts.append(f'<path class="ruler" d="M16 {y}h{length:.1f}m0 -6v12m-{length:.1f} 0v-12"/>')
    parts.append(f'<text x="{length + 26:.0f}" y="{y + 8}">{ruler_px:g} px ({magnified:g} times enlarged)</text>')
    return _svg(f"{eye} eye, residuals", WIDTH, _height(size), parts)


def coverage_picture(eye: str, detections: Sequence[Detection], size: Size) -> str:
    """Cells green as far as boards have reached them and red as far as not, and each corner as a dot."""
    height = _height(size)
    wide, high = WIDTH / CELLS[0], height / CELLS[1]
    parts = [_box(size)]
    for row, cells in enumerate(coverage_map(detections)):
        for column, share in enumerate(cells):
            box = f'x="{column * wide:.1f}" y="{row * high:.1f}" width="{wide:.1f}" height="{high:.1f}"'
            title = f"<title>{share:.0%} of this cell</title>"
            parts.append(f'<rect class="gap" {box} style="fill-opacity: {GAP_INK * (1 - share):.2f}"/>')
            parts.append(f'<rect class="covered" {box} style="fill-opacity: {COVERED_INK * share:.2f}">{title}</rect>')
    for found in detections:
        parts.append(f'<path class="dot usual" d="{_dots((found.corners_px + 0.5) * WIDTH / size[0])}"/>')
    return _svg(f"{eye} eye, coverage", WIDTH, height, parts)


def pair_picture(pair: RectifiedPair) -> str:
    """Both images side by side under common horizontal lines; each corner a ring, coloured by its vertical offset."""
    height = _height(pair.left.shape[1::-1])
    scale = WIDTH / pair.left.shape[1]
    parts = []
    for x, image in ((0, pair.left), (WIDTH + GAP, pair.right)):
        parts.append(f'<image x="{x}" y="0" width="{WIDTH}" height="{height}" href="{_jpeg(image)}"/>')
    for y in (np.arange(LINES) + 0.5) * height / LINES:
        parts.append(f'<path class="epipolar" d="M0 {y:.1f}H{2 * WIDTH + GAP}"/>')
    for left, right, off in zip((pair.left_px + 0.5) * scale, (pair.right_px + 0.5) * scale, pair.offsets_px, strict=True):
        for x, y, shift in ((*left, 0), (*right, WIDTH + GAP)):
            if 0 <= x <= WIDTH and 0 <= y <= height:  # never so for NaN
                title = f"<title>{off:+.2f} px</title>" if np.isfinite(off) else ""
                parts.append(f'<circle class="{grade(off)}" cx="{x + shift:.1f}" cy="{y:.1f}" r="7">{title}</circle>')
    return _svg("rectified pair", 2 * WIDTH + GAP, height, parts)


def grade(offset_px: float) -> str:
    """'fine', 'fair' or 'poor', of a vertical offset."""
    size = abs(offset_px)
    return "fine" if size <= GOOD_PX else "fair" if size <= BAD_PX else "poor"


def _height(size: Size) -> int:
    return round(WIDTH * size[1] / size[0])


def _box(size: Size) -> str:
    return f'<rect class="image" width="{WIDTH}" height="{_height(size)}"/>'


def _dots(places: np.ndarray) -> str:
    """Lines of no length: with round ends each is drawn as a dot."""
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)


def _round_down(value: float) -> float:
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value))


def _jpeg(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    if width > WIDTH:
        image = cv2.resize(image, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _svg(label: str, width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
