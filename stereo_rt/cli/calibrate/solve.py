"""`stereo-rt calibrate solve`: from pairs of images of a board to a rig file with a verdict."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..progress import progress_bar

ASSUMED = "chessboard:9x6:0.025"


class Lens(str, Enum):
    auto = "auto"
    pinhole = "pinhole"
    rational = "rational"
    fisheye = "fisheye"


def solve(
    left: Annotated[str, typer.Argument(metavar="LEFT|SBS", help="Folder or quoted glob of left, or side-by-side, images.")],
    right: Annotated[str | None, typer.Argument(metavar="[RIGHT]", help="The same of right images.")] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", help=f"Such as {ASSUMED}, the default (inner corners; square in metres, 1: unknown), or YAML."),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="RIG.yaml", help="Rig file to write; a redo replaces none but a redo.")
    ] = Path("rig.yaml"),
    report: Annotated[Path | None, typer.Option("--report", metavar="F.html", help="Write a page to look at.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")] = None,
    lens: Annotated[Lens, typer.Option("--lens", help="auto takes what predicts views left out best.")] = Lens.auto,
    baseline: Annotated[
        float | None,
        typer.Option("--baseline", metavar="METRES", min=1e-4, help="Measured distance of the eyes, to check with."),
    ] = None,
) -> None:
    """Solve a stereo rig from views of a board: good, improve or redo (exit code 3), with the reason and the next step.

    Left and right are paired in sorted order. Views that do not fit are left out, and named.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the matrices are small: threads would only wait for each other

    from ...calib.boards import parse_board
    from ...calib.solving import describe, failed, solve_files, write
    from ...errors import CalibrationError, CheckFailed

    target = parse_board(board or ASSUMED)
    try:
        with progress_bar("board") as progress:
            solved = solve_files(left, right, target, None if lens is Lens.auto else lens.value, baseline, progress)
    except CalibrationError as e:
        if json_file is not None:
            failed(json_file, str(e))
        raise CheckFailed(f"redo: {e}; {out} was not written") from None
    wrote = write(solved, out, report, json_file)
    for line in describe(solved, assumed=board is None):
        typer.echo(line)
    written = f"{out}: written, verdict {solved.verdict.grade}"
    if solved.verdict.grade == "redo":
        fate = f"{written}, and refused without --force" if wrote else f"{out} exists and was kept; -o NEW.yaml writes this one"
        raise CheckFailed(f"redo: {solved.verdict.reason}; next: {solved.verdict.next} ({fate})")
    typer.echo(f"{solved.verdict.grade}: {solved.verdict.reason}")
    typer.echo(written)
    typer.echo(f"next: {solved.verdict.next.replace('RIG', str(out))}")
