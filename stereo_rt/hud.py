"""What is said about a frame in words: the status lines, and the read-out of the pixel under the pointer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .frames import DepthResult
from .status import Status


@dataclass(frozen=True)
class Reading:
    """One pixel of a result. disparity_px, depth_m and sigma_m (one standard deviation of depth) are NaN where unknown.

    depth_m is given for every pixel with a disparity; valid tells whether the mask keeps it.
    """

    x: int
    y: int
    disparity_px: float
    depth_m: float
    sigma_m: float
    confidence: float
    valid: bool
    filled: bool

    def __str__(self) -> str:
        parts = [f"x {self.x} y {self.y}"]
        parts.append(f"d {self.disparity_px:.1f} px" if math.isfinite(self.disparity_px) else "no disparity")
        if math.isfinite(self.depth_m):
            parts.append(f"z {self.depth_m:.2f} m ± {self.sigma_m:.2f}")
        parts.append(f"c {self.confidence:.2f}")
        if self.filled:
            parts.append("filled in")
        elif not self.valid:
            parts.append("masked")
        return "  ".join(parts)


def readout(result: DepthResult, x: int, y: int) -> Reading:
    """The numbers at column x, row y of the result's own grid. Raises IndexError outside it."""
    rig = result.rig
    if not (0 <= x < rig.width and 0 <= y < rig.height):
        raise IndexError(f"x {x} y {y} is outside the {rig.width}x{rig.height} grid")
    d = result.disparity_px[y, x]
    return Reading(
        x=x,
        y=y,
        disparity_px=float(d),
        depth_m=float(rig.depth_m(d)),
        sigma_m=float(rig.depth_sigma_m(d)),
        confidence=float(np.nan_to_num(result.confidence[y, x])),
        valid=bool(result.valid[y, x]),
        filled=bool(result.filled[y, x]) if result.filled is not None else False,
    )


def status_lines(status: Status) -> list[str]:
    """How the loop is doing, in two lines: rate, age and losses, then the stages and the matcher."""
    first = [
        status.state,
        f"{status.fps:.1f} fps",
        f"age {status.frame_age_ms:.0f} ms (p99 {status.frame_age_p99_ms:.0f})",
        f"drops {status.drops}",
    ]
    if status.skew_ms:
        first.append(f"skew {status.skew_ms:.1f} ms")
    if status.source.reopened:
        first.append(f"re-opened {status.source.reopened}")
    stages = [f"{name} {ms:.1f}" for name, ms in status.stage_ms.items()]
    second = [*([" ".join(stages) + " ms"] if stages else []), *([status.matcher] if status.matcher else [])]
    if status.confidence:
        second.append(f"confidence: {status.confidence}")
    return ["   ".join(first), "   ".join(second)]


def warning_lines(status: Status) -> list[str]:
    """What the user should know: why nothing comes, and the probe's findings."""
    return [*([status.detail] if status.detail else []), *status.warnings]
