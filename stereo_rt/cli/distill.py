"""`stereo-rt distill`: a student learns from a teacher's labels of pairs that nobody labelled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..training.adapters import ADAPTERS, MONO
from .options import labelling_command
from .training import deadline_in, exit_of, quiet_threads, require_torch

if TYPE_CHECKING:
    from ..config import Config

LABELS = "labels"
RUN = "run"


@labelling_command
def distill(
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="Recipe, as for train: student_s, or a FILE.yaml.")],
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            metavar="TEACHER",
            help="NAME|FILE.onnx, finer:NAME|FILE.onnx (at larger inputs, fused), self (finer:, of --init), sgbm; with a "
            f"clone and a checkpoint {', '.join(name for name in ADAPTERS if name not in MONO)}, external:MODULE:FUNCTION.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for DIR/labels and DIR/run.")],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs", metavar="SOURCE", help="Pairs to label: a SOURCE, or a tree of left.png, right.png; repeatable."
        ),
    ] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic/--no-synthetic", help="Learn from drawn scenes as well.")] = True,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="NAME|FILE|DIR", help="Weights to begin with; a shipped name, or as for train."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=0, help="Steps in all; 0 only labels.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Pairs a step, of labelled ones as many again.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Stop and save within this time.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder; labels always go on.")] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="Label each so many-th frame of a SOURCE.")] = 1,
    min_kept: Annotated[
        float, typer.Option("--min-kept", min=0, max=1, help="Drop pairs with less kept than this share.")
    ] = 0.1,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--recipe", metavar="A.B=V", help="Override a setting of the recipe, such as distill.ema=0; repeatable."),
    ] = None,
    teacher_clone: Annotated[
        Path | None, typer.Option("--teacher-clone", metavar="DIR", help="Another project's code: your git clone of it.")
    ] = None,
    teacher_checkpoint: Annotated[
        Path | None, typer.Option("--teacher-checkpoint", metavar="FILE", help="Its weights: .pth or .safetensors.")
    ] = None,
    *,
    cfg: Config,
) -> None:
    """Label pairs with a teacher, keep what it is sure of from both eyes, and train a student on that."""
    deadline = deadline_in(minutes)
    if teacher == "self" and init is None:
        raise UsageError("--teacher self labels with the student's own first weights; name them with --init NAME|FILE.onnx")
    if steps != 0:  # seen before hours of labelling, as is a recipe that is wrong
        require_torch("distillation")
    quiet_threads()
    from ..matchers.models import find_model
    from ..training.labels import LabelRules, LabelStore, label_sources
    from ..training.recipe import load_recipe
    from ..training.teachers import FINER, network_of, open_teacher

    named = f"{FINER}{init}" if teacher == "self" else teacher
    labels = out / LABELS
    settings: dict[str, Any] = {
        "steps": steps or None,
        "batch": batch,
        "init": init and (Path(init) if Path(init).exists() else find_model(init).path).resolve(),
        "distill.labels": [str(labels)],
        "distill.batch": batch,
        "distill.teacher": network_of(named) if steps != 0 else None,
    }
    if not synthetic:
        settings |= {"data.folders": [str(labels)], "data.share": 1.0}
    recipe = load_recipe(student, overrides or (), settings)
    if pairs:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise UsageError("one process labels: run this with --steps 0 first, and then torchrun without --pairs")
        opened = open_teacher(named, cfg.match, teacher_clone, teacher_checkpoint)
        rules = LabelRules(cfg.post.min_confidence, cfg.post.left_right_px, min_kept)
        store = LabelStore(labels, opened.spec, rules)
        summary = label_sources(pairs, cfg, opened, store, every=every, deadline=deadline, say=typer.echo)
        opened.close()
        kept = f", {summary.kept:.0%} of their pixels kept" if summary.labelled else ""
        typer.echo(
            f"{labels}: {summary.labelled} pairs labelled{kept}; {summary.dropped} dropped, {summary.before} known before"
        )
        if not summary.complete:
            typer.echo("the time is up; go on with the same command")
            return
    elif not labels.is_dir():
        raise UsageError(f"{labels}: holds no labels yet; name what the teacher is to label with --pairs SOURCE")
    if steps == 0:
        return
    from ..training.parallel import crew
    from ..training.session import Plan, run_training

    with crew(cfg.match.device) as mates:
        plan = Plan(out / RUN, resume, deadline)
        signum = run_training(recipe, plan, mates, say=typer.echo if mates.leads else lambda line: None)
    exit_of(signum)
