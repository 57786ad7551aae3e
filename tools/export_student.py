#!/usr/bin/env python3
"""Ship a student: a training run becomes engines/NAME.onnx, as `stereo-rt export` writes it, and models.yaml learns of it.

NAME_SHAPE.onnx are written as well, for frames of other shapes (SHAPES in nets/student.py): operations alone, which read their
weights out of NAME.onnx.

    export_student.py RUN NAME [--student-size s] [--size 640x480] [--precision fp32|int8] [--recipe TEXT] [--version N]

RUN is what `stereo-rt export` takes. Nothing is replaced unless every file answers as the network does. The other facts in
models.yaml (scores, licence) are kept as they are: tools/card_scores.py writes the scores that `stereo-rt eval` finds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stereo_rt import paths
from stereo_rt.digest import sha256_of
from stereo_rt.engine.export import NORMALISATION, export_checked
from stereo_rt.engine.origin import Origin, open_origin
from stereo_rt.errors import StereoError
from stereo_rt.matchers.grid import grid_size
from stereo_rt.matchers.models import TABLE, shipped_models, write_models
from stereo_rt.nets.cost import gmacs, parameters
from stereo_rt.nets.student import SHAPES, SIZES

TWINS_CARD = "student_grids.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--student-size", choices=SIZES, help="bare weights need it; a training run says it itself")
    parser.add_argument("--size", help="WxH; that of the row without it")
    parser.add_argument("--precision", choices=("fp32", "int8"), help="that of the row without it, else fp32")
    parser.add_argument("--recipe", help="one line for the file's metadata and models.yaml; the old one is kept without it")
    parser.add_argument("--version", type=int, help="the old one plus one without it")
    a = parser.parse_args()
    origin = open_origin(a.run, a.student_size)
    size = grid_size(a.size) if a.size else origin.size

    table = shipped_models()
    entry = table.setdefault(a.name, {})
    facts = {
        "version": a.version or entry.get("version", 0) + 1,
        "student_size": origin.facts["student_size"],
        "recipe": a.recipe or entry.get("recipe", origin.facts["recipe"]),
        "max_disparity_px": origin.net.max_disparity_px,
        "normalisation": NORMALISATION,
        "outputs": ["disparity", "confidence"],
        "parameters": parameters(origin.net),
    }
    if (precision := a.precision or entry.get("precision", "fp32")) != "fp32":
        facts["precision"] = precision
    twins = zip(SHAPES, SIZES[facts["student_size"]].others, strict=True)
    names = {a.name: size} | {f"{a.name}_{shape}": other for shape, other in twins}
    with TemporaryDirectory(dir=paths.engines(), prefix=".") as made:
        try:
            for name, grid in names.items():
                own = exported(origin, Path(made) / f"{name}.onnx", grid, facts, None if name == a.name else a.name)
                table.setdefault(name, {}).update(facts | own)
        except StereoError as e:
            raise SystemExit(str(e)) from None
        for file in Path(made).iterdir():
            file.replace(paths.engines() / file.name)
    write_models(table)
    print(f"now run stereo-rt eval --json and tools/card_scores.py, for the scores in {TABLE}")


def exported(origin: Origin, target: Path, size: tuple[int, int], facts: dict[str, Any], of: str | None) -> dict[str, Any]:
    """Write one file, with its own weights or with those of the file `of` beside it; what models.yaml says of it alone.

    Raises StereoError.
    """
    original = target.with_name(f"{of}.onnx") if of else None
    metadata = {"name": target.stem} | {key: str(facts[key]) for key in ("version", "student_size", "recipe")}
    print(target, flush=True)
    export_checked(origin.net, target, size, metadata, facts.get("precision", "fp32"), original=original, say=print)
    return ({"of": of, "card": TWINS_CARD} if of else {}) | {
        "file": target.name,
        "input_size": "{}x{}".format(*size),
        "sha256": sha256_of(target),
        "gmacs": round(gmacs(origin.net, size), 1),
    }


if __name__ == "__main__":
    main()
