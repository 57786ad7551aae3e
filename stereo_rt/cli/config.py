"""`stereo-rt config`: show the resolved settings, or check a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..config import Config

app = typer.Typer(help="Show or check settings.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def default(context: typer.Context) -> None:
    """Show or check settings; alone it shows those that a command without flags runs with."""
    if context.invoked_subcommand is None:
        from ..config import load, to_yaml

        typer.echo(to_yaml(load()), nl=False)


def show(cfg: Config) -> None:
    """Print the settings a command would run with, as YAML."""
    from ..config import to_yaml

    typer.echo(to_yaml(cfg), nl=False)


app.command("show")(loop_command(show))


@app.command()
def check(file: Annotated[Path, typer.Argument(help="YAML file to check.")]) -> None:
    """Say whether a settings file is right; exit code 1 when it is not."""
    from ..config import load

    load(file)
    typer.echo(f"{file}: ok")
