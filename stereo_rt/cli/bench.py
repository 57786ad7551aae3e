"""`stereo-rt bench`: frames per second and latency, stage by stage; and depth against what is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import loop_command

if TYPE_CHECKING:
    from ..config import Config

LEAST_FRAMES = 10


@loop_command
def bench(
    source: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="Frames to hold in memory; also a scene's folder.")
    ] = "synthetic://room?raw=1",
    frames: Annotated[int, typer.Option("--frames", min=LEAST_FRAMES, help="Frames to measure in each part.")] = 100,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Camera rate of the part at a fixed rate, in Hz.")] = 30.0,
    engine_only: Annotated[bool, typer.Option("--engine-only", help="Only the network, on inputs that lie ready.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Only the loop on SOURCE itself, as it comes.")] = False,
    against: Annotated[list[str] | None, typer.Option("--against", help="Another backend, same run; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw the figures.")] = None,
    compare: Annotated[Path | None, typer.Option("--compare", metavar="OLD.json", help="Exit 3 if slower than this.")] = None,
    max_regress: Annotated[str, typer.Option("--max-regress", metavar="PERCENT", help="How much slower is too much.")] = "5%",
    check_wall: Annotated[
        float | None, typer.Option("--check-wall", metavar="METRES", min=0.05, help="Measure a wall at this distance instead.")
    ] = None,
    roofline: Annotated[bool, typer.Option("--roofline", help="Only an estimate of what other devices could do.")] = False,
    *,
    cfg: Config,
) -> None:
    """Measure the loop: the network, each stage alone, flat out, and at a camera's rate."""
    from rich.console import Console

    from ..bench import run_bench, table
    from ..bench.compare import check_conditions, read_report
    from ..bench.compare import compare as compared
    from ..bench.plot import check_plot, write_plot
    from ..bench.report import settings_of
    from ..errors import CheckFailed, UsageError

    console = Console()
    frames = max(LEAST_FRAMES, min(frames, cfg.run.max_frames or frames))
    limit = _share(max_regress)
    if sum((engine_only, live, check_wall is not None, roofline)) > 1:
        raise UsageError("--engine-only, --live, --check-wall and --roofline exclude each other; take one")
    if roofline:
        from ..bench.roofline import print_roofline

        print_roofline(cfg.match.model, console)
        return
    if check_wall is not None:
        from ..bench.wall import check_wall as measured

        found = measured(source, cfg, check_wall, frames)
        table.print_wall(found, console)
        _write(json_file, vars(found))
        return
    before = None if compare is None else read_report(compare)
    if before is not None:
        check_conditions(before, source, settings_of(cfg))
    if plot is not None:
        check_plot(plot)
    report = run_bench(
        source,
        cfg,
        frames=frames,
        rate_hz=rate,
        against=against or (),
        engine_only=engine_only,
        live=live,
        progress=lambda text: typer.echo(text, err=True),
    )
    table.print_report(report, console)
    _write(json_file, report.as_dict())
    if plot is not None:
        write_plot(plot, report)
    if before is not None:
        import json

        change = compared(before, json.loads(json.dumps(report.as_dict())), limit)
        table.print_comparison(change, limit, console)
        if change.slower:
            names = ", ".join(c.name for c in change.slower)
            raise CheckFailed(f"slower than {compare} by more than {max_regress}: {names}; run it again on a quiet machine")


def _share(text: str) -> float:
    """'5%' or '5' -> 0.05. Raises UsageError."""
    from ..errors import UsageError

    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1
    if not 0 <= share < 10:
        raise UsageError(f"--max-regress {text}: is not a percentage such as 5%")
    return share


def _write(file: Path | None, values: dict[str, Any]) -> None:
    import json

    from ..atomic import write_bytes

    if file is not None:
        write_bytes(file, json.dumps(values, indent=1, allow_nan=False).encode())
