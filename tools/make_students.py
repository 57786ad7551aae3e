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
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # before torch; see quiet_threads

from torch import Tensor

from stereo_rt.cli.training import deadline_in
from stereo_rt.engine.export import export_checked
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import ConfigError, StereoError
from stereo_rt.matchers.grid import grid_size
from stereo_rt.matchers.models import shipped_models
from stereo_rt.nets import build
from stereo_rt.nets.student import Student
from stereo_rt.training import checkpoint
from stereo_rt.training.calibration import calibrate
from stereo_rt.training.folder import RECIPE
from stereo_rt.training.parallel import Crew, crew
from stereo_rt.training.recipe import Recipe, load_recipe
from stereo_rt.training.session import Plan, check_size, run_training
from stereo_rt.training.streams import build_stream

WEIGHTS = "student.safetensors"
Row = Mapping[str, Any]


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
            check(stages, a.out)
            average, facts = trained(stages, a.out, mates, deadline_in(a.minutes))
            weights = calibrated(stages, average, facts, a.out, mates, a.batches)
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


def folder_of(out: Path, stage: int) -> Path:
    return out / (f"run{stage + 1}" if stage else "run")


def check(stages: Sequence[Recipe], out: Path) -> None:
    """What would otherwise come to light days later, with a further stage. Raises ConfigError."""
    for number, recipe in enumerate(stages):
        net = build(recipe.network)
        check_size(recipe, net)
        if not isinstance(net, Student):
            raise ConfigError(f"{recipe.network} is no student; train it with: stereo-rt train {recipe.network}")
        before, later = folder_of(out, number), folder_of(out, number + 1)
        if (later / RECIPE).is_file() and not is_done(before, recipe):
            raise ConfigError(f"{later} goes on from {before}, which is not done; move the first away, or it stays as it is")


def is_done(run: Path, recipe: Recipe) -> bool:
    return (run / checkpoint.AVERAGE).is_file() and checkpoint.load(run / checkpoint.AVERAGE)[1]["step"] >= recipe.steps


def trained(stages: Sequence[Recipe], out: Path, mates: Crew, deadline: float) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train by one recipe after the other to the last step of each, or end the program where time is up.

    Averaged weights, and the facts of the last run, with the samples and seconds of all of them.
    """
    samples, seconds = 0, 0.0
    for number, recipe in enumerate(stages):
        run = folder_of(out, number)
        if number:
            # What a run began with is kept as it was said then: the folder may have moved since.
            begun = load_recipe(str(run / RECIPE)).init if (run / RECIPE).is_file() else folder_of(out, number - 1).resolve()
            recipe = recipe.model_copy(update={"init": begun})
        if number and time.monotonic() >= deadline and not is_done(run, recipe):
            sys.exit(0)
        plan = Plan(run, (run / RECIPE).is_file(), deadline)
        signum = run_training(recipe, plan, mates, lambda line: print(line, flush=True))
        if signum is not None or not is_done(run, recipe):
            sys.exit(0 if signum is None else 128 + signum)
        average, facts = checkpoint.load(run / checkpoint.AVERAGE)
        samples, seconds = samples + facts["samples"], seconds + facts["seconds"]
    return average, facts | {"samples": samples, "seconds": seconds}


def calibrated(
    stages: Sequence[Recipe], average: dict[str, Tensor], facts: dict[str, Any], out: Path, mates: Crew, batches: int
) -> Path:
    """The averaged weights with a confidence fitted on scenes of a seed that no stage had: the pool at later steps still holds
    those of the training."""
    net = build(stages[-1].network)
    net.load_state_dict(average)
    seed = max(recipe.seed for recipe in stages) + 1
    unseen = build_stream(stages[-1].model_copy(update={"seed": seed}), mates)
    found = calibrate(cast(Student, net).to(mates.device).eval(), unseen, 0, batches)
    print(f"confidence: its logit times {found.gain:.3f}, {found.bias:+.3f}", flush=True)
    checkpoint.save(out / WEIGHTS, net.state_dict(), facts)
    return out / WEIGHTS


if __name__ == "__main__":
    main()
