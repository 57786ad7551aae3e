"""The verdict on a solved rig: one table of rules, each with its reason and the next thing to do.

| verdict | when | why it matters |
|---|---|---|
| redo | the pose between the eyes changes part-way | half of the views belong to another rig |
| redo | the baseline is not the one stated | squares of another size scale every depth |
| redo | under 6 pairs, or over 30 % of them left out | what is left may agree by chance |
| redo | under a quarter of either image reached | the lens is extrapolated nearly everywhere |
| redo | rows off by over 1.5 px, or disparity in the middle known to over 2 px | matchers fail, and far depth is made up |
| improve | under 12 pairs, or under half of an image reached | it works, and a few more views help much |
| improve | the eyes fit twice as badly together as alone | exposures some milliseconds apart |
| improve | rows off by over 0.5 px, disparity known to over 0.5 px, corners off by over 1 px | depth suffers visibly |
| good | none of these | |

What is no rig at all (pairs that do not belong together, eyes exchanged) solve refuses before.
The first rule that applies decides, so the worst and most basic reason is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .quality import Quality
from .solve import CAPTURE, MORE_VIEWS

Grade = Literal["good", "improve", "redo"]
BASELINE_SHARE = 0.03


@dataclass(frozen=True)
class Verdict:
    """grade, why (one sentence without its full stop), and what to do next."""

    grade: Grade
    reason: str
    next: str


@dataclass(frozen=True)
class Rule:
    """When it applies, the reason to give (None: it does not apply) and the next step."""

    grade: Grade
    reason: Callable[[Quality], str | None]
    next: str


def judge(quality: Quality) -> Verdict:
    """The first rule that applies."""
    for rule in RULES:
        if (reason := rule.reason(quality)) is not None:
            return Verdict(rule.grade, reason, rule.next)
    return Verdict("good", _all_well(quality), "use it: stereo-rt view SOURCE --calib RIG")


def _moved(q: Quality) -> str | None:
    return q.moved.sentence.partition("; ")[0] if q.moved else None


def _wrong_baseline(q: Quality) -> str | None:
    if q.stated_baseline_m is None:
        return None
    found, stated = q.baseline, q.stated_baseline_m
    half = (found.interval95[1] - found.interval95[0]) / 2
    if abs(found.value - stated) <= max(BASELINE_SHARE * stated, half):
        return None
    square = q.solution.board.square_m
    return (
        f"the baseline comes out as {found.value:.4g} {q.units} and {stated:g} m was stated: "
        f"squares of {square * stated / found.value:.4g} m instead of {square:g} would explain it"
    )


def _few_pairs(least: int) -> Callable[[Quality], str | None]:
    def reason(q: Quality) -> str | None:
        if q.used >= least:
            return None
        out = f" and {q.left_out} of those did not fit" if q.left_out else ""
        return f"both eyes saw the board in {q.both} of {q.asked} pairs{out}, which leaves {q.used}; {least} are the least"

    return reason


def _many_left_out(q: Quality) -> str | None:
    if q.left_out <= 0.3 * q.both:
        return None
    named = ", ".join(list(q.solution.rejected)[:5])
    return f"{q.left_out} of {q.both} pairs do not fit the others ({named}{', ...' if q.left_out > 5 else ''})"


def _small_coverage(least: float) -> Callable[[Quality], str | None]:
    def reason(q: Quality) -> str | None:
        share, eye = min(zip(q.coverage, ("left", "right"), strict=True))
        if q.solution.estimate.model == "fisheye":  # whose corners may be black: of the circle that touches two sides
            width, height = q.solution.sizes[0]
            share /= np.pi / 4 * min(width, height) / max(width, height)
            eye += " circular"
        return f"the board reached only {100 * share:.0f} % of the {eye} image" if share < least else None

    return reason


def _rows_off(limit_px: float) -> Callable[[Quality], str | None]:
    def reason(q: Quality) -> str | None:
        off = q.epipolar_px.heldout_mean
        return None if off <= limit_px else f"rows are {off:.2f} px off in views that were left out ({limit_px:g} is the limit)"

    return reason


def _uncertain_everywhere(q: Quality) -> str | None:
    if q.disparity_px(q.typical.center_pct) <= 2:
        return None
    return f"even in the middle of the image depth at {_typical(q)} is known to {q.typical.center_pct:.0f} % only"


def _uncertain(q: Quality) -> str | None:
    if q.disparity_px(q.typical.pct) <= 0.5:
        return None
    at = q.typical
    return f"depth at {_typical(q)} is known to {at.center_pct:.1f} % in the middle of the image, {at.edge_pct:.1f} % around it"


def _typical(q: Quality) -> str:
    return f"{q.typical.distance_m:.2g} {q.units}"


def _not_together(q: Quality) -> str | None:
    alone = max(q.solution.mono_rms_px)
    if q.stereo_rms_px <= max(2 * alone, 0.3):
        return None
    return (
        f"each eye alone fits at {alone:.2f} px and both together at {q.stereo_rms_px:.2f}: the eyes do not see the same moment"
    )


def _corners_off(q: Quality) -> str | None:
    rms, width = q.stereo_rms_px, q.solution.sizes[0][0]
    if rms <= max(1.0, width / 1000):
        return None
    model = q.solution.estimate.model
    return f"corners are {rms:.2f} px off: blur, a board that is not flat, or a lens that the {model} model does not fit"


def _all_well(q: Quality) -> str:
    return (
        f"{q.used} pairs fit at {q.stereo_rms_px:.2f} px, rows at {q.epipolar_px.heldout_mean:.2f} px in views left out; "
        f"depth at {_typical(q)} is known to {q.typical.pct:.1f} %"
    )


RULES: tuple[Rule, ...] = (
    Rule("redo", _moved, "fix them to each other firmly and capture again, or solve with the views after the change alone"),
    Rule("redo", _wrong_baseline, "measure a square on the print and give its size with --board, or correct --baseline"),
    Rule("redo", _few_pairs(6), MORE_VIEWS),
    Rule("redo", _many_left_out, "look at the views left out, capture again with the board held still, and keep it flat"),
    Rule("redo", _small_coverage(0.25), MORE_VIEWS),
    Rule("redo", _rows_off(1.5), "capture again: board flat and still, sharp images, eyes in sync"),
    Rule("redo", _uncertain_everywhere, MORE_VIEWS),
    Rule("improve", _few_pairs(12), MORE_VIEWS),
    Rule("improve", _small_coverage(0.5), f"add views that reach the corners of both images; {CAPTURE}"),
    Rule("improve", _not_together, "rest the board against something in each view, or trigger both cameras together"),
    Rule("improve", _rows_off(0.5), "capture again: board flat and still, sharp images, eyes in sync"),
    Rule("improve", _uncertain, MORE_VIEWS),
    Rule("improve", _corners_off, "use a flat, rigid board and sharp images, or another --lens"),
)
