"""`stereo-rt calibrate`: from a printed board to a rig file. One module a command, which imports nothing heavy at its top."""

from __future__ import annotations

import typer

from . import board, capture, check, convert, solve

app = typer.Typer(
    help="Calibrate a stereo camera: print a board, capture it, solve, check, convert.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(board.board)
app.command()(capture.capture)
app.command()(solve.solve)
app.command()(check.check)
app.command()(convert.convert)
