"""What the commands that train or draw scenes have in common."""

from __future__ import annotations

import os
import time

import typer

from ..errors import MissingExtra


def quiet_threads() -> None:
    """Threads that spin for long between small operations starve whatever else runs; ones that sleep at once (the policy
    "passive") take a fifth longer for a step of training. So they spin briefly.

    To be called before torch is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


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
