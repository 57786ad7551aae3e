"""From a recipe to a finished run: builds the network, its samples and the trainer, and says how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from ..devices import make_deterministic
from ..errors import ConfigError
from ..nets import build
from ..nets.predictions import StereoNet
from .chance import mixed_seed
from .distillation import build_distillation
from .folder import RunFolder
from .initial import initialise
from .judge import judge_on
from .parallel import Crew
from .preview import sheet
from .recipe import Recipe
from .streams import build_stream
from .trainer import Ended, Habits, Trainer

SCORES = 20
"""Scores along a run, unless told how many steps lie between them."""


@dataclass(frozen=True)
class Plan:
    """How a run is done; nothing here changes what comes out. folder: of the run. deadline: in time.monotonic() seconds.

    judge_on: a folder of scenes to score the network on every judge_every steps. save_every: steps between checkpoints.
    """

    folder: Path
    resume: bool = False
    deadline: float = float("inf")
    judge_on: Path | None = None
    judge_every: int | None = None
    save_every: int | None = None


def run_training(recipe: Recipe, plan: Plan, crew: Crew, say: Callable[[str], None]) -> int | None:
    """Train, or go on, until the recipe's last step, the deadline or a signal; the number of that signal, or None.

    Raises StereoError of many kinds, always before or after whole steps: what was saved until then stays.
    """
    folder = RunFolder(plan.folder, recipe, crew, plan.resume)
    make_deterministic(crew.device)
    torch.manual_seed(mixed_seed(recipe.seed))
    net = build(recipe.network).to(crew.device)
    step = cast(StereoNet, net).multiple_px
    if any(side % step or side < 2 * step for side in recipe.size):
        raise ConfigError(
            f"crops of {recipe.size[0]}x{recipe.size[1]} do not fit {recipe.network}: choose multiples of {step}, "
            f"at least {2 * step}, with --set size=WxH"
        )
    stream = build_stream(recipe, crew)
    extra = build_distillation(recipe, net, crew)
    habits = Habits.usual(recipe)
    if plan.save_every is not None:
        habits = replace(habits, save_every=plan.save_every)
    if plan.judge_on is not None and crew.leads:
        every = plan.judge_every or max(1, recipe.steps // SCORES)
        habits = replace(habits, judge=judge_on(plan.judge_on, crew.device), judge_every=every)
    if recipe.init is not None and not folder.saved_step():
        fit, of = initialise(net, recipe.init, stream)
        say(f"{recipe.init}: {fit} of {of} tensors fit")
    trainer = Trainer(net, stream, recipe, folder, crew, habits, extra, say)
    ended = trainer.run(plan.deadline)
    if ended is Ended.DONE:
        say(f"{plan.folder}: done; export it with: stereo-rt export {plan.folder} -o {recipe.network}.onnx")
        return None
    where = f"{plan.folder}: saved at step {trainer.step} of {recipe.steps}"
    say(f"{where}, {ended.value}; go on with the same command and --resume")
    return trainer.signum


def preview_samples(recipe: Recipe, crew: Crew, file: Path) -> None:
    """A sheet of what the network would be shown. Raises OutputError, and what building the stream raises."""
    sheet(build_stream(recipe, crew), file, title=f"{recipe.network}, seed {recipe.seed}")
