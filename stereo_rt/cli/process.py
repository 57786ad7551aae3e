"""`stereo-rt process`: a recording into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .options import loop_command
from .progress import progress_bar

if TYPE_CHECKING:
    from ..config import Config
    from ..offline import Summary


def process(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="left.mp4,right.mp4 | leftdir,rightdir | sbs.mp4?layout=sbs")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write to; new or empty.")],
    cfg: Config,
    formats: Annotated[
        str | None, typer.Option("--format", metavar="F,F", help="pfm,png16,npz,depth_mm,ply,mp4,mcap (default: pfm,depth_mm).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the frames in DIR; a video goes on in a part of its own.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Share the frames between N processes.")] = 1,
    shard: Annotated[str | None, typer.Option("--shard", metavar="i/n", help="Only every n-th frame, from frame i on.")] = None,
) -> None:
    """Process a recording into files: disparity, confidence, depth, clouds, video and a manifest."""
    from .. import jobs as work
    from .. import offline
    from ..config import changed

    if formats is not None:
        cfg = changed(cfg, "output", formats=formats)
    part = _shard(shard)
    if jobs > 1 and part[1] > 1:
        raise UsageError("--jobs and --shard both share out frames; use one of them")
    with progress_bar("process") as progress:
        if jobs > 1:
            summary = work.process(source, cfg, out, jobs=jobs, resume=resume, progress=progress)
        else:
            summary = offline.process(source, cfg, out, resume=resume, shard=part, progress=progress)
    typer.echo(_sentence(summary, out, cfg))


process = loop_command(process)  # type: ignore[assignment]


def _shard(text: str | None) -> tuple[int, int]:
    """'i/n' as numbers. Raises UsageError."""
    i, _, n = (text or "0/1").partition("/")
    if not (i.isdecimal() and n.isdecimal() and len(n) < 6 and int(i) < int(n)):
        raise UsageError(f"--shard {text}: is not i/n with i from 0 to n-1, such as 0/4")
    return int(i), int(n)


def _sentence(summary: Summary, out: Path, cfg: Config) -> str:
    before = f" ({summary.before} were there before)" if summary.before else ""
    if not summary.written:
        return f"no new frames{before} -> {out}"
    rate = summary.written / summary.seconds
    return (
        f"{summary.written} frames{before} in {summary.seconds:.1f} s ({rate:.1f} fps), "
        f"{summary.density:.0%} of the pixels kept -> {out} ({', '.join(cfg.output.formats)})"
    )
