"""`stereo-rt calibrate`: from a printed board to a rig file. One module a command."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Calibrate a stereo camera: print a board, capture it, solve, check, convert.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
