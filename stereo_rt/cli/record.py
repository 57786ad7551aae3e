"""`stereo-rt record`: keep the raw pairs of a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command
from .progress import progress_bar

if TYPE_CHECKING:
    from ..config import Config


def record(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Camera or recording, such as v4l2:///dev/video0?layout=sbs.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="New .mkv (video) or .mcap (ROS 2 messages).")],
    cfg: Config,
) -> None:
    """Record the raw pairs of SOURCE without loss, and its calibration, until Ctrl-C or its end; nothing is matched."""
    from .. import record as work

    with progress_bar("record") as progress:
        work.record(source, cfg, out, say=typer.echo, progress=progress)


record = loop_command(record)  # type: ignore[assignment]
