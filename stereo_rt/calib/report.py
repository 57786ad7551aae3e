"""The report of a calibration: one page of HTML that needs no other file, for a person who has to decide on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np

from ..atomic import write_bytes
from ..errors import StereoError
from ..evaluation.charts import Line, chart, headroom
from .boards import Board
from .bundle import residuals
from .coverage import coverage
from .pictures import coverage_picture, grade, magnification, pair_picture, rectified_pair, residual_picture
from .rig_facts import Fact, length, rig_facts
from .solve import Solution
from .views import View

EYES = ("left", "right")
WORST = 2.0
"""A view that was used is marked when an eye of it fits this many times worse than that eye's views do on the whole."""


class DepthPoint(NamedTuple):
    """The error of depth to expect at a distance, and the range it is in; all in % of the distance."""

    distance_m: float
    low_pct: float
    mid_pct: float
    high_pct: float


@dataclass(frozen=True)
class ReportFacts:
    """What was concluded, for the page to say.

    verdict: 'good', 'improve' or 'redo'. rows: figures behind it. depth: by distance; depth_meaning: what its range is.
    """

    verdict: str
    reason: str
    next_step: str
    rows: Sequence[Fact] = ()
    depth: Sequence[DepthPoint] = ()
    depth_meaning: str = ""


@dataclass(frozen=True)
class ViewRow:
    """How one view fared. rms_px: of either eye, NaN where it saw no board.

    state: 'used', 'worst' (used, but fits badly), 'dropped' or 'empty' (no board in either image).
    """

    name: str
    rms_px: tuple[float, float]
    state: str
    why: str


def write_report(path: Path, solution: Solution, facts: ReportFacts, views: Sequence[View]) -> None:
    """Write the page: the whole file or none. views: those that were given to `solve`. Raises OutputError."""
    write_bytes(path, page(solution, facts, views).encode())


def page(solution: Solution, facts: ReportFacts, views: Sequence[View]) -> str:
    """The page's text. Images of one view are read again, where they still are."""
    rows = view_rows(solution, views)
    counts = f"{len(solution.names)} of {len(views)} views used · board {solution.board}"
    return _template().substitute(
        verdict=escape(facts.verdict),
        verdict_class=facts.verdict if facts.verdict in ("good", "improve", "redo") else "redo",
        reason=escape(facts.reason),
        next_step=escape(facts.next_step),
        about=escape(counts),
        figures=_facts([*_fit_facts(solution), *facts.rows]),
        residuals=_residuals(solution),
        coverage=_coverage(solution, views),
        pair=_pair(solution, views),
        depth=_depth(facts, solution.board),
        rig=_rig(solution),
        views=_views(rows),
    )


def view_rows(solution: Solution, views: Sequence[View]) -> list[ViewRow]:
    """One for each view, in their order."""
    fit = solution.everything
    off = (residuals(fit.seen, fit.estimate) ** 2).sum(axis=-1)
    counts = fit.seen.seen.sum(axis=-1)
    rms = np.sqrt(np.where(counts > 0, off.sum(axis=-1), np.nan) / np.maximum(counts, 1))
    usual = np.sqrt(off[fit.kept].sum(axis=(0, 2)) / np.maximum(counts[fit.kept].sum(axis=0), 1))
    with np.errstate(invalid="ignore"):
        bad = (rms > WORST * usual).any(axis=1)
    known = zip(rms.tolist(), fit.kept, bad, strict=True)
    rows = []
    for view in views:
        eyes = [eye for eye, found in zip(EYES, (view.left, view.right), strict=True) if found is not None]
        if not eyes:
            rows.append(ViewRow(view.name, (np.nan, np.nan), "empty", "no board found in either image"))
            continue
        (left, right), kept, badly = next(known)
        if not kept:
            state, why = "dropped", "left out: " + solution.rejected.get(view.name, "does not fit the others")
        elif badly:
            state, why = "worst", "used, but fits badly: look at its images"
        else:
            state, why = "used", "used" if len(eyes) == 2 else f"used for the {eyes[0]} lens; the other eye saw no board"
        rows.append(ViewRow(view.name, (left, right), state, why))
    return rows


def _template() -> Template:
    return Template((files(__package__) / "templates" / "report.html").read_text(encoding="utf-8"))


def _fit_facts(solution: Solution) -> list[Fact]:
    alone = "{:.3f} px left, {:.3f} px right".format(*solution.mono_rms_px)
    facts = [
        Fact(
            "Fit of both eyes",
            f"{solution.everything.stereo_rms_px:.3f} px",
            "RMS distance from a corner to where the rig puts it.",
        ),
        Fact("Fit of each eye alone", alone, "Much less than both together: the eyes are not in sync, or one was moved."),
    ]
    if solution.heldout_px:
        figures = ", ".join(f"{model} {error:.3f} px" for model, error in solution.heldout_px.items())
        why = f"RMS on views left out. Chosen: {solution.estimate.model}, the simplest that is about as good as the best."
        facts.append(Fact("Lens models compared", figures, why))
    return facts


def _facts(rows: Iterable[Fact]) -> str:
    lines = (
        f'<tr><th scope="row">{escape(f.name)}</th><td class="value">{escape(f.value)}</td><td>{escape(f.meaning)}</td></tr>'
        for f in rows
    )
    return f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>'


def _residuals(solution: Solution) -> str:
    seen = solution.seen.seen
    off = residuals(solution.seen, solution.estimate)
    magnified = magnification(np.linalg.norm(off, axis=-1)[seen], solution.sizes[0])
    figures = []
    for eye, name in enumerate(EYES):
        there = seen[:, eye]
        drawn = residual_picture(name, solution.seen.pixels[:, eye][there], off[:, eye][there], solution.sizes[eye], magnified)
        figures.append(_figure(f"{name.capitalize()} eye, {there.sum()} corners", drawn))
    return "".join(figures)


def _coverage(solution: Solution, views: Sequence[View]) -> str:
    useful = [view for view in views if view.left is not None or view.right is not None]
    used = [view for view, kept in zip(useful, solution.everything.kept, strict=True) if kept]
    figures = []
    for name, size in zip(EYES, solution.sizes, strict=True):
        found = [detection for view in used if (detection := getattr(view, name)) is not None]
        caption = f"{name.capitalize()} eye, {coverage(found):.0%} of the image within a board"
        figures.append(_figure(caption, coverage_picture(name, found, size)))
    return "".join(figures)


def _pair(solution: Solution, views: Sequence[View]) -> str:
    """The pair that fits as well as half of the others do: neither the best nor the worst."""
    both = [(max(row.rms_px), view) for row, view in zip(view_rows(solution, views), views, strict=True) if _pairs(row)]
    both.sort(key=lambda entry: entry[0])
    _, view = both[len(both) // 2]
    try:
        pair = rectified_pair(solution.rig, view)
    except StereoError as e:
        return f'<p class="note">Not shown: {escape(str(e))}.</p>'
    off = np.abs(pair.offsets_px[np.isfinite(pair.offsets_px)])
    if not len(off):
        return f'<p class="note">Not shown: no corner of {escape(view.name)} lies in the rectified image.</p>'
    poor = sum(grade(value) == "poor" for value in off)
    caption = (
        f"{view.name}, an ordinary view, rectified: corners are {off.mean():.2f} px higher or lower in the right image on "
        f"average, {off.max():.2f} px at most; {poor} of {len(off)} by more than a pixel"
    )
    return _figure(caption, pair_picture(pair))


def _pairs(row: ViewRow) -> bool:
    return row.state in ("used", "worst") and bool(np.isfinite(row.rms_px).all())


def _depth(facts: ReportFacts, board: Board) -> str:
    known = [DepthPoint(*point) for point in facts.depth if np.isfinite(point).all()]
    if not known:
        return '<p class="note">Not known: the error could not be worked out for any distance.</p>'
    spans = zip(("high", "expected", "low"), ("high_pct", "mid_pct", "low_pct"), strict=True)
    lines = [
        Line(label, [(p.distance_m, getattr(p, key)) for p in known], 0, key != "mid_pct", (4,) * len(known))
        for label, key in spans
    ]
    top = headroom([p.high_pct for p in known])
    drawn = chart("Depth error", f"distance, {board.unit}", "error, % of it", lines, max(p.distance_m for p in known), top)
    rows = [
        Fact(
            f"At {p.distance_m:g} {board.unit}",
            f"{p.mid_pct:.2g} % ({p.low_pct:.2g} to {p.high_pct:.2g} %)",
            f"± {length(p.distance_m * p.mid_pct / 100, board)}",
        )
        for p in known
    ]
    note = f'<p class="quiet">{escape(facts.depth_meaning)}</p>' if facts.depth_meaning else ""
    return f'{note}<div class="row">{drawn}<div>{_facts(rows)}</div></div>'


def _rig(solution: Solution) -> str:
    try:
        return _facts(rig_facts(solution.rig, solution.estimate.model, solution.board))
    except StereoError as e:
        return f'<p class="note">No rig: {escape(str(e))}.</p>'


def _views(rows: Sequence[ViewRow]) -> str:
    """Those with a board as a table; those without in one line, however many they are."""
    top = max((max(np.nan_to_num(row.rms_px)) for row in rows if row.state != "dropped"), default=0) or 1
    lines = [
        f'<tr class="{row.state}"><th scope="row">{escape(row.name)}</th>{"".join(_bar(rms, top) for rms in row.rms_px)}'
        f'<td class="why">{escape(row.why)}</td></tr>'
        for row in rows
        if row.state != "empty"
    ]
    head = "<thead><tr><th>view</th><th>left, px</th><th>right, px</th><th></th></tr></thead>"
    table = f'<div class="scroll"><table class="views">{head}<tbody>{"".join(lines)}</tbody></table></div>'
    empty = [row.name for row in rows if row.state == "empty"]
    if not empty:
        return table
    names = escape(", ".join(empty))
    return f"{table}<details><summary>{len(empty)} without a board in either image</summary><p>{names}</p></details>"


def _bar(rms: float, top: float) -> str:
    if not np.isfinite(rms):
        return "<td>–</td>"
    return f'<td class="bar" style="--share: {min(rms / top, 1):.3f}">{rms:.3f}</td>'


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawn}</figure>"
