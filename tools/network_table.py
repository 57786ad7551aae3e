"""The networks side by side: each trained on the same drawn scenes with the same budget, then judged and measured alike.

    python tools/network_table.py -o DIR [--steps 3000] [--batch 4] [--size 384 192] [--dataset FOLDER] [NAME ...]

DIR/NAME is a training run as `stereo-rt train` leaves it, with NAME.onnx and row.json beside its weights. Written anew after
every network: table.json, table.md, curves.svg. What is done is not done again, and a run that was stopped goes on, so the
same command may be repeated until the table is full. Latency is measured last, all networks and sgbm by turns in one run,
as a ratio to sgbm: that is what can be compared between machines.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stereo_rt.atomic import write_bytes
from stereo_rt.config import MatchConfig
from stereo_rt.datasets import open_dataset
from stereo_rt.devices import choose_device
from stereo_rt.engine.export import export_checked
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import MissingExtra, ModelError, StereoError
from stereo_rt.evaluation.report import evaluate
from stereo_rt.matchers import create_matcher
from stereo_rt.matchers.models import find_model
from stereo_rt.matchers.torch import NetMatcher
from stereo_rt.nets import OTHERS, STUDENTS
from stereo_rt.nets.cost import gmacs, parameters
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.timing import timed_ms
from stereo_rt.training import checkpoint
from stereo_rt.training.held_out import drawn_figures, held_out
from stereo_rt.training.parallel import Crew
from stereo_rt.training.recipe import Recipe, load_recipe
from stereo_rt.training.session import run_to_the_end
from stereo_rt.training.svg import line_plot, smooth
from stereo_rt.training.table import column

GRID = (640, 480)
ROUNDS = 7
"""Of the latency, each with every matcher in turn; the median counts."""
COLUMNS = {
    "parameters": "parameters, M",
    "gmacs": "multiply-adds, G",
    "drawn.epe": "EPE, drawn, px",
    "drawn.bad2": "bad-2, drawn, %",
    "dataset.epe": "EPE, dataset, px",
    "dataset.bad2": "bad-2, dataset, %",
    "latency.ratio": "time / sgbm's",
    "tensorrt_rtx": "TensorRT-RTX",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*STUDENTS, *OTHERS))}")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 192), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--grid", type=int, nargs=2, default=GRID, metavar=("WIDTH", "HEIGHT"), help="of the exported files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pool", type=int, default=64, help="drawn scenes that are held")
    parser.add_argument("--held-out", type=int, default=16, help="batches of drawn scenes to judge on")
    parser.add_argument("--dataset", type=Path, help="scenes with ground truth to judge on as well")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    names = args.names or ["student_n", *OTHERS]
    if unknown := set(names) - {*STUDENTS, *OTHERS}:
        raise SystemExit(f"{min(unknown)} is no stereo network; there are {', '.join((*STUDENTS, *OTHERS))}")
    crew = Crew(choose_device(args.device))
    try:
        for name in names:
            place = args.out / name
            train(name, args, place, crew)
            file, by = place / "row.json", judges(args)
            if not file.is_file() or json.loads(file.read_text())["judged_by"] != by:
                row = judged(name, args, place, crew) | {"judged_by": by}
                write_bytes(file, json.dumps(row, indent=1).encode())
            report(args.out, names, args)
        times = latencies([args.out / name / f"{name}.onnx" for name in names], tuple(args.grid))
        report(args.out, names, args, times)
    except StereoError as e:
        raise SystemExit(str(e)) from None
    print((args.out / "table.md").read_text())


def budget(name: str, args: argparse.Namespace) -> Recipe:
    """The network's own loss; everything else is the same for all."""
    own = load_recipe(name)
    scenes = {"pool": args.pool, "fresh": 1}
    return Recipe(
        network=name,
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        size=tuple(args.size),
        ema=min(own.ema, 1 - 10 / (args.steps + 10)),
        optimizer=own.optimizer,
        schedule=own.schedule,
        loss=own.loss,
        scenes=scenes,
    )


def train(name: str, args: argparse.Namespace, place: Path, crew: Crew) -> None:
    """To the last step, from wherever the run stands. Ctrl-C keeps it where it is."""
    signum = run_to_the_end(budget(name, args), place, crew, lambda line: print(f"{name}: {line}", flush=True))
    if signum is not None:
        raise SystemExit(128 + signum)


def judges(args: argparse.Namespace) -> dict[str, Any]:
    """What a row depends on beside the run."""
    return {"grid": list(args.grid), "held_out": args.held_out, "dataset": str(args.dataset)}


def judged(name: str, args: argparse.Namespace, place: Path, crew: Crew) -> dict[str, Any]:
    """A row of the table but for its latency; leaves NAME.onnx."""
    origin = open_origin(str(place))
    file = place / f"{name}.onnx"
    export_checked(origin.net, file, tuple(args.grid), origin.facts, trained=False, say=lambda line: print(f"{name}: {line}"))
    net = origin.net.to(crew.device)
    row: dict[str, Any] = {
        "network": name,
        "parameters": parameters(net),
        "gmacs": gmacs(net, tuple(args.grid)),
        "minutes": json.loads((place / checkpoint.STATE).read_text())["seconds"] / 60,
        "drawn": drawn_figures(net, held_out(tuple(args.size), args.batch, args.held_out, crew.device)),
        "tensorrt_rtx": builds(file),
    }
    if args.dataset is not None:
        matcher = NetMatcher(net, tuple(args.grid), crew.device, name)
        row["dataset"] = evaluate(matcher, open_dataset(args.dataset))["mean"]["all"]
    return row


def builds(file: Path) -> str:
    """Whether TensorRT-RTX makes a strongly typed FP16 engine of it, with how many layers in which precision."""
    from stereo_rt.engine import build
    from stereo_rt.engine.flavour import load

    try:
        layers = build.ensure(find_model(str(file)), load("tensorrt_rtx"), gpu=None).sidecar.layers
    except MissingExtra:
        return "not installed"
    except ModelError as e:
        return f"no: {e}"
    return f"builds ({layers.fp16} layers in FP16)"


def latencies(files: Sequence[Path], grid: tuple[int, int]) -> dict[str, float]:
    """Median milliseconds of a match on the CPU by name, sgbm's among them: every matcher by turns, backwards every other
    round, so that a machine that gets busier weighs on all alike."""
    frame = SyntheticCamera(size=grid, seed=0).frame(0)
    asked = {"sgbm": MatchConfig(backend="sgbm")}
    asked |= {file.stem: MatchConfig(backend="onnx", model=str(file), device="cpu") for file in files}
    times: dict[str, list[float]] = {name: [] for name in asked}
    matchers = {name: create_matcher(match) for name, match in asked.items()}
    for matcher in matchers.values():
        matcher(frame.left, frame.right)
    for turn in range(ROUNDS):
        for name in list(matchers)[:: -1 if turn % 2 else 1]:
            times[name].append(timed_ms(lambda m=matchers[name]: m(frame.left, frame.right)))
    for matcher in matchers.values():
        matcher.close()
    return {name: statistics.median(values) for name, values in times.items()}


def report(out: Path, names: Sequence[str], args: argparse.Namespace, times_ms: dict[str, float] | None = None) -> None:
    files = {name: out / name / "row.json" for name in names}
    rows = [json.loads(file.read_text()) for file in files.values() if file.is_file()]
    for row in rows:
        if times_ms:
            ms = times_ms[row["network"]]
            row["latency"] = {"ms": ms, "sgbm_ms": times_ms["sgbm"], "ratio": ms / times_ms["sgbm"]}
    said = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    write_bytes(out / "table.json", json.dumps({"budget": said, "rows": rows}, indent=1).encode())
    write_bytes(out / "table.md", markdown(rows, args).encode())
    curves = {row["network"]: smooth(column(out / row["network"] / "curves.csv", "bad2")) for row in rows}
    plot = line_plot("Pixels more than 2 px off in training, %, by step", curves, 0, 100)
    write_bytes(out / "curves.svg", plot.encode())


def markdown(rows: Sequence[dict[str, Any]], args: argparse.Namespace) -> str:
    columns = {key: title for key, title in COLUMNS.items() if any(_value(row, key) is not None for row in rows)}
    width, height = args.size
    lines = [
        f"{args.steps} steps of {args.batch} drawn pairs of {width}x{height}, seed {args.seed}, the same for all; cost, time "
        f"and TensorRT-RTX at {args.grid[0]}x{args.grid[1]}.",
        "",
        "| network | " + " | ".join(columns.values()) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        cells = [_cell(key, _value(row, key)) for key in columns]
        lines.append(f"| {row['network']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _value(row: dict[str, Any], key: str) -> Any:
    """The value at a.b of nested dictionaries; None where there is none."""
    for part in key.split("."):
        row = (row or {}).get(part)  # type: ignore[assignment]
    return row


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value / 1e6 if key == 'parameters' else value:.2f}"


if __name__ == "__main__":
    main()
