"""`stereo-rt pretrain`: a network learns correspondence from pairs alone, before it is trained on disparities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .training import deadline_in, exit_of, require_torch


def pretrain(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.yaml", help="Recipe: a shipped one, such as swin_cross.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the run.")],
    left_only: Annotated[bool, typer.Option("--left-only", help="Without the right image: the control.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Both, into DIR/stereo and DIR/left_only, side by side.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Stop and save within this time.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps in all; the learning rate follows them.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pairs a step.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="[LAYOUT:]DIR", help="Train on these pairs too; repeatable.")
    ] = None,
    textures: Annotated[Path | None, typer.Option("--textures", metavar="DIR", help="Photographs for drawn scenes.")] = None,
    eval_every: Annotated[int | None, typer.Option("--eval-every", min=1, help="Steps between scores.")] = None,
    save_every: Annotated[int | None, typer.Option("--save-every", min=1, help="Steps between checkpoints.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=V", help="Override a setting; repeatable.")] = None,
) -> None:
    """Mask most of the left image and learn to rebuild it from the right; then: stereo-rt train NAME --init DIR"""
    deadline = deadline_in(minutes)
    if left_only and compare:
        raise UsageError("--compare runs both ways already; leave --left-only out")
    require_torch("pretraining")
    from ..training.parallel import crew
    from ..training.pretrain.compare import run_comparison
    from ..training.pretrain.session import run_pretraining
    from ..training.recipe import load_recipe
    from ..training.session import Plan

    flags = {"steps": steps, "batch": batch, "scenes.textures": textures and textures.resolve(), "data.folders": data}
    recipe = load_recipe(name, set_ or (), flags | {"pretrain.left_only": left_only or None}, "pretrain")
    with crew(device) as mates:
        plan = Plan(out, resume, deadline, judge_every=eval_every, save_every=save_every)
        run = run_comparison if compare else run_pretraining
        signum = run(recipe, plan, mates, typer.echo if mates.leads else lambda line: None)
    exit_of(signum)
