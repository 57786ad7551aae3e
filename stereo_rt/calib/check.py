"""The health of a calibration, judged without a target from matching points of natural features."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import CalibrationError
from ..geometry import RectifiedRig
from .drift import TILES, Drift, estimate, spread, tile_of, turned
from .gather import Gathered
from .probe import GROSS_LIMIT_PX, NEGATIVE_LIMIT, VERTICAL_LIMIT_PX, Probe, summarise

Verdict = Literal["good", "improve", "redo"]
MIN_MATCHES = 100
MIN_COVERAGE = 0.15
REDO_LIMIT_PX = 3.0
"""Whatever turned an eye by so much will hardly have left alone what natural features do not show: yaw and lens."""
PLACES = (3, 3)
PLACE_MATCHES = 15
"""Matches in a part of the image from which its median is told."""
SURE = 1.96
"""Standard deviations of a 95 % interval."""
DISTANCES_M = (1, 2, 5, 10)


@dataclass(frozen=True, eq=False)
class Offsets:
    """Vertical offsets (left minus right) in px. rms: of the fitted plane over the image, the figure to judge (see Probe).

    median and p95 are of their magnitudes. by_place: (3, 3) medians over the image, NaN where there are few matches.
    """

    rms_px: float
    sigma_px: float
    median_px: float
    p95_px: float
    by_place_px: np.ndarray

    @property
    def worst_place_px(self) -> float:
        return float(np.nanmax(np.abs(self.by_place_px))) if np.isfinite(self.by_place_px).any() else self.rms_px

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        places = [[None if np.isnan(v) else float(v) for v in row] for row in self.by_place_px]
        return {"rms": self.rms_px, "median": self.median_px, "p95": self.p95_px, "by_place": places}


@dataclass(frozen=True, eq=False)
class Health:
    """What the matches say of a calibration.

    coverage: share of the image with matches. now: as the calibration has it. corrected: with drift.correction applied.
    looks: frames looked at. swapped: the eyes fit when exchanged, and not as they are.
    """

    looks: int
    matches: int
    coverage: float
    now: Offsets
    corrected: Offsets
    drift: Drift
    grid: RectifiedRig
    swapped: bool

    @property
    def verdict(self) -> Verdict:
        if self.swapped or self.now.rms_px > REDO_LIMIT_PX:
            return "redo"
        if is_good(self.now):
            return "good"
        return "improve" if is_good(self.corrected) else "redo"

    @property
    def reason(self) -> str:
        """One sentence without its full stop."""
        off = f"rows are {self.now.rms_px:.1f} px off over the image"
        if self.swapped:
            return "left and right are exchanged"
        if self.now.rms_px > GROSS_LIMIT_PX:
            return f"{off}: these images are not rectified, or not by their own calibration"
        if self.verdict == "good":
            return f"{off}, and matching begins to suffer at {VERTICAL_LIMIT_PX:g}"
        slanted = f"on slanted edges that is as much disparity: {self.depth_pct(self.now.rms_px, 2):.1f} % of depth at 2 m"
        if not is_good(self.corrected):
            left_px = max(self.corrected.rms_px, self.corrected.worst_place_px)
            return f"{off} and a turn of the right eye does not explain it ({left_px:.1f} px stay in places); {slanted}"
        if self.verdict == "redo":
            return f"{off}: so much has moved that what cannot be seen here (yaw, lens) has moved too; {slanted}"
        return f"{off}, and turning the right eye back leaves {self.corrected.rms_px:.1f}; {slanted}"

    def depth_pct(self, disparity_px: float, z_m: float) -> float:
        """By how many per cent depth z changes with so much disparity: dz / z = z / (f B) dd."""
        return 100 * z_m * disparity_px / (self.grid.fx_px * self.grid.baseline_m)

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON has them."""
        names, turn, sigma = ("pitch", "yaw", "roll"), np.degrees(self.drift.turn_rad), np.degrees(self.drift.sigma_rad)
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "looks": self.looks,
            "matches": self.matches,
            "coverage": self.coverage,
            "vertical_px": self.now.as_dict(),
            "corrected_vertical_px": self.corrected.as_dict(),
            "turn_deg": {n: {"value": float(t), "sigma": float(s)} for n, t, s in zip(names, turn, sigma, strict=True)},
            "not_observable": ["baseline"],
            "not_corrected": ["yaw", "baseline"],
            "slanted_edge_depth_error_pct": {str(z): self.depth_pct(self.now.rms_px, z) for z in DISTANCES_M},
        }


def next_step(health: Health, source: str, calib: str | None, *, raw: bool, swap: bool) -> str:
    """What to do after the verdict. calib: the file that was checked, None for the source's own. raw: it can be refined.

    swap: the images were exchanged for the check, and have to be in what follows.
    """
    if health.swapped:
        return f"stereo-rt calibrate check {subject_of(source, calib, not swap)}"
    subject = subject_of(source, calib, swap)
    if health.verdict == "good":
        return f"stereo-rt view {subject}"
    if health.verdict == "improve" and raw:
        return f"stereo-rt calibrate check {subject} --refine refined.yaml"
    if not raw:
        return "rectify again from the raw images: these come rectified, so no file here holds a rotation that could be refined"
    if health.now.rms_px > GROSS_LIMIT_PX:
        return f"pass these cameras' own calibration, or make one: {_capture(source, swap)}"
    return _capture(source, swap)


def subject_of(source: str, calib: str | None, swap: bool) -> str:
    """The words of a command that name what it is about."""
    return shlex.quote(source) + (f" --calib {shlex.quote(calib)}" if calib else "") + (" --swap" if swap else "")


def describe(health: Health) -> list[str]:
    """The figures in lines for a person."""
    now, then, d = health.now, health.corrected, health.drift
    lines = [
        f"{health.looks} pairs, {health.matches} matching points in {health.coverage:.0%} of the view",
        f"vertical offset, px: rms over the image {now.rms_px:.2f}, median {now.median_px:.2f}, p95 {now.p95_px:.2f}",
        "  medians by place, left minus right:",
        *("  " + "".join("      --" if np.isnan(v) else f"{v:+8.2f}" for v in row) for row in now.by_place_px),
    ]
    if health.swapped or now.rms_px > GROSS_LIMIT_PX:
        return lines  # these are not small turns of this rig
    turn, sure = np.degrees(d.turn_rad), SURE * np.degrees(d.sigma_rad)
    pitch, yaw, roll = (f"{t:+.3f} +- {s:.3f}" for t, s in zip(turn, sure, strict=True))
    shift = health.grid.fx_px * (abs(d.turn_rad[1]) + SURE * d.sigma_rad[1])
    return [
        *lines,
        "turn of the right eye since the calibration, degrees, 95 % interval:",
        f"  roll  {roll}",
        f"  pitch {pitch}",
        f"  yaw   {yaw}   hardly seen in natural features, never corrected: disparity may be {shift:.1f} px off by it, "
        f"{health.depth_pct(shift, 2):.1f} % of depth at 2 m",
        "  the length of the baseline is not seen at all; measure a known distance: stereo-rt bench SOURCE --check-wall METRES",
        f"suggested correction, roll and pitch turned back: rms {then.rms_px:.2f}, median {then.median_px:.2f}, "
        f"p95 {then.p95_px:.2f} px",
    ]


def check(gathered: Gathered) -> Health:
    """Judge what was gathered. Raises CalibrationError when it is too little to tell, or the grid has no focal length."""
    grid = gathered.grid
    if not grid.metric:
        raise CalibrationError("a check needs the focal length: pass the calibration with --calib FILE")
    matches = spread(np.concatenate(gathered.looks), grid.size)
    coverage = float(np.mean(np.bincount(tile_of(matches, grid.size), minlength=TILES[0] * TILES[1]) > 0))
    if len(matches) < MIN_MATCHES or coverage < MIN_COVERAGE:
        raise CalibrationError(
            f"only {len(matches)} points match between the eyes, in {coverage:.0%} of the view, over "
            f"{len(gathered.looks)} pairs ({MIN_MATCHES} in {MIN_COVERAGE:.0%} are needed): nothing can be told; "
            "show the cameras something lit, with texture all over, or look at more frames with --max-frames"
        )
    drift = estimate(matches, grid)
    now = offsets(matches, grid.size, drift.fits)
    return Health(
        looks=len(gathered.looks),
        matches=len(matches),
        coverage=coverage,
        now=now,
        corrected=offsets(turned(matches, grid, drift.correction), grid.size, drift.fits),
        drift=drift,
        grid=grid,
        swapped=_swapped(summarise(matches, grid.size), gathered.exchanged),
    )


def offsets(matches: np.ndarray, size: tuple[int, int], fits: np.ndarray) -> Offsets:
    """The vertical offsets of those (N, 4) matches that fit, (N,) bool, in images of (width, height)."""
    probe = summarise(matches[fits], size)
    dy = matches[fits, 3]
    place = tile_of(matches[fits], size, PLACES)
    parts = [dy[place == p] for p in range(PLACES[0] * PLACES[1])]
    medians = [float(np.median(part)) if len(part) >= PLACE_MATCHES else np.nan for part in parts]
    by_place = np.array(medians).reshape(PLACES[1], PLACES[0])
    median, p95 = np.percentile(np.abs(dy), [50, 95])
    return Offsets(probe.vertical_rms_px, probe.vertical_sigma_px, float(median), float(p95), by_place)


def is_good(found: Offsets) -> bool:
    """Rows agree over the image, and nowhere are they off by twice the limit."""
    return found.rms_px - 2 * found.sigma_px <= VERTICAL_LIMIT_PX and found.worst_place_px <= 2 * VERTICAL_LIMIT_PX


def _capture(source: str, swap: bool) -> str:
    return f"stereo-rt calibrate capture {subject_of(source, None, swap)} -o pairs --board BOARD.yaml"


def _swapped(now: Probe, exchanged: Probe) -> bool:
    wrong = now.negative_share > NEGATIVE_LIMIT or now.vertical_rms_px > GROSS_LIMIT_PX
    fits = exchanged.negative_share < 1 - NEGATIVE_LIMIT and exchanged.vertical_rms_px < GROSS_LIMIT_PX
    return wrong and exchanged.matches > 0 and fits
