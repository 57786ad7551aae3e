"""The entry point: one command a module, each loaded only as far as its help needs."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import StereoError

app = typer.Typer(
    name="stereo-rt",
    help="Real-time stereo depth with a measured confidence. Try: stereo-rt demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"stereo-rt {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


def register() -> None:
    """Attach every command. The modules import nothing heavy at their top."""
    from . import (
        bench,
        build,
        calibrate,
        confidence,
        config,
        demo,
        distill,
        doctor,
        eval,
        export,
        info,
        pretrain,
        process,
        record,
        train,
        view,
    )

    app.command()(demo.demo)
    app.command()(view.view)
    app.command()(process.process)
    app.command()(record.record)
    app.command()(bench.bench)
    app.command("eval")(eval.evaluate)
    app.command()(pretrain.pretrain)
    app.command()(train.train)
    app.command()(distill.distill)
    app.command()(export.export)
    app.command()(build.build)
    app.command()(info.info)
    app.command()(doctor.doctor)
    app.add_typer(calibrate.app, name="calibrate")
    app.add_typer(confidence.app, name="confidence")
    app.add_typer(config.app, name="config")


def _terminated(signum: int, _: object) -> None:
    """SIGTERM ends a run as Ctrl-C does: the files being written are finished first."""
    raise SystemExit(128 + signum)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; errors become one sentence on stderr and the design's exit code."""
    register()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(argv)
    except StereoError as e:
        sys.stderr.write(f"stereo-rt: {e}\n")
        sys.exit(e.exit_code)
    except ImportError as e:
        if (e.name or "").startswith(__package__.partition(".")[0]):
            raise  # a mistake of ours, not of the installation
        first_line = str(e).strip().partition("\n")[0]
        sys.stderr.write(f"stereo-rt: a package cannot be imported ({first_line}); see what to do with: stereo-rt doctor\n")
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
