"""What pretraining buys: a network trained on disparities from nothing and from pretrained weights, with the same budget.

    python tools/pretraining_gain.py PRETRAINED [PRETRAINED ...] -o DIR [--steps 3000] [--seeds 1] [--dataset FOLDER]

PRETRAINED is the folder of a run of `stereo-rt pretrain`. Every start sees the same drawn scenes in the same order, a seed
at a time, and is judged on scenes that trained nobody. DIR/START-SEED is a training run as `stereo-rt train` leaves it;
written anew after each: gain.json, gain.md, and gain.svg with the errors in training. What is done is not done again, and
a run that was stopped goes on, so the same command may be repeated until the table is full.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stereo_rt.atomic import write_bytes
from stereo_rt.datasets import open_dataset
from stereo_rt.devices import choose_device
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import StereoError
from stereo_rt.evaluation.report import evaluate
from stereo_rt.evaluation.table import Column
from stereo_rt.matchers.torch import NetMatcher
from stereo_rt.training.held_out import drawn_figures, held_out
from stereo_rt.training.parallel import Crew
from stereo_rt.training.recipe import Recipe, load_recipe
from stereo_rt.training.session import run_to_the_end
from stereo_rt.training.svg import Points, line_plot, smooth
from stereo_rt.training.table import column

SCRATCH = "scratch"
COLUMNS = (
    Column("EPE, drawn, px", ("drawn", "epe"), 3),
    Column("bad-1, drawn, %", ("drawn", "bad1"), 2),
    Column("bad-2, drawn, %", ("drawn", "bad2"), 2),
    Column("EPE, dataset, px", ("dataset", "epe"), 2),
    Column("bad-2, dataset, %", ("dataset", "bad2"), 2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pretrained", nargs="+", type=Path, metavar="PRETRAINED")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--network", default="swin_cross")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=V", help="of the recipe, as for stereo-rt train")
    parser.add_argument("--held-out", type=int, default=16, help="batches of drawn scenes to judge on")
    parser.add_argument("--dataset", type=Path, help="scenes with ground truth to judge on as well")
    parser.add_argument("--grid", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"), help="for the dataset")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    starts = {SCRATCH: None} | {folder.resolve().name: folder.resolve() for folder in args.pretrained}
    crew = Crew(choose_device(args.device))
    try:
        for seed in range(args.seeds):
            for start, init in starts.items():
                one_run(start, init, seed, args, crew)
                report(args, list(starts))
    except StereoError as e:
        raise SystemExit(str(e)) from None
    print((args.out / "gain.md").read_text())


def one_run(start: str, init: Path | None, seed: int, args: argparse.Namespace, crew: Crew) -> None:
    """Trains and judges, as far as that is not done. Ctrl-C keeps it where it is."""
    place = args.out / f"{start}-{seed}"
    asked = {"steps": args.steps, "batch": args.batch, "seed": seed, "init": init}
    recipe = load_recipe(args.network, args.set, asked)
    signum = run_to_the_end(recipe, place, crew, lambda line: print(f"{start}, seed {seed}: {line}", flush=True))
    if signum is not None:
        raise SystemExit(128 + signum)
    file, by = place / "row.json", {"held_out": args.held_out, "dataset": str(args.dataset), "grid": list(args.grid)}
    if file.is_file() and json.loads(file.read_text())["judged_by"] == by:
        return
    write_bytes(file, json.dumps(judged(place, recipe, args, crew) | {"judged_by": by}, indent=1).encode())


def judged(place: Path, recipe: Recipe, args: argparse.Namespace, crew: Crew) -> dict[str, Any]:
    net = open_origin(str(place)).net.to(crew.device)
    batches = held_out(recipe.size, recipe.batch, args.held_out, crew.device, recipe.scenes.max_disparity_px)
    row: dict[str, Any] = {"drawn": drawn_figures(net, batches)}
    if args.dataset is not None:
        matcher = NetMatcher(net, tuple(args.grid), crew.device, recipe.network)
        row["dataset"] = evaluate(matcher, open_dataset(args.dataset))["mean"]["all"]
    return row


def report(args: argparse.Namespace, starts: list[str]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    curves: dict[str, Points] = {}
    for start in starts:
        places = [args.out / f"{start}-{seed}" for seed in range(args.seeds)]
        done = [place for place in places if (place / "row.json").is_file()]
        if done:
            rows[start] = [json.loads((place / "row.json").read_text()) for place in done]
            runs = [column(place / "curves.csv", "bad2") for place in done]
            curves[start] = smooth(
                [(points[0][0], float(np.mean([y for _, y in points]))) for points in zip(*runs, strict=True)]
            )
    recipe = load_recipe(args.network, args.set, {"steps": args.steps, "batch": args.batch})
    budget = recipe.model_dump(mode="json")
    write_bytes(args.out / "gain.json", json.dumps({"budget": budget, "rows": rows}, indent=1).encode())
    write_bytes(args.out / "gain.md", markdown(rows, recipe).encode())
    plot = line_plot("Pixels more than 2 px off in training, %, by step", curves, 0, 100)
    write_bytes(args.out / "gain.svg", plot.encode())


def markdown(rows: Mapping[str, list[dict[str, Any]]], recipe: Recipe) -> str:
    """Mean over the seeds that are done; where there are several, half their range."""
    columns = [each for each in COLUMNS if all(each.value(row) is not None for runs in rows.values() for row in runs)]
    width, height = recipe.size
    lines = [
        f"{recipe.network}, {recipe.steps} steps of {recipe.batch} drawn pairs of {width}x{height}, the same for every start.",
        "",
        "| start | runs | " + " | ".join(each.title for each in columns) + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for start, runs in rows.items():
        cells = []
        for each in columns:
            values = np.array([each.value(row) for row in runs], float)
            spread = f" ± {np.ptp(values) / 2:.{each.digits}f}" if len(runs) > 1 else ""
            cells.append(f"{values.mean():.{each.digits}f}{spread}")
        lines.append(f"| {start} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
