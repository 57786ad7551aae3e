#!/usr/bin/env python3
"""Measured scores to where they are told: engines/models.yaml and the tables on the cards.

    mkdir scores
    for name in student_s student_m student_l; do stereo-rt eval DATASET --model $name --json scores/$name.json; done
    stereo-rt eval DATASET --backend sgbm --json scores/sgbm.json
    python tools/card_scores.py scores

What stands between the marks on a network's own card is replaced, and on the card of wide grids, for the scenes they matched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stereo_rt import paths
from stereo_rt.atomic import write_bytes
from stereo_rt.evaluation.report import mean_row
from stereo_rt.evaluation.table import Column
from stereo_rt.matchers.grid import grid_size
from stereo_rt.matchers.models import TABLE, shipped_models, twins, write_models

Row = Mapping[str, Any]
BEGIN, END = "<!-- scores: tools/card_scores.py -->", "<!-- end of scores -->"
OVERALL = tuple(Column(f"{key} %", ("all", key), 1) for key in ("bad1", "bad2", "bad3"))
NOC = tuple(Column(f"{key} noc %", ("noc", key), 1) for key in ("bad1", "bad2"))
CONFIDENCE = (
    Column("AUSE", ("confidence", "ause"), 2),
    Column("AUC", ("confidence", "auc"), 2),
    Column("ROC AUC", ("confidence", "roc_auc"), 3, more_is_better=True),
)
FIGURES = (Column("EPE px", ("all", "epe"), 2), *OVERALL, *NOC, *CONFIDENCE)
WIDE = (FIGURES[0], *OVERALL, *CONFIDENCE, Column("ms", ("latency_ms",), 0))
BY_SET = (*OVERALL[:2], CONFIDENCE[0])
SGBM = "sgbm"
WIDEST = "_wide"
"""End of the names of networks on grids for frames about three times as wide as high."""
IN_TABLE = {"epe": 2, "bad1": 1, "bad2": 1, "bad3": 1, "ause": 2, "roc_auc": 3}
SHORT = ("_twoview", "_trainingQ", "_third", "middlebury")
"""Left out of the names of sets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, help="folder of what `stereo-rt eval --json` wrote, a file a matcher")
    a = parser.parse_args()
    table = shipped_models()
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(a.scores.glob("*.json"))}
    if unknown := sorted(found.keys() - table.keys() - {SGBM}):
        raise SystemExit(f"{a.scores}: {unknown[0]}.json is of no network in {TABLE}; name each file NAME.json, or sgbm.json")
    measured = {name: found[name] for name in (*table, SGBM) if name in found}
    for name in measured.keys() & table.keys():
        for twin in twins(name):
            table[twin.name].pop("scores", None)  # its original's, which are means over all grids
        table[name]["scores"] = scores(table[name], measured[name]["mean"])
        if table[name]["card"] == f"{name}.md":
            put(paths.engines() / table[name]["card"], blocks(name, measured))
    if wide := on_wide_grids(measured, table):
        card = next(facts["card"] for name, facts in table.items() if name.endswith(WIDEST))
        put(paths.engines() / card, table_of(wide, WIDE))
    write_models(table)


def scores(facts: Row, row: Row) -> dict[str, Any]:
    """What models.yaml says of a network: these figures, and as before of what."""
    figures = {**row["all"], **row["confidence"]}
    return {"what": facts.get("scores", {}).get("what", "")} | {key: round(figures[key], n) for key, n in IN_TABLE.items()}


def on_wide_grids(measured: Mapping[str, Row], table: Mapping[str, Row]) -> dict[str, Row]:
    """The means of networks over the scenes that they took to their wide grids, and of SGBM over the same."""
    found: dict[str, set[str]] = {}
    scenes: set[str] = set()
    for name in measured.keys() & table.keys():
        if (twin := table.get(name + WIDEST)) and "precision" not in table[name]:
            size = list(grid_size(twin["input_size"]))
            own = {scene for scene, row in measured[name]["scenes"].items() if row["grid"] == size}
            found |= {name: own} if own else {}
            scenes |= own
    if found and SGBM in measured:
        found[SGBM] = scenes
    return {name: mean_row([measured[name]["scenes"][s] for s in found[name]]) for name in measured if name in found}


def blocks(name: str, measured: Mapping[str, Row]) -> str:
    """The tables of one network's card: beside the others, by set beside SGBM, and whether its claims hold."""
    means = {n: measured[n]["mean"] for n in (name, *(other for other in measured if other != name))}
    parts = [table_of(means, FIGURES)]
    if SGBM in measured:
        parts.append(by_set(name, measured[name]["sets"], measured[SGBM]["sets"]))
    if claims := measured[name]["reliability"]:
        known = [(c, r) for c, r in zip(claims["confidence"], claims["right_target"], strict=True) if c is not None]
        in_one = measured[name]["mean"]["confidence"]["ece_target"]
        parts.append(markdown([["claimed", *(f"{c:.2f}" for c, _ in known)], ["right", *(f"{r:.2f}" for _, r in known)]]))
        parts.append(
            "Right means |e| < 1 px + 3 % of the disparity. Expected calibration error: "
            f"{claims['ece_target']:.3f} over all scenes\n"
            f"together ({claims['ece_2px']:.3f} for |e| <= 2 px), {in_one:.3f} in the mean of single scenes."
        )
    return "\n\n".join(parts)


def table_of(rows: Mapping[str, Row], figures: Sequence[Column]) -> str:
    """A row for each matcher, a column for each figure."""
    columns = [texts(list(rows.values()), f) for f in figures]
    lines = zip(map(title, rows), *columns, strict=True)
    return markdown([["", *(f.title for f in figures)], *map(list, lines)])


def by_set(name: str, ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> str:
    """Two rows for each figure, a column for each set."""
    lines = [["", *(short(s) for s in ours)]]
    for f in BY_SET:
        pairs = [texts([ours[s], theirs[s]], f) for s in ours]
        for which, cells in zip((name, SGBM), zip(*pairs, strict=True), strict=True):
            lines.append([f"{f.title.removesuffix(' %')}, {title(which)}", *cells])
    return markdown(lines)


def texts(rows: Sequence[Row], column: Column) -> list[str]:
    """Figures as they are printed, the best of them bold."""
    printed = [column.text(row) for row in rows]
    known = {float(text) for text in printed if text != "-"}
    best = (max if column.more_is_better else min)(known) if len(known) > 1 else None
    return [f"**{text}**" if text != "-" and float(text) == best else text for text in printed]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


def title(name: str) -> str:
    return "SGBM, filled" if name == SGBM else name


def short(name: str) -> str:
    for part in SHORT:
        name = name.replace(part, "")
    return name


def put(card: Path, text: str) -> None:
    """Replace what stands between the marks."""
    before = card.read_text(encoding="utf-8")
    if before.count(BEGIN) != 1 or before.count(END) != 1:
        raise SystemExit(f"{card}: has not got the marks {BEGIN} and {END} once each; put them where the tables belong")
    head, rest = before.split(BEGIN)
    tail = rest.split(END)[1]
    write_bytes(card, f"{head}{BEGIN}\n{text}\n{END}{tail}".encode())


if __name__ == "__main__":
    main()
