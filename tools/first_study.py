"""The first study as one command: scenes drawn by a seed, a teacher's labels of them, light students trained on these.

    python tools/first_study.py DATASET -o OUT [--scenes 10] [--seed 0] [--teacher finer:student_s] [--steps 2000]
        [--students stereo_unet mobile_stereonet hybrid_attention] [--losses l1 ssim l1_ssim]

DATASET: a folder (InStereo2K, or any other layout of stereo_rt/datasets), LAYOUT:FOLDER, or synthetic. OUT holds

    metadata.json                     what was asked; every scene's part (train, test) and its range of disparities in px
    labels/{train,test}/SCENE/        the pair and the teacher's label, as `stereo-rt distill` stores them
    disparity/teacher/SCENE.{png,npy} the label to look at, and as float32 px, NaN where it is not believed
    disparity/STUDENT-LOSS/           the same of each student on the scenes of the test part
    runs/STUDENT-LOSS/                the training, as `stereo-rt train` leaves it
    table.json, table.md              errors on the test part: against the labels, and the truth where the dataset has it

A student sees nothing but the labels of the train part. What is done is not done again, and a run that was stopped goes on:
the same command may be repeated until the table is full.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stereo_rt.atomic import replacing, write_bytes
from stereo_rt.config import MatchConfig
from stereo_rt.datasets import Labelled, Sample, open_dataset
from stereo_rt.devices import choose_device
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import OutputError, StereoError, UsageError
from stereo_rt.evaluation.metrics import Figures, error_rates, mean_of
from stereo_rt.matchers.torch import NetMatcher
from stereo_rt.render import colorize
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.training import checkpoint
from stereo_rt.training.folder import RECIPE
from stereo_rt.training.labels import LabelRules, LabelStore, label
from stereo_rt.training.losses import REGRESSIONS
from stereo_rt.training.parallel import Crew
from stereo_rt.training.recipe import Recipe, load_recipe
from stereo_rt.training.session import Plan, run_training
from stereo_rt.training.teachers import STEREO, open_teacher
from stereo_rt.training.unlabelled import Pair

METADATA = "metadata.json"
STUDENTS = ("stereo_unet", "mobile_stereonet", "hybrid_attention")
LOSSES = ("l1", "ssim", "l1_ssim")
TRAIN_SHARE = 0.8
CAMERA = (640, 480)
SCENES_OF_CAMERA = 100
PUBLISHED = {
    ("stereo_unet", "l1"): "31.8",
    ("stereo_unet", "ssim"): "4.90",
    ("stereo_unet", "l1_ssim"): "5.89",
    "mobile_stereonet": "30.0 (loss not stated)",
    "hybrid_attention": "4.97 (loss not stated)",
}
"""MAE in px on held-out InStereo2K against the labels of DEFOM-Stereo, as the study reported it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", metavar="DATASET", help="FOLDER, LAYOUT:FOLDER or synthetic")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=10, help="how many are drawn from the dataset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", default="finer:student_s", help=f"as of distill; of other projects: {', '.join(STEREO)}")
    parser.add_argument("--teacher-clone", type=Path, metavar="DIR")
    parser.add_argument("--teacher-checkpoint", type=Path, metavar="FILE")
    parser.add_argument("--students", nargs="+", default=STUDENTS, metavar="NAME", help="recipes, as for train")
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=list(REGRESSIONS))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 192), metavar=("WIDTH", "HEIGHT"), help="of the crops")
    parser.add_argument("--grid", type=int, nargs=2, default=CAMERA, metavar=("WIDTH", "HEIGHT"), help="students judge on")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    try:
        study(args)
    except StereoError as e:
        raise SystemExit(str(e)) from None
    print((args.out / "table.md").read_text())


def study(args: argparse.Namespace) -> None:
    parts = split(open_dataset_or_camera(args.dataset), args.scenes, args.seed)
    recipes = {(student, loss): recipe_of(student, loss, args) for student in args.students for loss in args.losses}
    label_all(args, parts, begun(args, parts))
    learned, tests = (believed(args.out, part, items) for part, items in parts.items())
    if not learned or not tests:
        raise UsageError(f"{args.out}: the teacher is sure of too little in these scenes; draw others with --seed and -o")
    middle_px = float(np.nanmedian(np.concatenate([labels.disparity_px().ravel() for _, labels in learned])))
    rows = [
        judged("teacher", tests, lambda sample, labels: labels.disparity_px()),
        judged("the labels' median", tests, lambda sample, labels: np.full(sample.truth_px.shape, middle_px, np.float32)),
    ]
    crew = Crew(choose_device(args.device))
    for (student, loss), recipe in recipes.items():
        name = f"{student}-{loss}"
        place = args.out / "runs" / name
        train(recipe, place, crew)
        row = score(name, args, place, crew, tests) | {"student": student, "loss": loss}
        rows.append(row | {"published_mae": PUBLISHED.get((student, loss), PUBLISHED.get(student))})
        report(args, rows, len(tests))


def open_dataset_or_camera(text: str) -> list[Labelled]:
    if text != "synthetic":
        return open_dataset(text)

    def room(seed: int) -> Sample:
        camera = SyntheticCamera(CAMERA, frames=1, seed=seed)
        frame = camera.frame(0)
        return Sample(frame.left, frame.right, camera.ground_truth(0).disparity_px)

    return [Labelled(f"room{seed:03d}", lambda seed=seed: room(seed)) for seed in range(SCENES_OF_CAMERA)]  # type: ignore[misc]


def split(items: Sequence[Labelled], scenes: int, seed: int) -> dict[str, list[Labelled]]:
    """So many of them, in an order that depends on the seed alone; the first TRAIN_SHARE train, at least one tests."""
    if not 2 <= scenes <= len(items):
        raise UsageError(f"--scenes {scenes}: this dataset has {len(items)}; ask for 2 at least, and no more than it has")
    order = np.random.default_rng(seed).permutation(len(items))[:scenes]
    drawn = [items[i] for i in order]
    trains = min(scenes - 1, round(TRAIN_SHARE * scenes))
    return {"train": drawn[:trains], "test": drawn[trains:]}


def begun(args: argparse.Namespace, parts: dict[str, list[Labelled]]) -> dict[str, Any]:
    """What metadata.json holds so far. Raises OutputError where it is of other scenes or of another teacher."""
    file = args.out / METADATA
    asked = {"dataset": args.dataset, "seed": args.seed, "teacher": args.teacher}
    asked["scenes"] = {name: [item.name for item in items] for name, items in parts.items()}
    if not file.is_file():
        return {"asked": asked, "scenes": {}}
    facts = json.loads(file.read_text())
    if other := [key for key in asked if asked[key] != facts["asked"][key]]:
        raise OutputError(f"{args.out}: holds a study with another choice of {', '.join(other)}; name another folder with -o")
    return facts


class Labels:
    """What the teacher said of one scene, in the folder of a study."""

    def __init__(self, out: Path, part: str, name: str) -> None:
        self.part, self.name, self.folder = part, name, out / "labels" / part / name
        self.array = out / "disparity" / "teacher" / f"{name}.npy"

    @property
    def kept(self) -> bool:
        """False where too little was believed."""
        return (self.folder / "disparity.pfm").is_file()

    def disparity_px(self) -> np.ndarray:
        return np.load(self.array)


Believed = Sequence[tuple[Labelled, Labels]]


def believed(out: Path, part: str, items: Sequence[Labelled]) -> Believed:
    """The scenes of which the teacher's label was worth keeping."""
    found = [(item, Labels(out, part, item.name)) for item in items]
    return [(item, labels) for item, labels in found if labels.kept]


def label_all(args: argparse.Namespace, parts: dict[str, list[Labelled]], facts: dict[str, Any]) -> None:
    """The stores, the pictures and the ranges in metadata.json; a scene that has them is passed over."""
    done = facts["scenes"]
    if all(item.name in done for items in parts.values() for item in items):
        return
    match = MatchConfig(device=args.device)
    teacher = open_teacher(args.teacher, match, args.teacher_clone, args.teacher_checkpoint)
    for part, items in parts.items():
        store = LabelStore(args.out / "labels" / part, teacher.spec, LabelRules())
        for item in items:
            if item.name in done:
                continue
            sample = item.load()
            found = label(teacher, sample.left, sample.right, store.rules)
            store.put(Pair(item.name, sample.left, sample.right, {"source": args.dataset, "index": None}), found)
            keep_map(args.out / "disparity" / "teacher" / item.name, found.disparity_px, found.disparity_px)
            done[item.name] = {
                "part": part,
                "size": [sample.left.shape[1], sample.left.shape[0]],
                "disparity_px": range_of(found.disparity_px),
                "truth_px": range_of(sample.truth_px),
                "kept": round(found.kept, 4),
            }
            write_bytes(args.out / METADATA, json.dumps(facts, indent=1).encode())
            print(f"{item.name}: {part}, {found.kept:.0%} of the teacher's map is believed", flush=True)
    teacher.close()


def range_of(disparity_px: np.ndarray) -> list[float] | None:
    values = disparity_px[np.isfinite(disparity_px)]
    return [round(float(values.min()), 3), round(float(values.max()), 3)] if values.size else None


def keep_map(place: Path, disparity_px: np.ndarray, label_px: np.ndarray) -> None:
    """PLACE.npy, float32 px, and PLACE.png, its colours spread over the range of the label."""
    low, high = range_of(label_px) or (0.0, 1.0)
    picture = colorize(disparity_px, low, max(high, low + 1))
    write_bytes(place.with_name(f"{place.name}.png"), cv2.imencode(".png", picture)[1].data)
    with replacing(place.with_name(f"{place.name}.npy")) as temporary:
        np.save(temporary, disparity_px)


def recipe_of(student: str, loss: str, args: argparse.Namespace) -> Recipe:
    """The student's own, but for its data, its loss and the budget."""
    own = load_recipe(student)
    return load_recipe(
        student,
        flags={
            "steps": args.steps,
            "batch": args.batch,
            "seed": args.seed,
            "size": list(args.size),
            "ema": min(own.ema, 1 - 10 / (args.steps + 10)),
            "loss.regression": loss,
            "data.folders": [f"ours:{args.out / 'labels' / 'train'}"],
            "data.share": 1.0,
        },
    )


def train(recipe: Recipe, place: Path, crew: Crew) -> None:
    """To the last step, from wherever the run stands. Ctrl-C keeps it where it is."""
    state = place / checkpoint.STATE
    if state.is_file():
        said = json.loads(state.read_text())
        if said["recipe"] == recipe.model_dump(mode="json") and said["step"] == recipe.steps:
            return
    plan = Plan(place, resume=(place / RECIPE).is_file())
    signum = run_training(recipe, plan, crew, lambda line: print(f"{place.name}: {line}", flush=True))
    if signum is not None:
        raise SystemExit(128 + signum)


def score(name: str, args: argparse.Namespace, place: Path, crew: Crew, tests: Believed) -> dict[str, Any]:
    matcher = NetMatcher(open_origin(str(place)).net.to(crew.device), tuple(args.grid), crew.device, name)  # type: ignore[arg-type]

    def ask(sample: Sample, labels: Labels) -> np.ndarray:
        found = matcher(sample.left, sample.right).disparity_px
        keep_map(args.out / "disparity" / name / labels.name, found, labels.disparity_px())
        return found

    return judged(name, tests, ask)


Ask = Callable[[Sample, Labels], np.ndarray]
"""A test scene -> (H, W) disparity px."""


def judged(name: str, tests: Believed, ask: Ask) -> dict[str, Any]:
    """Mean figures over the test scenes; None against what nobody knows. A teacher is not judged by its own labels."""
    against: dict[str, list[Figures | None]] = {"labels": [], "truth": []}
    for item, labels in tests:
        sample = item.load()
        found = ask(sample, labels)
        against["labels"].append(None if name == "teacher" else error_rates(labels.disparity_px(), found))
        against["truth"].append(error_rates(sample.truth_px, found))
    return {"name": name, **{judge: mean_of(rows) for judge, rows in against.items()}}


def report(args: argparse.Namespace, rows: Sequence[dict[str, Any]], tested: int) -> None:
    said = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    write_bytes(args.out / "table.json", json.dumps({"asked": said, "test_scenes": tested, "rows": rows}, indent=1).encode())
    write_bytes(args.out / "table.md", markdown(args, rows, tested).encode())


def markdown(args: argparse.Namespace, rows: Sequence[dict[str, Any]], tested: int) -> str:
    width, height = args.size
    judges = [(judge, key) for judge in ("labels", "truth") for key in ("mae", "rmse")]
    lines = [
        f"{args.dataset}: {args.scenes} scenes by seed {args.seed}, {tested} of them judged on; labels of {args.teacher}; "
        f"{args.steps} steps of {args.batch} crops of {width}x{height}. Errors in px.",
        "",
        "| | loss | " + " | ".join(f"{key.upper()} against the {judge}" for judge, key in judges) + " | MAE as published |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        cells = [row.get("student", row["name"]), row.get("loss", "-")]
        cells += [_cell((row[judge] or {}).get(key)) for judge, key in judges]
        lines.append("| " + " | ".join([*cells, row.get("published_mae") or "-"]) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
