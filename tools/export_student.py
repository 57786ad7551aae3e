#!/usr/bin/env python3
"""Ship a student: a training run becomes engines/NAME.onnx, as `stereo-rt export` writes it, and models.yaml learns of it.

    export_student.py RUN NAME [--student-size s] [--size 640x480] [--precision fp32|int8] [--recipe TEXT] [--version N]

RUN is what `stereo-rt export` takes. Nothing is replaced unless the file answers as the network does. The other facts in
models.yaml (scores, licence) are kept as they are: tools/card_scores.py writes the scores that `stereo-rt eval` finds.
"""

from __future__ import annotations

import argparse

from stereo_rt import paths
from stereo_rt.digest import sha256_of
from stereo_rt.engine.export import NORMALISATION, export_checked
from stereo_rt.engine.origin import open_origin
from stereo_rt.errors import StereoError
from stereo_rt.matchers.grid import grid_size
from stereo_rt.matchers.models import TABLE, shipped_models, write_models
from stereo_rt.nets.cost import gmacs, parameters
from stereo_rt.nets.student import SIZES


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
        "file": f"{a.name}.onnx",
        "version": a.version or entry.get("version", 0) + 1,
        "student_size": origin.facts["student_size"],
        "recipe": a.recipe or entry.get("recipe", origin.facts["recipe"]),
    }
    if (precision := a.precision or entry.get("precision", "fp32")) != "fp32":
        facts["precision"] = precision
    target = paths.engines() / facts["file"]
    metadata = {"name": a.name} | {key: str(value) for key, value in facts.items() if key != "file"}
    try:
        export_checked(origin.net, target, size, metadata, precision, say=print)
    except StereoError as e:
        raise SystemExit(str(e)) from None
    entry.update(
        facts,
        input_size="{}x{}".format(*size),
        max_disparity_px=origin.net.max_disparity_px,
        normalisation=NORMALISATION,
        sha256=sha256_of(target),
        outputs=["disparity", "confidence"],
        parameters=parameters(origin.net),
        gmacs=round(gmacs(origin.net, size), 1),
    )
    write_models(table)
    print(f"{target}: now run stereo-rt eval --json and tools/card_scores.py, for the scores in {TABLE}")


if __name__ == "__main__":
    main()
