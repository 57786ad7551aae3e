"""Line charts as inline SVG. Colours are CSS variables of the page, so that they follow its light and dark forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..render import ticks

WIDTH, HEIGHT = 430, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 40
PALETTE = 10
"""The page defines --c0 ... --c9."""


@dataclass(frozen=True)
class Line:
    """points: (x, y) in data units. color: number in the palette, None for a quiet reference. radii: of dots, in px."""

    label: str
    points: Sequence[tuple[float, float]]
    color: int | None = None
    dashed: bool = False
    radii: Sequence[float] = ()


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], x_max: float, y_max: float) -> str:
    """A figure with the title and a legend; both axes start at 0."""

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * min(max(x / x_max, 0), 1),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(y / y_max, 0), 1),
        )

    parts = []
    for value in ticks(0, x_max):
        x, y = place(value, 0)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{y:.1f}"/><text x="{x:.1f}" y="{y + 16:.1f}">{value:.4g}</text>')
    for value in ticks(0, y_max):
        x, y = place(0, value)
        parts.append(f'<path class="grid" d="M{x} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="end" x="{x - 6}" y="{y + 4:.1f}">{value:.4g}</text>')
    for line in lines:
        at = [place(x, y) for x, y in line.points]
        color = _color(line)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>' if at else "")
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{color}"/>' for (x, y), r in zip(at, line.radii)]  # noqa: B905
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}">{escape(x_label)}</text>')
    parts.append(f'<text transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{escape(y_label)}</text>')
    legend = "".join(
        f'<li><i style="border-top: 2px {"dashed" if line.dashed else "solid"} {_color(line)}"></i>{escape(line.label)}</li>'
        for line in lines
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}<ul>{legend}</ul></figure>"


def headroom(*series: Sequence[float]) -> float:
    """An upper end for an axis from 0 that all values fit under."""
    return max(1.05 * float(np.max([np.max(s) for s in series if len(s)], initial=0.0)), 1e-3)


def _color(line: Line) -> str:
    return "var(--quiet)" if line.color is None else f"var(--c{line.color % PALETTE})"
