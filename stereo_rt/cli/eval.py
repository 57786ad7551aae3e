"""`stereo-rt eval`: accuracy and confidence quality against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..config import Config


@loop_command
def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder tree of scenes, each with a meta.json.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")] = None,
    against: Annotated[str | None, typer.Option("--against", metavar="NAME", help="Also run sgbm, or another model.")] = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="DIR", help="Write disparity and confidence here.")] = None,
    *,
    cfg: Config,
) -> None:
    """Measure accuracy and confidence quality on scenes with ground truth."""
    import json

    from rich.console import Console

    from ..atomic import write_bytes
    from ..evaluation import report
    from ..evaluation.datasets import find_scenes
    from ..matchers import create_matcher

    scenes = find_scenes(dataset)
    runs = [(cfg.match, save)]
    if against:
        other = {"backend": "sgbm"} if against == "sgbm" else {"model": against}
        runs.append((cfg.match.model_copy(update=other), None))
    results = []
    for match, folder in runs:
        matcher = create_matcher(match)
        with Console(stderr=True).status("matching") as status:
            results.append(report.evaluate(matcher, scenes, folder, done=status.update))
        matcher.close()
        typer.echo(report.table(results[-1]))
    if json_file is not None:
        figures = results[0] | ({"against": results[1]} if against else {})
        write_bytes(json_file, json.dumps(figures, indent=1, allow_nan=False).encode())
