"""`stereo-rt train`: make a network from its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .training import deadline_in, exit_of, require_torch


def train(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.yaml", help="Recipe: a shipped one, such as student_s.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; runs/NAME if left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Stop and save within this time.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps in all; the learning rate follows them.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pairs a step.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="[LAYOUT:]DIR", help="Train on these pairs too; repeatable.")
    ] = None,
    textures: Annotated[Path | None, typer.Option("--textures", metavar="DIR", help="Photographs for drawn scenes.")] = None,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="FILE|DIR", help="Weights to begin with: .onnx, .safetensors, a run.")
    ] = None,
    eval_: Annotated[
        str | None, typer.Option("--eval", metavar="DATASET", help="Score the network on this now and then.")
    ] = None,
    eval_every: Annotated[int | None, typer.Option("--eval-every", min=1, help="Steps between scores.")] = None,
    save_every: Annotated[int | None, typer.Option("--save-every", min=1, help="Steps between checkpoints.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=V", help="Override a setting; repeatable.")] = None,
    preview: Annotated[
        Path | None, typer.Option("--preview", metavar="FILE.png", help="Draw samples of what it would see, and stop.")
    ] = None,
) -> None:
    """Train a network from nothing, or go on. Several GPUs: torchrun --nproc-per-node N -m stereo_rt train ..."""
    deadline = deadline_in(minutes)
    if eval_every and eval_ is None:
        raise UsageError("--eval-every needs scenes to score on; add --eval DATASET")
    require_torch("training")
    from ..training.parallel import crew
    from ..training.recipe import load_recipe
    from ..training.session import Plan, preview_samples, run_training

    flags = {"steps": steps, "batch": batch, "scenes.textures": textures and textures.resolve(), "data.folders": data}
    recipe = load_recipe(name, set_ or (), flags | {"init": init and init.resolve()})
    with crew(device) as mates:
        if preview is not None:
            preview_samples(recipe, mates, preview)
            typer.echo(f"{preview}: samples of {name}")
            return
        folder = out or Path("runs") / Path(name).stem
        plan = Plan(folder, resume, deadline, eval_, eval_every, save_every)
        signum = run_training(recipe, plan, mates, say=typer.echo if mates.leads else lambda line: None)
    exit_of(signum)
