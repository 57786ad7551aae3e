"""`stereo-rt calibrate board`: a target to print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def board(
    what: Annotated[
        str, typer.Argument(metavar="BOARD", help="Such as charuco:11x8:0.021, or a board's YAML file.")
    ] = "chessboard:9x6:0.025",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="New .pdf, .svg or .png.")] = None,
    paper: Annotated[str, typer.Option("--paper", help="a4, a3 or letter.")] = "a4",
) -> None:
    """Draw a board true to scale, with a ruler to check the print, and write its YAML beside it.

    BOARD is KIND:COLUMNSxROWS:SQUARE_M[:MARKER_M[:DICTIONARY]]. chessboard: inner corners. charuco: squares. aprilgrid:
    tags, SQUARE_M from one to the next (laid out as Kalibr prints them). circles: circles in a row and rows.
    """
    from ...calib.boards import parse_board, write_board
    from ...calib.printing import lay_out, write_sheet

    target = parse_board(what)
    file = out or Path(f"{target.kind}_{target.columns}x{target.rows}_{1000 * target.square_m:g}mm.pdf")
    sheet = lay_out(target, paper)
    write_sheet(sheet, file)
    yaml = file.with_suffix(".yaml")
    write_board(target, yaml)
    typer.echo(f"{file}: {target}, on {paper} ({sheet.width_mm:g}x{sheet.height_mm:g} mm); print it at 100 %")
    typer.echo(f"{yaml}: the same board for --board; if the ruler is off, measure a square and correct square_m there")
