"""What each term of distillation buys: the same student, start, samples and steps, with each term alone and together.

    python tools/distill_ablation.py LABELS --init student_s.onnx --teacher student_s -o DIR [--steps 80 --seeds 2]

LABELS is a folder that `stereo-rt distill ... --steps 0` wrote. Every fourth pair of it trains nobody: the table says how
far each student is from the teacher there, and from the truth of drawn scenes it has not seen. Runs that are finished are
not done again, and one that was stopped goes on, so the same command may be repeated until the table is full.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from stereo_rt.atomic import write_bytes
from stereo_rt.datasets import open_dataset
from stereo_rt.engine.origin import open_origin
from stereo_rt.nets import build
from stereo_rt.training.batch import Batch, Stream
from stereo_rt.training.chance import mixed_seed
from stereo_rt.training.dataset_stream import DatasetStream
from stereo_rt.training.distillation import Distillation
from stereo_rt.training.folder import RECIPE, RunFolder
from stereo_rt.training.initial import initialise
from stereo_rt.training.parallel import Crew
from stereo_rt.training.recipe import DistillRecipe, Recipe
from stereo_rt.training.scenes import SceneStream
from stereo_rt.training.sensor import Sensor
from stereo_rt.training.trainer import Ended, Habits, Trainer

TERMS = ("disparity", "distribution", "features", "ema")
VARIANTS = {"none": (), **{term: (term,) for term in TERMS}, "all": TERMS}
HELD_OUT_SEED = 777_777
HELD_OUT_EVERY = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("--network", default="student_s")
    parser.add_argument("--init", type=Path, required=True)
    parser.add_argument("--teacher", required=True, help="network to ask for distributions and features")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 192), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--judged", type=int, default=12, help="batches of each kind that a student is judged on")
    args = parser.parse_args()

    items = open_dataset(args.labels)
    taught, held_out = ([item for i, item in enumerate(items) if (i % HELD_OUT_EVERY == 0) is held] for held in (False, True))
    drawn = SceneStream(tuple(args.size), args.batch, HELD_OUT_SEED, pool=args.batch, fresh=args.batch)
    judges = {
        "drawn": [drawn.batch(step) for step in range(args.judged)],
        "teacher": batches(held_out, args, HELD_OUT_SEED, args.judged),
    }
    teacher = open_origin(args.teacher).net
    for seed in range(args.seeds):
        scenes = Remembered(SceneStream(tuple(args.size), args.batch, mixed_seed(seed), pool=16, fresh=1))
        for name, terms in VARIANTS.items():
            place = args.out / f"{name}-{seed}"
            if not (place / "score.json").is_file():
                net = train(place, args, seed, scenes, taught, terms, teacher)
                score = {judge: rates(net, given) for judge, given in judges.items()}
                write_bytes(place / "score.json", json.dumps(score, indent=1).encode())
            print(table(args.out, args.seeds), flush=True)


class Remembered:
    """A Stream that draws each batch once: the variants of a seed see the same."""

    def __init__(self, stream: Stream) -> None:
        self.batch = cache(stream.batch)


def batches(items: list, args: argparse.Namespace, seed: int, count: int) -> list[Batch]:
    stream = DatasetStream(items, tuple(args.size), args.batch, seed, sensor=Sensor.none())
    return [stream.batch(step) for step in range(count)]


def train(
    place: Path,
    args: argparse.Namespace,
    seed: int,
    scenes: Stream,
    taught: list,
    terms: Iterable[str],
    teacher: torch.nn.Module,
) -> torch.nn.Module:
    """The averaged student after args.steps. Ctrl-C keeps it where it is."""
    weights = DistillRecipe(labels=(str(args.labels),), teacher=args.teacher, **{t: 0.0 for t in TERMS if t not in terms})
    recipe = Recipe(
        network=args.network,
        steps=args.steps,
        batch=args.batch,
        seed=seed,
        size=tuple(args.size),
        init=args.init,
        optimizer={"rate": args.rate},
        schedule={"warm_up": 0.1},
        distill=weights,
    )
    crew = Crew(torch.device("cpu"))
    torch.manual_seed(mixed_seed(seed))
    net = build(args.network)
    labelled = DatasetStream(taught, recipe.size, args.batch, mixed_seed(seed, 1), sensor=Sensor.none())
    extra = Distillation(net, labelled, weights, teacher, seed) if terms else None
    folder = RunFolder(place, recipe, crew, resume=(place / RECIPE).is_file())
    if not folder.saved_step():
        initialise(net, args.init, scenes)
    trainer = Trainer(net, scenes, recipe, folder, crew, Habits(10, 10), extra, partial(print, flush=True))
    if trainer.run() is not Ended.DONE:
        raise SystemExit("stopped; go on with the same command")
    return trainer.ema.net


@torch.no_grad()
def rates(net: torch.nn.Module, given: list[Batch]) -> dict[str, float]:
    """Mean error (px) and % of the known, not occluded pixels that are off by more than 1 and 2 px."""
    errors = []
    for batch in given:
        known = torch.isfinite(batch.disparity_px) & ~batch.occluded
        errors.append((net(batch.left, batch.right)[0][:, 0] - batch.disparity_px)[known].abs())
    error = torch.cat(errors)
    return {"epe": float(error.mean())} | {f"bad{px}": 100 * float((error > px).float().mean()) for px in (1, 2)}


def table(out: Path, seeds: int) -> str:
    """Markdown: mean over the seeds that are done, and half their range."""
    columns = [(judge, key) for judge in ("drawn", "teacher") for key in ("epe", "bad1", "bad2")]
    lines = ["| terms | runs | " + " | ".join(f"{key}, {judge}" for judge, key in columns) + " |", "|---" * 8 + "|"]
    for name in VARIANTS:
        files = [out / f"{name}-{seed}" / "score.json" for seed in range(seeds)]
        scores = [json.loads(file.read_text()) for file in files if file.is_file()]
        if scores:
            values = np.array([[score[judge][key] for judge, key in columns] for score in scores])
            cells = [f"{mean:.2f} ± {half:.2f}" for mean, half in zip(values.mean(0), np.ptp(values, 0) / 2, strict=True)]
            lines.append(f"| {name} | {len(scores)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
