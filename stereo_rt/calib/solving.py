"""The whole of `calibrate solve`: images and a board in; a rig file with a verdict, figures and a report out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..atomic import write_bytes
from ..errors import CalibrationError
from .boards import Board
from .derivatives import LensModel
from .formats import read_calibration
from .formats.ours import write_calibration
from .quality import Quality, assess
from .report import DepthPoint, ReportFacts, write_report
from .rig_facts import Fact, length
from .solve import solve
from .verdict import Verdict, judge
from .views import View, find_views

DEPTH_MEANING = (
    "What the calibration alone adds to the error of depth: one standard deviation over the image, between that in the "
    "image's middle and half a 95 % interval."
)


class Progress(Protocol):
    def __call__(self, done: int, total: int | None, note: str = "") -> None: ...


@dataclass(frozen=True, eq=False)
class Solved:
    """views: all that were looked at."""

    views: list[View]
    quality: Quality
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON has them."""
        verdict = {"verdict": self.verdict.grade, "reason": self.verdict.reason, "next": self.verdict.next}
        return verdict | self.quality.as_dict()


def solve_files(
    left: str, right: str | None, board: Board, lens: LensModel | None, baseline_m: float | None, progress: Progress
) -> Solved:
    """Look for the board, solve, measure and judge. right None: side by side. lens None: the best is chosen.

    Raises SourceError and UsageError for the images; CalibrationError where no rig comes out of them.
    """
    views = find_views(left, right, board, progress=progress)
    solution = solve(board, views, lens, say=lambda step: progress(len(views), len(views), step))
    quality = assess(solution, views, baseline_m)
    return Solved(views, quality, judge(quality))


def write(solved: Solved, out: Path, report: Path | None, json_file: Path | None) -> bool:
    """The rig with its verdict, and what else was asked for; each a whole file or none. Raises OutputError.

    False: the rig was not written, as a 'redo' replaces nothing but another one.
    """
    quality, verdict = solved.quality, solved.verdict
    name = out.stem if quality.units == "m" else f"{out.stem} (lengths in {quality.units})"
    wanted = verdict.grade != "redo" or not _may_be_better(out)
    if wanted:  # first: it is what the solving was for
        write_calibration(replace(quality.solution.rig, name=name, verdict=verdict.grade), out)
    if json_file is not None:
        write_bytes(json_file, json.dumps(solved.as_dict(), indent=1, allow_nan=False).encode())
    if report is not None:
        facts = ReportFacts(verdict.grade, verdict.reason, verdict.next, _facts(quality), _depth(quality), DEPTH_MEANING)
        write_report(report, quality.solution, facts, solved.views)
    return wanted


def _may_be_better(file: Path) -> bool:
    """Than a redo: the file is there, and no redo itself."""
    try:
        rig = read_calibration(file) if file.exists() else None
    except CalibrationError:
        return True
    return rig is not None and getattr(rig, "verdict", None) != "redo"


def failed(json_file: Path, reason: str) -> None:
    """The same JSON file for images that gave no rig: the figures are null."""
    none = dict.fromkeys(("stereo_rms_px", "mono_rms_px", "epipolar_px", "coverage", "depth_error_pct", "views", "model"))
    write_bytes(json_file, json.dumps({"verdict": "redo", "reason": reason} | none, indent=1).encode())


def describe(solved: Solved, assumed: bool = False) -> Iterator[str]:
    """What was found, in lines for the terminal. assumed: nobody stated the board."""
    quality = solved.quality
    solution, rows = quality.solution, quality.epipolar_px
    yield f"board {solution.board}" + (", assumed: pass --board if yours differs, every depth hangs on it" if assumed else "")
    yield f"{quality.used} of {quality.asked} pairs used, {solution.estimate.model} lens"
    alone = "{:.3f} left, {:.3f} right".format(*solution.mono_rms_px)
    yield f"corners: {quality.stereo_rms_px:.3f} px RMS, each eye alone {alone}"
    yield f"rows: {rows.mean:.2f} px off on average, 95 % within {rows.p95:.2f}; {rows.heldout_mean:.2f} in views left out"
    yield "coverage: {:.0%} of the left image, {:.0%} of the right".format(*quality.coverage)
    seen = [d for d in quality.depth if math.isfinite(d.pct)]  # nearer, no point is before both eyes
    at = ", ".join(f"{d.pct:.1f} % at {d.distance_m:g} {quality.units}" for d in seen)
    yield "depth: " + (at or f"no point within {quality.depth[-1].distance_m:g} {quality.units} is before both eyes")
    found = quality.baseline
    yield f"baseline: {found.value:.5g} {quality.units} (95 %: {found.interval95[0]:.5g} to {found.interval95[1]:.5g})"
    if quality.units != "m":
        yield "the size of a square is not known: every length is in squares, and depth will be too"
    for name, why in solution.rejected.items():
        yield f"left out: {name}: {why}"


def _facts(quality: Quality) -> list[Fact]:
    rows, board = quality.epipolar_px, quality.solution.board
    half = (quality.baseline.interval95[1] - quality.baseline.interval95[0]) / 2
    focal = next(p for p in quality.parameters if p.name == "left.fx_px")
    return [
        Fact("Rows after rectification", f"{rows.mean:.2f} px, 95 % within {rows.p95:.2f} px", "Vertical offset of corners."),
        Fact(
            "The same in views left out", f"{rows.heldout_mean:.2f} px", "What to expect of new images. Up to 0.5 px is fine."
        ),
        Fact("Views", f"{quality.used} pairs used, {quality.left_out} left out, {quality.asked} looked at"),
        Fact("Focal length, left", f"{focal.value:.1f} ± {focal.value - focal.interval95[0]:.1f} px", "95 % interval."),
        Fact(
            "Baseline", f"{length(quality.baseline.value, board)} ± {length(half, board)}", "95 % interval; scales every depth."
        ),
    ]


def _depth(quality: Quality) -> list[DepthPoint]:
    return [DepthPoint(d.distance_m, d.center_pct, d.pct, d.interval95_pct) for d in quality.depth]
