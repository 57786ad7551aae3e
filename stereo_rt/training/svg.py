"""A line plot as a whole SVG file: to be put into documents, and to compare runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from ..render import ticks

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 170, 40, 44
COLORS = ("#3b6fb5", "#c8702a", "#4f8f4f", "#8a5aa8", "#b53b5c", "#6a727c", "#2a9aa8", "#9a8a2a", "#20242a")
LABEL_PX = 16

Points = Sequence[tuple[float, float]]


def line_plot(title: str, lines: Mapping[str, Points], y_low: float, y_high: float) -> str:
    """The text of the file. lines: (x, y) by label, x from 0 on; each is named at its end. What leaves the y range is cut."""
    lines = {name: points for name, points in lines.items() if len(points)}
    last = max((points[-1][0] for points in lines.values()), default=1.0)

    def place(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, y_low), y_high) - y_low) / (y_high - y_low)
        return LEFT + (WIDTH - LEFT - RIGHT) * x / last, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [_text(LEFT, 24, title)]
    for value in ticks(y_low, y_high):
        y = place(0, value)[1]
        parts += [f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dfe3e8"/>']
        parts += [_text(LEFT - 8, y + 4, f"{value:.3g}", anchor="end")]
    parts += [_text(place(value, 0)[0], HEIGHT - 20, f"{value:.4g}", anchor="middle") for value in ticks(0, last)]
    ends = sorted((points[-1][1], name) for name, points in lines.items())
    labels = _apart([place(0, y)[1] for y, _ in ends])
    for (_, name), at in zip(ends, labels, strict=True):
        color = COLORS[list(lines).index(name) % len(COLORS)]
        path = "L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in lines[name])
        parts += [f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>']
        parts += [_text(WIDTH - RIGHT + 8, at + 4, name, color)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *parts, "</svg>\n"])


def smooth(points: Points) -> list[tuple[float, float]]:
    """A running mean over a twentieth of the points: batches differ more than networks do."""
    n = max(1, len(points) // 20)
    values = np.convolve([y for _, y in points], np.ones(n) / n, "valid")
    return [(x, float(y)) for (x, _), y in zip(points[n - 1 :], values, strict=True)]


def _text(x: float, y: float, said: str, color: str = "#20242a", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{escape(said)}</text>'


def _apart(places: Sequence[float]) -> list[float]:
    """Falling places, moved up where two labels would overlap."""
    apart: list[float] = []
    for place in places:
        apart.append(min(place, apart[-1] - LABEL_PX) if apart else place)
    return apart
