"""A progress bar on stderr, where somebody looks at it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """Frames so far, frames in all where known, and what else there is to say."""
        ...


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    if not sys.stderr.isatty() or logging.getLogger().level >= logging.ERROR:
        yield lambda done, total, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]} {task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, fps="", note="")

        def show(done: int, total: int | None, note: str = "") -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, fps=f"{speed:.1f} fps" if speed else "", note=note)

        yield show
