"""From a recipe to a finished run: builds the network, its samples and the trainer, and says how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import nn

from ..devices import make_deterministic
from ..errors import ConfigError
from ..nets import MONO, build
from . import checkpoint
from .chance import mixed_seed
from .distillation import build_distillation
from .folder import RECIPE, RunFolder
from .initial import initialise
from .judge import Judge, judge_on
from .parallel import Crew
from .preview import sheet
from .recipe import Recipe
from .streams import build_stream
from .trainer import Ended, Habits, Trainer

SCORES = 20
"""Scores along a run, unless told how many steps lie between them."""
PREVIEWED = 24
"""Scenes that a preview chooses its samples from: a pool as large as training's takes minutes to draw."""


@dataclass(frozen=True)
class Plan:
    """How a run is done; nothing here changes what comes out. folder: of the run. deadline: in time.monotonic() seconds.

    judge_on: a dataset, as for `stereo-rt eval`, to score the network on every judge_every steps. save_every: steps between
    checkpoints.
    """

    folder: Path
    resume: bool = False
    deadline: float = float("inf")
    judge_on: str | Path | None = None
    judge_every: int | None = None
    save_every: int | None = None


class Sized(Protocol):
    """Of an nn.Module: the sides of its images are multiples of this."""

    multiple_px: int


def run_training(recipe: Recipe, plan: Plan, crew: Crew, say: Callable[[str], None]) -> int | None:
    """Train, or go on, until the recipe's last step, the deadline or a signal; the number of that signal, or None.

    Raises StereoError of many kinds, always before or after whole steps: what was saved until then stays.
    """
    if recipe.pretrain is not None:
        raise ConfigError("the recipe has a section 'pretrain': run it with stereo-rt pretrain, or leave the section out")
    folder, net = prepare(recipe, plan, crew, build)
    if recipe.network in MONO and (recipe.distill or plan.judge_on):
        raise ConfigError(
            f"{recipe.network} says no disparities, so it has no score of them and learns none from a teacher; train it "
            "without, and measure what it fills with tools/prior_gain.py"
        )
    stream = build_stream(recipe, crew)
    extra = build_distillation(recipe, net, crew)
    judge = judge_on(plan.judge_on, crew.device) if plan.judge_on is not None and crew.leads else None
    if recipe.init is not None and not folder.saved_step():
        fit, of = initialise(net, recipe.init, stream)
        say(f"{recipe.init}: {fit} of {of} tensors fit")
    trainer = Trainer(net, stream, recipe, folder, crew, habits(recipe, plan, judge), extra, say)
    return conclude(trainer, plan, say, f"export it with: stereo-rt export {plan.folder} -o {recipe.network}.onnx")


def run_to_the_end(recipe: Recipe, folder: Path, crew: Crew, say: Callable[[str], None]) -> int | None:
    """run_training in a folder that may hold nothing yet, a run of this recipe that was stopped, or one that is done."""
    state = folder / checkpoint.STATE
    if state.is_file():
        said = json.loads(state.read_text())
        if said["recipe"] == recipe.model_dump(mode="json") and said["step"] == recipe.steps:
            return None
    return run_training(recipe, Plan(folder, resume=(folder / RECIPE).is_file()), crew, say)


def prepare(recipe: Recipe, plan: Plan, crew: Crew, make: Callable[[str], nn.Module]) -> tuple[RunFolder, nn.Module]:
    """The run's folder, and the network with its first weights on the crew's device. make: from its name.

    Raises OutputError, ConfigError, ModelError.
    """
    folder = RunFolder(plan.folder, recipe, crew, plan.resume)
    make_deterministic(crew.device)
    torch.manual_seed(mixed_seed(recipe.seed))
    net = make(recipe.network).to(crew.device)
    check_size(recipe, net)
    return folder, net


def check_size(recipe: Recipe, net: nn.Module) -> None:
    """Whether crops of that size fit the network. Raises ConfigError."""
    step = cast(Sized, net).multiple_px
    if any(side % step or side < 2 * step for side in recipe.size):
        raise ConfigError(
            f"crops of {recipe.size[0]}x{recipe.size[1]} do not fit {recipe.network}: choose multiples of {step}, "
            f"at least {2 * step}, with --set size=WxH"
        )


def habits(recipe: Recipe, plan: Plan, judge: Judge | None) -> Habits:
    """The usual ones, but for what the plan says."""
    usual = Habits.usual(recipe)
    if plan.save_every is not None:
        usual = replace(usual, save_every=plan.save_every)
    if judge is None:
        return usual
    return replace(usual, judge=judge, judge_every=plan.judge_every or max(1, recipe.steps // SCORES))


def conclude(trainer: Trainer, plan: Plan, say: Callable[[str], None], done: str) -> int | None:
    """Run it, and say how it ended and what is next: done, where it came to its last step. As run_training."""
    ended = trainer.run(plan.deadline)
    if ended is Ended.DONE:
        say(f"{plan.folder}: done; {done}")
        return None
    where = f"{plan.folder}: saved at step {trainer.step} of {trainer.recipe.steps}"
    say(f"{where}, {ended.value}; go on with the same command and --resume")
    return trainer.signum


def preview_samples(recipe: Recipe, crew: Crew, file: Path) -> None:
    """A sheet of what the network would be shown. Raises OutputError, ConfigError, and what building the stream raises."""
    check_size(recipe, build(recipe.network))
    pool = min(recipe.scenes.pool, PREVIEWED)
    scenes = recipe.scenes.model_copy(update={"pool": pool, "fresh": min(recipe.scenes.fresh, pool)})
    recipe = recipe.model_copy(update={"scenes": scenes})
    sheet(build_stream(recipe, crew), file, title=f"{recipe.network}, seed {recipe.seed}")
