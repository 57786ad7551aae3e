"""The report as one page of HTML that needs no other file: tables, charts and pictures inline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from .album import Album, Picture
from .charts import Line, chart, headroom
from .metrics import DENSITIES
from .reliability import RULES
from .study import skipped_lines
from .table import COLUMNS, Column, rows, title

RULE_TITLES = {"target": "Reliability: right is |e| < 1 px + 3 %", "2px": "Reliability: right is |e| ≤ 2 px"}
LARGEST_DOT_PX = 9.0
IN_BRIEF = ("bad2", "ause")
"""What a scene's heading says."""


def page(dataset: str, results: Sequence[dict[str, Any]], albums: Sequence[Album], study: Mapping[str, Any] | None) -> str:
    """results, albums: of `evaluate`, one for each matcher, over the same scenes. study: of a ConfidenceStudy."""
    titles = [title(result) for result in results]
    lines = list(rows(results))
    scenes = [_scene(name, titles, row, albums) for kind, name, row in lines if kind == "scene"]
    return _template("report.html").substitute(
        title=escape(f"{' against '.join(titles)} on {dataset}"),
        about=escape(_about(results)),
        summary=_table([line for line in lines if line[0] != "scene"], titles),
        charts=_sparsification(results, titles) + "".join(_reliability(results, titles, rule) for rule in RULES),
        study=_study(study) if study else "",
        scenes="\n".join(scenes),
    )


def _template(name: str) -> Template:
    return Template((files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def _about(results: Sequence[dict[str, Any]]) -> str:
    parts = [f"{len(results[0]['scenes'])} scenes, {len(results[0]['sets'])} sets"]
    for result in results:
        known = f", sha256 {result['sha256'][:12]}" if result["sha256"] else ""
        parts.append(f"{result['matcher']}: {result['backend']}, {result['latency_ms']:.1f} ms a pair (median){known}")
    return " · ".join(parts)


def _table(lines: Sequence[tuple[str, str, list[dict[str, Any]]]], titles: Sequence[str]) -> str:
    heads = "".join(f'<th title="{escape(c.what)}">{escape(c.title)}</th>' for c in COLUMNS)
    body = []
    for kind, name, row in lines:
        cells = [f'<th scope="row" rowspan="{len(row)}">{escape(name)}</th>' if name else ""] + [""] * (len(row) - 1)
        figures = [
            f'<tr>{cell}<td class="name">{escape(of)}</td>{"".join(_cell(c, i, row) for c in COLUMNS)}</tr>'
            for i, (cell, of) in enumerate(zip(cells, titles, strict=True))
        ]
        body.append(f'<tbody class="{kind}">{"".join(figures)}</tbody>')
    first = "<th></th>" if lines[0][1] else ""
    return f"<table><thead><tr>{first}<th></th>{heads}</tr></thead>{''.join(body)}</table>"


def _cell(column: Column, which: int, row: Sequence[dict[str, Any]]) -> str:
    values = [v for v in (column.value(figures) for figures in row) if v is not None]
    value = column.value(row[which])
    best = len(values) > 1 and value == (max(values) if column.more_is_better else min(values)) and min(values) < max(values)
    return f'<td class="best">{column.text(row[which])}</td>' if best else f"<td>{column.text(row[which])}</td>"


def _sparsification(results: Sequence[dict[str, Any]], titles: Sequence[str]) -> str:
    lines = []
    for i, (result, name) in enumerate(zip(results, titles, strict=True)):
        if curves := result["curves"]:
            lines.append(_kept(name, curves["bad2"], i))
            lines.append(_kept(f"{name}, optimum", curves["bad2_optimum"], i, dashed=True))
    return _kept_chart("Sparsification", lines)


def _kept(label: str, bad: Sequence[float], color: int, dashed: bool = False) -> Line:
    return Line(label, list(zip((100 * DENSITIES).tolist(), bad, strict=True)), color, dashed)


def _kept_chart(name: str, lines: Sequence[Line]) -> str:
    top = headroom(*([y for _, y in line.points] for line in lines))
    return chart(name, "kept, % of pixels, most confident first", "bad2, %", lines, 100, top)


def _reliability(results: Sequence[dict[str, Any]], titles: Sequence[str], rule: str) -> str:
    lines = [Line("what it should be", [(0, 0), (1, 1)], dashed=True)]
    for i, (result, name) in enumerate(zip(results, titles, strict=True)):
        if found := result["reliability"]:
            dots = [
                (x, y, LARGEST_DOT_PX * float(np.sqrt(share)))
                for x, y, share in zip(found["confidence"], found[f"right_{rule}"], found["share"], strict=True)
                if share
            ]
            label = f"{name}, ECE {found[f'ece_{rule}']:.3f}"
            lines.append(Line(label, [dot[:2] for dot in dots], i, radii=[1 + dot[2] for dot in dots]))
    return chart(RULE_TITLES[rule], "confidence", "share right", lines, 1, 1)


def _study(study: Mapping[str, Any]) -> str:
    columns = {**study["sets"], "mean": study["mean"]}
    best = {
        name: {
            "ause": min((f["ause"] for f in methods.values() if f), default=None),
            "roc_auc": max((f["roc_auc"] for f in methods.values() if f and f["roc_auc"] is not None), default=None),
            "ece_target": min((f["ece_target"] for f in methods.values() if f), default=None),
        }
        for name, methods in columns.items()
    }
    tables = []
    figures = (
        ("ause", 2, "AUSE, less is better"),
        ("roc_auc", 3, "ROC-AUC, more is better"),
        ("ece_target", 3, "Calibration error (ECE), less is better"),
    )
    for key, digits, caption in figures:
        body = []
        for method in study["mean"]:
            cells = "".join(_figure(methods[method], key, digits, best[name][key]) for name, methods in columns.items())
            body.append(f'<tr><th scope="row">{escape(method)}</th>{cells}</tr>')
        heads = "".join(f"<th>{escape(name).replace('_', '_<wbr>')}</th>" for name in columns)
        head = f'<thead><tr><th scope="row">{caption}</th>{heads}</tr></thead>'
        tables.append(f"<table>{head}<tbody>{''.join(body)}</tbody></table>")
    curves = [_kept(name, bad, i) for i, (name, bad) in enumerate(study["curves"]["bad2"].items())]
    return _template("study.html").substitute(
        tables="\n".join(tables),
        skipped=escape("; ".join(skipped_lines(study)).capitalize()),
        chart=_kept_chart("Sparsification by method", curves),
    )


def _figure(figures: Mapping[str, Any] | None, key: str, digits: int, best: float | None) -> str:
    value = figures[key] if figures else None
    mark = ' class="best"' if value is not None and value == best else ""
    return f"<td{mark}>{'-' if value is None else format(value, f'.{digits}f')}</td>"


def _scene(name: str, titles: Sequence[str], row: list[dict[str, Any]], albums: Sequence[Album]) -> str:
    brief = [column for column in COLUMNS if column.title in IN_BRIEF]
    figures = " · ".join(
        f"{of}: {', '.join(f'{column.title} {column.text(figures)}' for column in brief)}"
        for of, figures in zip(titles, row, strict=True)
    )
    found = [
        f'<div class="maps">{"".join(_picture(p, of) for p in album.found[name])}</div>'
        for of, album in zip(titles, albums, strict=True)
    ]
    return _template("scene.html").substitute(
        anchor=escape(name),
        name=escape(name),
        figures=escape(figures),
        table=_table([("scene", "", row)], titles),
        truth="".join(_picture(p, "") for p in albums[0].given[name]),
        methods="".join(found),
    )


def _picture(picture: Picture, of: str) -> str:
    caption = escape(f"{of}: {picture.title}" if of else picture.title)
    bar = ""
    if ramp := picture.ramp:
        low, high = f"{ramp.low:.3g}", escape(f"{ramp.high:.3g} {picture.unit}".strip())
        bar = f'<div class="bar">{low}<i style="background: {ramp.gradient()}"></i>{high}</div>'
    image = f'<img src="{picture.source}" alt="{caption}" loading="lazy">'
    return f"<figure><figcaption>{caption}</figcaption>{image}{bar}</figure>"
