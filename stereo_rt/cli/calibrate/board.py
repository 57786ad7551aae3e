"""`stereo-rt calibrate board`: a target to print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...calib.boards import Board


def board(
    what: Annotated[
        str, typer.Argument(metavar="BOARD", help="Such as charuco:11x8:0.021, or a board's YAML file.")
    ] = "chessboard:9x6:0.025",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="New .pdf, .svg or .png.")] = None,
    paper: Annotated[str, typer.Option("--paper", help="a4, a3 or letter.")] = "a4",
) -> None:
    """Draw a board true to scale, with a ruler to check the print, and write its YAML beside it, which is never replaced.

    BOARD is KIND:COLUMNSxROWS:SQUARE_M[:MARKER_M[:DICTIONARY]]. chessboard: inner corners. charuco: squares. aprilgrid:
    tags, SQUARE_M from one to the next (laid out as Kalibr prints them). circles: circles in a row and rows.
    """
    from ...calib.boards import parse_board, write_board
    from ...calib.printing import lay_out, write_sheet

    target = parse_board(what)
    file = out or Path(f"{target.kind}_{target.columns}x{target.rows}_{1000 * target.square_m:g}mm.pdf")
    yaml = file.with_suffix(".yaml")
    there = yaml.exists()
    if there:
        _check_same(target, yaml)
    sheet = lay_out(target, paper)
    write_sheet(sheet, file)
    if not there:
        write_board(target, yaml)
    typer.echo(f"{file}: {target}, on {paper} ({sheet.width_mm:g}x{sheet.height_mm:g} mm); print it at 100 %")
    typer.echo(f"{yaml}: the same board for --board; if the ruler is off, {_advice(target)} there")


def _check_same(target: Board, yaml: Path) -> None:
    """Raises OutputError when the file holds another board, such as the sizes that somebody measured on a print."""
    from ...calib.boards import read_board
    from ...errors import CalibrationError, OutputError

    try:
        held = read_board(yaml)
    except CalibrationError:
        raise OutputError(f"{yaml} is there already and holds no board; move it away, or choose another -o") from None
    if held != target:
        raise OutputError(f"{yaml} describes another board, {held}; draw that one by naming the file, or choose another -o")


def _advice(target: Board) -> str:
    """What to measure on a print that came out scaled, and where to put it."""
    pitch = {"aprilgrid": "from a tag to the next", "circles": "from a row to the next"}.get(target.kind, "a square")
    if target.marker_m is None:
        return f"measure {pitch} and correct square_m"
    marker = "tag" if target.kind == "aprilgrid" else "marker"
    return f"measure {pitch} (square_m) and the black of a {marker} (marker_m) and correct both"
