"""The whole of `calibrate check`: source and calibration in; figures, verdict and perhaps a refined file out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import CalibrationError, UsageError
from ..session import known_calibration, of_frames
from ..sources import open_source
from .check import Health, check, next_step, subject_of
from .formats import write_calibration
from .gather import gather
from .refine import Refined, refine
from .rig import StereoRig


@dataclass(frozen=True, eq=False)
class Checked:
    """health, the next command, and what was refined, where that was asked for."""

    health: Health
    next: str
    refined: Refined | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = self.health.as_dict() | {"next": self.next}
        return found | ({} if self.refined is None else {"heldout_vertical_px": self.refined.as_dict()})


def check_source(
    uri: str,
    cfg: Config,
    *,
    skip: int = 0,
    out: Path | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Checked:
    """Check the calibration of `uri` after its first `skip` frames; out: a new file for the refined rig.

    `out` is written only where the verdict is 'improve' and frames that had no part in it are clearly better by it.
    Raises UsageError when `out` exists, CalibrationError, CheckFailed, SourceError, OutputError.
    """
    if out is not None and out.exists():
        raise UsageError(f"{out}: exists already, and nothing is overwritten; name a new file for --refine")
    source = open_source(uri, cfg.capture)
    try:
        known = known_calibration(cfg.calib, source)
        if known is None:
            raise CalibrationError(f"{uri} comes without a calibration; pass the one to check with --calib FILE")
        found = of_frames(known, cfg.calib)
        if out is not None and not isinstance(found, StereoRig):
            raise CalibrationError(
                "rectified images leave nothing to refine, as their calibration holds no rotation; "
                "check the raw images with the raw calibration"
            )
        gathered = gather(
            source,
            found,
            alpha=cfg.calib.alpha,
            skip=skip,
            frames=cfg.run.max_frames,
            timeout_s=cfg.capture.timeout_s,
            progress=progress,
        )
    finally:
        source.close()
    health = check(gathered)
    file = None if cfg.calib.file is None else str(cfg.calib.file)
    following = next_step(health, uri, file, raw=isinstance(found, StereoRig), swap=cfg.capture.swap)
    if out is None or not isinstance(found, StereoRig) or health.verdict != "improve":
        return Checked(health, following)
    refined = refine(found, gathered)
    write_calibration(refined.rig, out)
    return Checked(health, f"stereo-rt calibrate check {subject_of(uri, str(out), cfg.capture.swap)}", refined)
