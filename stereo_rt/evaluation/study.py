"""Confidence methods side by side: how well each ranks the errors of one and the same disparity."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..confidence import Evidence, Method
from ..matchers.base import Matcher
from .metrics import DENSITIES, Figures, confidence_quality, mean_of, sparsification
from .reliability import reliability
from .report import Matched


class ConfidenceStudy:
    """An observer of `evaluate`: judges every method on every scene. Methods that the matcher cannot serve are skipped."""

    def __init__(self, methods: Mapping[str, Method], matcher: Matcher) -> None:
        obstacles = {name: method.obstacle(matcher) for name, method in methods.items()}
        self.skipped = {name: why for name, why in obstacles.items() if why}
        self._methods = {name: method for name, method in methods.items() if name not in self.skipped}
        self._matcher = matcher
        self._scenes: dict[str, dict[str, Figures | None]] = {}
        self._sets: dict[str, str] = {}
        self._curves: dict[str, list[np.ndarray]] = {name: [] for name in self._methods}
        self._ms: dict[str, list[float]] = {name: [] for name in self._methods}

    def __call__(self, matched: Matched) -> None:
        evidence = Evidence(matched.given.left, matched.given.right, matched.found, self._matcher)
        row: dict[str, Figures | None] = {}
        for name, method in self._methods.items():
            start = time.perf_counter()
            maps = matched.given.truth_px, matched.found.disparity_px, method.score(evidence)
            self._ms[name].append((time.perf_counter() - start) * 1e3)
            quality, claims = confidence_quality(*maps), reliability(*maps)
            row[name] = quality | {"ece_target": claims.ece("target")} if quality and claims else None
            curves = sparsification(*maps)
            if curves:
                self._curves[name].append(curves[0])
        self._scenes[matched.scene.name] = row
        self._sets[matched.scene.name] = matched.scene.set

    def result(self) -> dict[str, Any]:
        """{scenes, sets, mean: {method: {auc, auc_opt, ause, roc_auc, ece_target}}, curves, latency_ms, skipped}, by name each.

        curves: the mean sparsification by method. latency_ms: what the method takes beyond the match; what several
        share (the right eye's map, the distribution) is counted with the first.
        """
        sets = {
            name: self._mean([row for scene, row in self._scenes.items() if self._sets[scene] == name])
            for name in sorted(set(self._sets.values()))
        }
        curves = {name: np.mean(found, axis=0).tolist() for name, found in self._curves.items() if found}
        return {
            "scenes": self._scenes,
            "sets": sets,
            "mean": self._mean(list(self._scenes.values())),
            "curves": {"density": DENSITIES.tolist(), "bad2": curves},
            "latency_ms": {name: float(np.median(times)) for name, times in self._ms.items()},
            "skipped": self.skipped,
        }

    def _mean(self, rows: list[dict[str, Figures | None]]) -> dict[str, Figures | None]:
        return {name: mean_of([row[name] for row in rows]) for name in self._methods}


def study_table(result: dict[str, Any]) -> str:
    """AUSE and ROC-AUC of every method (rows) on every set (columns) and in the mean; how far its claims are off (ECE), and
    the milliseconds that it takes beyond the match; what was skipped, and why."""
    columns = {**result["sets"], "mean": result["mean"]}
    named = max(map(len, (*result["mean"], "AUSE, ROC-AUC")))
    heads = {name: _folded(name) for name in columns}
    height = max(map(len, heads.values()))
    lines = []
    for i in range(height):
        cells = "".join(f"{head[i - height] if i >= height - len(head) else '':>13}" for head in heads.values())
        last = i == height - 1
        lines.append(f"{'AUSE, ROC-AUC' if last else '':{named}}{cells}" + (f"{'ECE':>8}{'ms':>8}" if last else ""))
    for method, latency_ms in result["latency_ms"].items():
        cells = "".join(f"{_pair(figures[method]):>13}" for figures in columns.values())
        off = f"{_cell(result['mean'][method], 'ece_target', 3):>8}"
        lines.append(f"{method:{named}}{cells}{off}{latency_ms:8.0f}")
    return "\n".join([*lines, *skipped_lines(result)])


def skipped_lines(result: Mapping[str, Any]) -> list[str]:
    """One line for each reason why methods were skipped."""
    reasons: dict[str, list[str]] = {}
    for name, why in result["skipped"].items():
        reasons.setdefault(why, []).append(name)
    return [f"skipped: {', '.join(names)} ({why})" for why, names in reasons.items()]


def _folded(name: str, width: int = 12) -> list[str]:
    """A set's name over several lines of a narrow column, broken at underscores where there are any."""
    lines = [""]
    for part in name.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return [line[i : i + width] for line in lines for i in range(0, len(line), width)]


def _pair(figures: Figures | None) -> str:
    return f"{_cell(figures, 'ause', 2)} {_cell(figures, 'roc_auc', 3)}"


def _cell(figures: Figures | None, key: str, digits: int) -> str:
    value = figures[key] if figures else None
    return "-" if value is None else f"{value:.{digits}f}"
