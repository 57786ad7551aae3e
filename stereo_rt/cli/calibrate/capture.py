"""`stereo-rt calibrate capture`: guided capture of a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import capturing_command
from ..progress import progress_bar

if TYPE_CHECKING:
    from ...config import Config


def _capture(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Camera or recording, such as synthetic://board?live=1.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="New or empty folder for the pairs.")],
    board: Annotated[str, typer.Option("--board", metavar="BOARD", help="Such as chessboard:9x6:0.025, or a board's YAML.")],
    cfg: Config,
    web: Annotated[str | None, typer.Option("--web", metavar="[HOST:]PORT", help="Web page; 'auto' finds a port.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="Secret that the web page asks for.")] = None,
    views: Annotated[int, typer.Option("--views", min=3, help="Most pairs to choose from a recording.")] = 40,
) -> None:
    """Film a board with both eyes of SOURCE and keep the pairs worth calibrating with.

    A camera is guided in a window, or on a web page: pairs are taken whenever the board is sharp, still and somewhere new.
    From a recording the most diverse pairs are chosen.
    """
    from ...calib.boards import parse_board
    from ...calib.capturing import capture

    target = parse_board(board)
    given = {name: value for name, value in (("web", web), ("token", token)) if value is not None}
    cfg = cfg.model_copy(update={"view": cfg.view.model_copy(update=given)})
    with progress_bar("capture") as progress:
        kept = capture(source, cfg, target, out, most=views, say=typer.echo, progress=progress)
    if not len(kept):
        typer.echo(f"no pair was taken; {out} was not made")
        raise typer.Exit(1)
    missing = [f"{name} {share:.0%}" for name, share in kept.kept.bars.items() if share < 0.995]
    still = f"; short of what is wanted: {', '.join(missing)} of it" if missing else ""
    left, right = kept.kept.coverage
    typer.echo(f"{len(kept)} pairs in {out}, coverage {left:.0%} left and {right:.0%} right{still}")
    typer.echo(f"next: {kept.command}")


_capture.__name__ = "capture"
capture = capturing_command(_capture)
