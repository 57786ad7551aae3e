"""A build on the terminal: a bar on stderr while TensorRT works, plain lines around it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..engine.phases import Phases

EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


class BuildProgress:
    """Without a terminal there is no bar but a line now and then; quiet: neither."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told_s = 0.0
        self._bar: Progress | None = None

    def say(self, line: str) -> None:
        self._stop()
        if not self._quiet:
            typer.echo(line)

    def show(self, phases: Phases, elapsed_s: float, expected_s: float | None) -> None:
        if self._quiet:
            return
        time = f"{elapsed_s:.0f} s" + (f" of about {expected_s:.0f} s" if expected_s else "")
        if not sys.stderr.isatty():
            self._told_s = min(self._told_s, elapsed_s)  # another build
            if elapsed_s - self._told_s >= EVERY_S:
                self._told_s = elapsed_s
                typer.echo(f"still building: {time}, {phases.current or 'TensorRT does not say where'}", err=True)
            return
        if self._bar is None:
            self._bar = self._started()
        # Versions without a progress monitor have earlier builds to go by.
        guess = min(0.95, elapsed_s / expected_s) if expected_s and not phases.current else 0.0
        self._bar.update(self._bar.task_ids[0], completed=max(phases.fraction, guess), time=time, phase=phases.current)

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _started(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[time]}  {task.fields[phase]}"))
        bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        bar.add_task("", total=1.0, time="", phase="")
        bar.start()
        return bar

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
