"""`stereo-rt calibrate check`: does a calibration still fit its cameras?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import checking_command
from ..progress import progress_bar

if TYPE_CHECKING:
    from ...config import Config


def _check(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Camera or recording, of any textured scene.")],
    cfg: Config,
    refine: Annotated[Path | None, typer.Option("--refine", metavar="NEW.yaml", help="Write a corrected rig there.")] = None,
    skip: Annotated[int, typer.Option("--skip", min=0, help="Frames to leave out first.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
) -> None:
    """Judge a calibration from what the cameras see, without a target: good, improve or redo (exit code 3).

    Up to 100 of the first 600 frames (--max-frames) are looked at. Nothing is changed: --refine writes a new file, where
    frames that had no part in it confirm it.
    """
    import json

    from ...atomic import write_bytes
    from ...calib.check import describe
    from ...calib.checking import check_source
    from ...errors import CheckFailed

    with progress_bar("check") as progress:
        checked = check_source(source, cfg, skip=skip, out=refine, progress=progress)
    health, refined = checked.health, checked.refined
    for line in describe(health):
        typer.echo(line)
    if json_file is not None:
        write_bytes(json_file, json.dumps(checked.as_dict(), indent=1, allow_nan=False).encode())
    if health.verdict == "redo":
        unwritten = f"; {refine} was not written" if refine is not None else ""
        raise CheckFailed(f"redo: {health.reason}{unwritten}; next: {checked.next}")
    typer.echo(f"{health.verdict}: {health.reason}")
    if refine is not None and refined is None:
        raise CheckFailed(f"{refine} was not written: there is nothing to refine; use the calibration as it is")
    if refined is not None:
        typer.echo(
            f"{refine}: written; on frames it did not use, rms {refined.before.rms_px:.2f} -> {refined.after.rms_px:.2f}, "
            f"median {refined.before.median_px:.2f} -> {refined.after.median_px:.2f} px"
        )
    typer.echo(f"next: {checked.next}")


_check.__name__ = "check"
check = checking_command(_check)
