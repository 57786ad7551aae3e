"""Against an earlier report: is anything slower?

Compared is the best of each figure, not its median: on a machine that does other things as well, disturbance only adds
time, so the minimum is what repeats from run to run. Of the loop flat out, or on a camera where nothing else was measured, it
is the fastest stretch of results.

A figure counts as slower only when it is slower by the clock and in units of either reference work that was timed between
the parts (reference.py). A hot or busy machine makes all of them slower and is no regression of the program; and where
the network runs on a GPU, whose clock has nothing to do with the reference, the time itself still has to be longer.
Percentiles, ages and memory are shown by the benchmark but judged by nobody: they tell of the machine's company.

None of this makes a machine quiet. With more processes than cores, figures move by tens of percent between runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckFailed, UsageError
from ..sources.rtsp import without_password
from .machine import machine
from .reference import KINDS
from .report import SCHEMA

FINEST_MS = 0.02
"""Differences below this are the clock's, not the program's."""
UNSTEADY = 1.25
"""Reference times apart by more than this are worth a word."""


@dataclass(frozen=True)
class Change:
    """One figure before and after, in milliseconds. by_clock, by_reference: after / before, the
    latter in units of the reference work that slowed down the most. slower: beyond the limit."""

    name: str
    before_ms: float
    after_ms: float
    by_clock: float
    by_reference: float
    slower: bool


@dataclass(frozen=True)
class Comparison:
    """reference: after / before of each reference work. busy: a report was made with more processes than cores.

    versions: what changed beside the program's own code.
    """

    changes: tuple[Change, ...]
    reference: dict[str, float]
    busy: bool
    versions: tuple[str, ...]

    @property
    def slower(self) -> list[Change]:
        return [change for change in self.changes if change.slower]

    @property
    def unsteady(self) -> bool:
        return any(not 1 / UNSTEADY < ratio < UNSTEADY for ratio in self.reference.values())


def read_report(file: Path) -> dict[str, Any]:
    """A report of `bench --json`, whole enough to be compared. Raises UsageError."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        if report["schema"] != SCHEMA:
            raise ValueError
        compare(report, report, 0)  # misses what is missing now, not after minutes of measuring
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        raise UsageError(
            f"{file}: is not a report of this version's bench; make one with: stereo-rt bench --json {file}"
        ) from None
    return report


def check_conditions(before: Mapping[str, Any], source: str, settings: Mapping[str, Any]) -> None:
    """What is known before minutes of measuring. Raises CheckFailed, in one sentence, where the conditions differ."""
    device = settings["match"].get("device", "auto")
    _refuse(_unlike_conditions(before, {"machine": machine(device), "source": without_password(source), "settings": settings}))


def compare(before: Mapping[str, Any], after: Mapping[str, Any], limit: float) -> Comparison:
    """limit: 0.05 lets a figure grow by 5 %. Raises CheckFailed, in one sentence, where like is not compared with like."""
    _refuse(_unlike_conditions(before, after))
    _refuse(_unlike_runs(before, after))
    reference = {kind: after["reference_ms"][kind]["min"] / before["reference_ms"][kind]["min"] for kind in KINDS}
    old, new = dict(_best(before)), dict(_best(after))
    return Comparison(
        tuple(_change(name, old[name], new[name], max(reference.values()), limit) for name in old),
        reference,
        any((report["load"] or 0) > report["machine"]["cores"] for report in (before, after)),
        tuple(_versions(before, after)),
    )


def _change(name: str, before_ms: float, after_ms: float, reference: float, limit: float) -> Change:
    by_clock = after_ms / before_ms
    by_reference = by_clock / reference
    slower = min(by_clock, by_reference) > 1 + limit and after_ms - before_ms > FINEST_MS
    return Change(name, before_ms, after_ms, by_clock, by_reference, slower)


def _refuse(unlike: Iterator[str]) -> None:
    if differences := "; ".join(unlike):
        raise CheckFailed(f"the two cannot be compared: {differences}; run the benchmark again under the earlier conditions")


def _unlike_conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What a figure depends on, beside the program and the libraries it uses."""
    for what in ("cpu", "cores", "gpu"):
        if before["machine"][what] != after["machine"][what]:
            yield f"{what} {before['machine'][what]} before, {after['machine'][what]} now"
    if before["source"] != after["source"]:
        yield f"source {before['source']} before, {after['source']} now"
    for section in ("match", "post", "calib"):
        for key in before["settings"][section]:
            old, new = before["settings"][section][key], after["settings"][section].get(key)
            if old != new:
                yield f"{section}.{key} {old} before, {new} now"


def _unlike_runs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before["frame_size"] != after["frame_size"]:
        yield f"frame_size {before['frame_size']} before, {after['frame_size']} now"
    old_runs, new_runs = ({_title(run): run for run in report["runs"]} for report in (before, after))
    if old_runs.keys() != new_runs.keys():
        yield f"measured {', '.join(old_runs)} before, {', '.join(new_runs)} now"
        return
    for title, old in old_runs.items():
        for what in ("grid", "sha256", "live_rate_hz"):
            if old[what] != new_runs[title][what]:
                yield f"{what} of {title} {str(old[what])[:12]} before, {str(new_runs[title][what])[:12]} now"
    if dict(_best(before)).keys() != dict(_best(after)).keys():
        yield "the parts that were measured differ"


def _best(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(name, milliseconds) of all that is judged."""
    for run in report["runs"]:
        if run["network_ms"]:
            yield f"{_title(run)}: network alone", run["network_ms"]["min"]
        for stage, figures in run["alone_ms"].items():
            yield f"{_title(run)}: {stage} alone", figures["min"]
        if run["flat_out"]:
            yield f"{_title(run)}: a frame flat out", 1e3 / run["flat_out"]["best_fps"]
        elif run["live"]:
            yield f"{_title(run)}: a frame live", 1e3 / run["live"]["best_fps"]
    if report["overhead"]:
        yield "around the network: processor", report["overhead"]["cpu_ms"]


def _title(run: Mapping[str, Any]) -> str:
    return f"{run['matcher']} on {run['backend']}"


def _versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = before["machine"], after["machine"]
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
