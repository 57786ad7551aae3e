"""Figures as lines of text: one table of all scenes, sets and the mean, for one matcher or several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One figure of a row of `evaluate`. path: where it is. more_is_better: None for what is neither."""

    title: str
    path: tuple[str, ...]
    digits: int
    more_is_better: bool = False
    what: str = ""

    def value(self, row: Mapping[str, Any]) -> float | None:
        found: Any = row
        for key in self.path:
            found = found.get(key) if found else None
        return found

    def text(self, row: Mapping[str, Any]) -> str:
        value = self.value(row)
        return "-" if value is None else format(value, f".{self.digits}f")


COLUMNS = (
    Column("epe", ("all", "epe"), 2, what="mean |error|, px (the same as MAE)"),
    Column("rmse", ("all", "rmse"), 2, what="root of the mean squared error, px"),
    Column("bad1", ("all", "bad1"), 1, what="% of pixels more than 1 px off"),
    Column("bad2", ("all", "bad2"), 1, what="% of pixels more than 2 px off"),
    Column("bad3", ("all", "bad3"), 1, what="% of pixels more than 3 px off"),
    Column("d1", ("all", "d1"), 1, what="% more than 3 px and 5 % off"),
    Column("noc1", ("noc", "bad1"), 1, what="bad1 where both eyes see"),
    Column("noc2", ("noc", "bad2"), 1, what="bad2 where both eyes see"),
    Column("dens", ("density",), 1, True, what="% of pixels with an estimate"),
    Column("ause", ("confidence", "ause"), 2, what="area between the sparsification curve and its optimum, bad2 %"),
    Column("roc", ("confidence", "roc_auc"), 3, True, what="chance that a right pixel is more confident than a wrong one"),
    Column("ece", ("confidence", "ece_target"), 3, what="expected calibration error against |e| < 1 px + 3 %"),
    Column("ms", ("latency_ms",), 1, what="median time of a pair"),
)


def rows(results: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(kind, name, one row of each result): every scene, then every set with the number of its scenes, then the mean."""
    first = results[0]
    for name in first["scenes"]:
        yield "scene", name, [result["scenes"][name] for result in results]
    for name in first["sets"]:
        count = sum(row["set"] == name for row in first["scenes"].values())
        yield "set", f"{name} ({count})", [result["sets"][name] for result in results]
    yield "mean", f"mean ({len(first['scenes'])})", [result["mean"] for result in results]


def title(result: dict[str, Any]) -> str:
    """What a matcher is called in tables."""
    return result["matcher"] if result["backend"] in ("onnx", "sgbm") else f"{result['matcher']} ({result['backend']})"


def table(results: Sequence[dict[str, Any]]) -> str:
    """results: of `evaluate`, over the same scenes. One line a row and matcher."""
    titles = [title(result) for result in results]
    lines = list(rows(results))
    wide, named = max(len(name) for _, name, _ in lines), max(map(len, titles))
    head = " " * (wide + 2 + named) + "".join(f"{column.title:>7}" for column in COLUMNS)
    out = [head]
    last = "scene"
    for kind, name, row in lines:
        if kind != last:
            out.append("-" * len(head))
            last = kind
        for i, (of, figures) in enumerate(zip(titles, row, strict=True)):
            cells = "".join(f"{column.text(figures):>7}" for column in COLUMNS)
            out.append(f"{'' if i else name:{wide}}  {of:{named}}{cells}")
    return "\n".join(out)
