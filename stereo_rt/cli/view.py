"""`stereo-rt view`: watch a camera or a recording, in a window or on a web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..config import Config


def _view(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Camera or recording, such as synthetic://room.")],
    cfg: Config,
    web: Annotated[str | None, typer.Option("--web", metavar="[HOST:]PORT", help="Web page; 'auto' finds a port.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="Secret that the web page asks for.")] = None,
    record: Annotated[Path | None, typer.Option("--record", metavar="FILE", help="Keep the raw pairs: .mkv or .mcap.")] = None,
) -> None:
    """Watch SOURCE live: left image, disparity, depth masked by confidence, confidence."""
    from ..session import open_session
    from ..show import show

    given = {name: value for name, value in (("web", web), ("token", token)) if value is not None}
    cfg = cfg.model_copy(update={"view": cfg.view.model_copy(update=given)})
    viewer = show(
        lambda viewer, recorder: open_session(source, cfg, offline=False, sinks=(viewer,), frame_sinks=(recorder,)),
        cfg,
        say=typer.echo,
        record=record,
    )
    status = viewer.loop.status()
    typer.echo(f"{status.frames} frames, {status.fps:.1f} a second, {status.drops} dropped")


_view.__name__ = "view"
view = loop_command(_view)
