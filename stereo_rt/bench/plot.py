"""The benchmark as a picture: how long each part takes, and what is left of the map at each confidence cut."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from ..atomic import write_bytes
from ..errors import UsageError
from ..render import ticks
from .report import BenchReport, Figures, MatcherBench
from .table import timed

WIDTH, LEFT, RIGHT = 860, 190, 70
ROW, GAP, HEAD = 26, 44, 34
COLORS = ("#3b6fb5", "#c8702a", "#4f8f4f", "#8a5aa8")
CAPTION = "% of the kept pixels that are more than 2 px off, over the % that are kept (dots: cuts 0, 0.1 ... 0.9)"
INK, QUIET, GRID, PAPER = "#20242a", "#6a727c", "#dfe3e8", "#ffffff"


def write_plot(file: Path, report: BenchReport) -> None:
    """Raises UsageError for a name that does not end in .svg, OutputError."""
    check_plot(file)
    write_bytes(file, draw(report).encode())


def check_plot(file: Path) -> None:
    """Before minutes of measuring. Raises UsageError."""
    if file.suffix != ".svg":
        raise UsageError(f"--plot {file}: draws SVG, which browsers show; end the name with .svg")


def draw(report: BenchReport) -> str:
    """A whole SVG file: one panel of bars (minimum to p50 solid, to p99 thin) for each matcher, one scale for all."""
    panels = [(f"{run.matcher} on {run.backend}, {run.grid[0]}x{run.grid[1]}", list(timed(run))) for run in report.runs]
    most = max(figures["p99"] for _, rows in panels for _, figures in rows) * 1.05
    machine = report.machine
    where = f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores; {report.source}"
    parts, y = [_text(16, 24, f"Milliseconds a frame, {where}", size=15, weight=600)], 72
    parts.append(_text(16, 44, "bar: median; white tick: least; line: to the 99th percentile", color=QUIET, size=12))
    for k, (title, rows) in enumerate(panels):
        parts += _panel(title, rows, y, most, COLORS[k % len(COLORS)])
        y += HEAD + ROW * len(rows) + GAP
    curves = [(k, run) for k, run in enumerate(report.runs) if run.accuracy]
    if curves:
        parts += _accuracy(curves, y)
        y += 260
    size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="{PAPER}"/>', *parts, "</svg>\n"])


def _panel(title: str, rows: list[tuple[str, Figures]], top: float, most: float, color: str) -> Iterator[str]:
    span = WIDTH - LEFT - RIGHT
    bottom = top + HEAD + ROW * len(rows)
    yield _text(16, top + 14, title, weight=600, color=color)
    for tick in ticks(0, most):
        x = LEFT + span * tick / most
        yield f'<path d="M{x:.1f} {top + HEAD - 8}V{bottom}" stroke="{GRID}"/>'
        yield _text(x, bottom + 16, f"{tick:g}", anchor="middle", color=QUIET, size=12)
    for k, (name, figures) in enumerate(rows):
        y = top + HEAD + ROW * k
        low, middle, high = (LEFT + span * figures[key] / most for key in ("min", "p50", "p99"))
        yield _text(LEFT - 10, y + 15, name, anchor="end")
        yield f'<rect x="{LEFT}" y="{y + 4}" width="{max(middle - LEFT, 1):.1f}" height="14" fill="{color}"/>'
        yield f'<path d="M{middle:.1f} {y + 11}H{high:.1f}M{high:.1f} {y + 6}v10" stroke="{color}" stroke-width="1.5"/>'
        if low > LEFT + 3:
            yield f'<path d="M{low:.1f} {y + 4}v14" stroke="{PAPER}" stroke-width="1.5"/>'
        yield _text(max(high, middle) + 6, y + 15, f"{figures['p50']:.3g}", color=QUIET, size=12)


def _accuracy(curves: list[tuple[int, MatcherBench]], top: float) -> Iterator[str]:
    """Bad-2 over the share that is kept, a dot a cut: to the left and down is better, as a threshold moves along the line."""
    height, span = 170, WIDTH - LEFT - RIGHT
    most = max(row.bad2 or 0 for _, run in curves for row in run.accuracy) * 1.2 or 1.0
    bottom = top + HEAD + height
    yield _text(16, top + 14, CAPTION, weight=600)
    for tick in ticks(0, most):
        y = bottom - height * tick / most
        yield f'<path d="M{LEFT} {y:.1f}H{LEFT + span}" stroke="{GRID}"/>'
        yield _text(LEFT - 10, y + 4, f"{tick:g}", anchor="end", color=QUIET, size=12)
    for tick in range(0, 101, 20):
        yield _text(LEFT + span * tick / 100, bottom + 18, f"{tick}", anchor="middle", color=QUIET, size=12)
    for k, run in curves:
        color = COLORS[k % len(COLORS)]
        dots = [
            (LEFT + span * r.kept_percent / 100, bottom - height * r.bad2 / most) for r in run.accuracy if r.bad2 is not None
        ]
        yield f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in dots)}" fill="none" stroke="{color}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in dots)
        x, y = dots[0]
        yield _text(x + 6, y - 8, run.matcher, anchor="end", color=color, size=12)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: int = 400, color: str = INK) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{color}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
