"""What the commands that train or draw scenes have in common."""

from __future__ import annotations

import os
import time

import typer

from ..errors import MissingExtra


def quiet_threads() -> None:
    """Drawing scenes is many small operations: threads that spin between them cost more than they compute.

    To be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def require_torch(what: str) -> None:
    """Raises MissingExtra, before anything begins, where `what` cannot be done for want of torch or safetensors."""
    quiet_threads()
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra(what, "train") from None


def deadline_in(minutes: float | None) -> float:
    """The end of the time in time.monotonic()'s seconds; infinity without a limit."""
    return time.monotonic() + 60 * minutes if minutes is not None else float("inf")


def exit_of(signum: int | None) -> None:
    """Ends the command as the signal would have, which ended its run after a whole step; returns where there was none."""
    if signum is not None:
        raise typer.Exit(128 + signum)
