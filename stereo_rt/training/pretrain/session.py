"""From a recipe to a finished pretraining, in the folder of a run like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ...errors import ConfigError
from .. import checkpoint
from ..batch import Batch
from ..chance import mixed_seed
from ..held_out import held_out
from ..parallel import Crew
from ..recipe import PretrainRecipe, Recipe
from ..session import Plan, conclude, habits, prepare
from ..streams import build_stream
from ..trainer import Trainer
from .network import build_rebuilder
from .objective import Completion, judge_completion

HELD_OUT = 96
"""Drawn pairs, at least, that a pretraining is judged on."""


def run_pretraining(recipe: Recipe, plan: Plan, crew: Crew, say: Callable[[str], None]) -> int | None:
    """As session.run_training; eval.csv has the figures of judge_completion."""
    asked = checked(recipe)
    folder, net = prepare(recipe, plan, crew, build_rebuilder)
    stream = build_stream(recipe, crew)
    judge = judge_completion(held_out_of(recipe, crew), asked) if crew.leads else None
    objective = Completion(net, recipe, asked, crew.device, mixed_seed(recipe.seed, crew.rank))
    trainer = Trainer(net, stream, recipe, folder, crew, habits(recipe, plan, judge), None, say, objective)
    return conclude(trainer, plan, say, f"fine-tune it with: stereo-rt train {recipe.network} --init {plan.folder}")


def held_out_of(recipe: Recipe, crew: Crew) -> tuple[Batch, ...]:
    return held_out(recipe.size, recipe.batch, -(-HELD_OUT // recipe.batch), crew.device, recipe.scenes.max_disparity_px)


def load_rebuilder(name: str, folder: Path, device: torch.device) -> nn.Module:
    """The averaged network of a pretraining's folder, in eval mode. Raises ModelError."""
    net = build_rebuilder(name)
    checkpoint.restore_module(net, checkpoint.load(folder / checkpoint.AVERAGE)[0], folder / checkpoint.AVERAGE)
    return net.to(device).eval()


def checked(recipe: Recipe) -> PretrainRecipe:
    """What the recipe says about pretraining. Raises ConfigError where it says nothing, or what cannot be."""
    asked = recipe.pretrain
    if asked is None:
        raise ConfigError("the recipe has no section 'pretrain'; add --set pretrain.ratio=0.9, or take a shipped one")
    if recipe.init is not None or recipe.distill is not None:
        raise ConfigError("pretraining begins at random and has no teacher: leave 'init' and 'distill' out of the recipe")
    width, height = recipe.size
    if width % asked.patch_px or height % asked.patch_px or width * height < 2 * asked.patch_px**2:
        raise ConfigError(
            f"patches of {asked.patch_px} px do not tile crops of {width}x{height}; choose a side that divides both "
            "with --set pretrain.patch_px=N"
        )
    return asked
