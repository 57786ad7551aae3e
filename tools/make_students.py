#!/usr/bin/env python3
"""The shipped students from nothing, in one command: train on drawn scenes, calibrate the confidence, export every grid.

    python tools/make_students.py OUT [--recipe student_s] [--minutes 120] [--textures DIR] [--set A.B=V] [--only NAME]

    OUT/run                  the training, as `stereo-rt train` leaves it; the same command goes on where it was stopped
    OUT/run2 ...             a training by each further --recipe, which begins with the averaged weights of the one before
    OUT/student.safetensors  its averaged weights, their confidence calibrated on drawn scenes that it never saw
    OUT/NAME.onnx            each network of engines/models.yaml, of these weights on its own grid

Nothing that ships is touched: that is what tools/export_student.py OUT/student.safetensors NAME does, after `stereo-rt eval`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # before torch; see quiet_threads

from torch import Tensor

from stereo_rt.cli.training import deadline_in
from stereo_rt.engine.export import export_checked
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import StereoError
from stereo_rt.matchers.grid import grid_size
from stereo_rt.matchers.models import shipped_models
from stereo_rt.nets import build
from stereo_rt.nets.student import Student
from stereo_rt.training import checkpoint
from stereo_rt.training.calibration import calibrate
from stereo_rt.training.folder import RECIPE
from stereo_rt.training.parallel import Crew, crew
from stereo_rt.training.recipe import Recipe, load_recipe
from stereo_rt.training.session import Plan, run_training
from stereo_rt.training.streams import build_stream

WEIGHTS = "student.safetensors"
Row = Mapping[str, Any]
Trained = tuple[Recipe, dict[str, Tensor], dict[str, Any]]
"""The last recipe, averaged weights, and the facts of the run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", action="append", help="a shipped recipe of a student, or FILE.yaml; repeatable")
    parser.add_argument("--minutes", type=float, help="stop training within this time; the same command goes on")
    parser.add_argument("--textures", type=Path, help="photographs for drawn scenes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=V", help="override a setting; repeatable")
    parser.add_argument("--only", action="append", metavar="NAME", help="export these alone; repeatable")
    parser.add_argument("--batches", type=int, default=64, help="of scenes for the calibration")
    a = parser.parse_args()
    shipped, asked = shipped_models(), a.recipe or ["student_s"]
    names = a.only or list(shipped)
    if unknown := sorted(set(names) - shipped.keys()):
        raise SystemExit(f"there is no shipped network named '{unknown[0]}'; there are {', '.join(shipped)}")
    try:
        stages = [load_recipe(name, a.set, {"scenes.textures": a.textures and a.textures.resolve()}) for name in asked]
        with crew(a.device) as mates:
            weights = calibrated(*trained(stages, a.out, mates, deadline_in(a.minutes)), a.out, mates, a.batches)
        for name in sorted(names, key=lambda name: "of" in shipped[name]):  # those that others refer to first
            exported(weights, name, shipped[name], names, a.out)
    except StereoError as e:
        raise SystemExit(str(e)) from None


def exported(weights: Path, name: str, facts: Row, names: list[str], out: Path) -> None:
    """One network of the table; it refers to the weights of its original where that was written too. Raises StereoError."""
    origin, size = open_origin(str(weights), facts["student_size"]), grid_size(facts["input_size"])
    original = out / f"{facts['of']}.onnx" if facts.get("of") in names else None
    target, precision = out / f"{name}.onnx", facts.get("precision", "fp32")
    print(target, flush=True)
    export_checked(origin.net, target, size, origin.facts | {"name": name}, precision, original=original, say=print)


def trained(stages: Sequence[Recipe], out: Path, mates: Crew, deadline: float) -> Trained:
    """Train by one recipe after the other to the last step of each, or end the program where time is up."""
    before: Path | None = None
    for number, recipe in enumerate(stages, 1):
        run = out / (f"run{number}" if before else "run")
        if before:
            recipe = recipe.model_copy(update={"init": before})
        plan = Plan(run, (run / RECIPE).is_file(), deadline)
        signum = run_training(recipe, plan, mates, lambda line: print(line, flush=True))
        average, facts = checkpoint.load(run / checkpoint.AVERAGE)
        if signum is not None or facts["step"] < recipe.steps:
            sys.exit(0 if signum is None else 128 + signum)
        before = run.resolve()
    return recipe, average, facts


def calibrated(recipe: Recipe, average: dict[str, Tensor], facts: dict[str, Any], out: Path, mates: Crew, batches: int) -> Path:
    """The averaged weights with a confidence fitted on scenes of another seed: the pool at later steps still holds those of the
    training."""
    net = build(recipe.network)
    if not isinstance(net, Student):
        raise SystemExit(f"{recipe.network} is no student; export its run with: stereo-rt export {out / 'run'}")
    net.load_state_dict(average)
    unseen = build_stream(recipe.model_copy(update={"seed": recipe.seed + 1}), mates)
    found = calibrate(net.to(mates.device).eval(), unseen, 0, batches)
    print(f"confidence: its logit times {found.gain:.3f}, {found.bias:+.3f}", flush=True)
    checkpoint.save(out / WEIGHTS, net.state_dict(), facts)
    return out / WEIGHTS


if __name__ == "__main__":
    main()
