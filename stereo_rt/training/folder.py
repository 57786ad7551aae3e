"""RunFolder: the folder of one run, which recipe it is of, and how far it is."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from .. import __version__
from ..atomic import sweep, write_bytes
from ..devices import describe_device
from ..errors import ConfigError, OutputError
from . import checkpoint
from .parallel import Crew
from .recipe import Recipe, differences, load_recipe, to_yaml

RECIPE = "recipe.yaml"


class RunFolder:
    """The place of a run of this recipe; nothing is written yet. Raises OutputError: it holds a run and resume is False,
    or holds none and resume is True; ConfigError: the run in it follows another recipe."""

    def __init__(self, path: Path, recipe: Recipe, crew: Crew, resume: bool) -> None:
        self.path, self._recipe, self._crew = path, recipe, crew
        if crew.leads:  # the others may come here when it has begun to write
            self._check(resume)

    def _check(self, resume: bool) -> None:
        path, file = self.path, self.path / RECIPE
        if resume and not file.is_file():
            raise OutputError(f"{path}: holds no run to go on with; leave --resume out to begin one")
        if not resume and file.is_file():
            raise OutputError(f"{path}: holds a run already; add --resume to go on with it, or choose another --out")
        if resume:
            for name, before, now in differences(load_recipe(str(file)), self._recipe):
                raise ConfigError(
                    f"{path}: was begun with {name} = {before}, not {now}; give the same settings again, "
                    "or begin another run with another --out"
                )

    def restore(
        self, objective: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, say: Callable[[str], None]
    ) -> tuple[int, float]:
        """Bring these to where the run stands: (step, seconds so far). From here on the folder is this run's.

        Raises ModelError, OutputError.
        """
        if self._crew.leads:
            sweep(self.path)
            write_bytes(self.path / RECIPE, to_yaml(self._recipe).encode())
        file = self.path / checkpoint.CHECKPOINT
        if not file.is_file():
            return 0, 0.0
        tensors, facts = checkpoint.load(file)
        checkpoint.restore_module(objective, checkpoint.without("objective.", tensors), file)
        checkpoint.restore_module(average, checkpoint.without("average.", tensors), file)
        checkpoint.restore_optimizer(optimizer, checkpoint.without("optimizer.", tensors))
        if (before := facts["machine"]) != (now := self._machine()):
            say(f"the run was on {before} and is on {now} now: its end will differ in the last digits")
        return int(facts["step"]), float(facts["seconds"])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes here meanwhile. Raises OutputError when somebody does already."""
        if not self._crew.leads:
            yield
            return
        import fcntl

        folder = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{self.path}: another training is writing there; wait for its end, or choose another --out"
                ) from None
            yield
        finally:
            os.close(folder)

    def save(
        self, objective: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float
    ) -> None:
        """Keep where the run stands. Raises OutputError."""
        facts = {
            "step": step,
            "steps": self._recipe.steps,
            "samples": step * self._recipe.batch,
            "seconds": round(seconds, 1),
            "network": self._recipe.network,
            "seed": self._recipe.seed,
            "pretraining": self._recipe.pretrain is not None,
            "machine": self._machine(),
            "versions": {"stereo_rt": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        parts = {"objective.": objective.state_dict(), "average.": average.state_dict()}
        parts["optimizer."] = checkpoint.optimizer_tensors(optimizer)
        tensors = {name: value for prefix, part in parts.items() for name, value in checkpoint.prefixed(prefix, part).items()}
        recipe = self._recipe.model_dump(mode="json")
        checkpoint.save(self.path / checkpoint.AVERAGE, average.state_dict(), facts)
        write_bytes(self.path / checkpoint.STATE, json.dumps(facts | {"recipe": recipe}, indent=1).encode())
        # Last: a run that could not write all of this goes on from the checkpoint before, and writes the others again.
        checkpoint.save(self.path / checkpoint.CHECKPOINT, tensors, facts)

    def saved_step(self) -> int:
        """The step of the latest checkpoint, 0 before the first."""
        file = self.path / checkpoint.CHECKPOINT
        return int(checkpoint.load(file)[1]["step"]) if file.is_file() else 0

    def _machine(self) -> str:
        return f"{self._crew.size} x {describe_device(self._crew.device)}"
