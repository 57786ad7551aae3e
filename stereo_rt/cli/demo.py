"""`stereo-rt demo`: the whole product on a built-in camera, no hardware, no files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..config import Config

HEADLESS_FRAMES = 60


def _demo(
    cfg: Config,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="End after so many frames.")] = None,
    save: Annotated[Path, typer.Option("--save", metavar="DIR", help="Where the picture goes.")] = Path("demo"),
    web: Annotated[str | None, typer.Option("--web", metavar="[HOST:]PORT", help="Web page; 'auto' finds a port.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="Secret that the web page asks for.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another room.")] = 0,
) -> None:
    """Watch live depth from a built-in synthetic stereo camera whose true depth is known.

    In a window where there is a display, else on a web page. Leaves a picture and a line of figures.
    """
    from ..demo import run_demo

    if frames is None and cfg.view.headless:
        frames = cfg.run.max_frames or HEADLESS_FRAMES
    if frames is not None:
        cfg = cfg.model_copy(update={"run": cfg.run.model_copy(update={"max_frames": frames})})
    given = {name: value for name, value in (("web", web), ("token", token)) if value is not None}
    cfg = cfg.model_copy(update={"view": cfg.view.model_copy(update=given)})
    status, against, picture = run_demo(cfg, save, seed=seed, say=typer.echo)
    typer.echo(
        f"{status.frames} frames at {status.fps:.1f} fps with {status.matcher}, frame age {status.frame_age_ms:.0f} ms; "
        f"depth kept for {against.kept:.0%} of the view, median error {against.depth_error:.1%}, "
        f"{against.bad2_kept:.1%} of it more than 2 px off ({against.bad2_all:.1%} without the mask); picture: {picture}"
    )


_demo.__name__ = "demo"
demo = loop_command(_demo)
