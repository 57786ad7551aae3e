#!/usr/bin/env python3
"""Ship a student: a training run becomes engines/NAME.onnx, as `stereo-rt export` writes it, and models.yaml learns of it.

    export_student.py RUN NAME [--student-size s] [--size 640x480] [--recipe TEXT] [--version N]

RUN is what `stereo-rt export` takes, or a prototype's state dict (.pt, with its own parameter names, read with
weights_only=True). Nothing is replaced unless the file answers as the network does. The other facts in models.yaml
(scores, licence) are kept as they are: edit them after running `stereo-rt eval`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import torch
import yaml

from stereo_rt import paths
from stereo_rt.atomic import write_bytes
from stereo_rt.engine.export import NORMALISATION, export_checked
from stereo_rt.engine.origin import Origin, open_origin
from stereo_rt.errors import StereoError
from stereo_rt.matchers.models import TABLE
from stereo_rt.nets.cost import gmacs, parameters
from stereo_rt.nets.student import SIZES, Student

# Parameter prefixes of the prototypes and ours. What only training needed (k8, h8, bins, d4) has no row.
PROTOTYPE = {
    "feat.s2": "encoder.stem",
    "feat.s4": "encoder.stage4",
    "feat.s8": "encoder.stage8",
    "feat.s16": "encoder.stage16",
    "feat.l8": "encoder.lateral8",
    "feat.o8": "encoder.merge8",
    "feat.l4": "encoder.lateral4",
    "feat.o4": "encoder.merge4",
    "feat.d8": "encoder.descriptor8",
    "in8": "context.enter",
    "dn16": "context.down16",
    "dn32": "context.down32",
    "u16": "context.lateral16",
    "m16": "context.merge16",
    "u8": "context.lateral8",
    "m8": "context.merge8",
    "to4": "lift",
    "in4": "refine",
    "h4": "correction",
    "k4": "correlation_gain",
    "g": "guide",
    "mk": "blend",
    "cf": "certainty",
    "fx": "fine_edges",
    "ff": "fine_features",
    "fd": "fine_descriptor",
}


def renamed(weights: dict[str, torch.Tensor], names: set[str]) -> dict[str, torch.Tensor]:
    """A prototype's state dict under our parameter names."""
    out = {}
    for old, value in weights.items():
        prefix = next((p for p in PROTOTYPE if old == p or old.startswith(p + ".")), None)
        if prefix is None:
            continue
        name = PROTOTYPE[prefix] + old[len(prefix) :].replace(".a.", ".first.").replace(".b.", ".second.")
        if name not in names:  # an index into a pair of convolution and norm
            name = re.sub(r"\.([01])\.(\w+)$", lambda m: f".{('conv', 'norm')[int(m[1])]}.{m[2]}", name)
        out[name] = value
    return out


def from_prototype(checkpoint: Path, size: str) -> Origin:
    net = Student(SIZES[size])
    net.coarse = None  # a prototype's own is not worth the renaming: nobody trains on from an export
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    uncalibrated = {"certainty_gain": torch.tensor(1.0), "certainty_bias": torch.tensor(0.0)}
    net.load_state_dict(uncalibrated | renamed(weights, set(net.state_dict())))
    return Origin(net.folded().requires_grad_(False), {"student_size": size, "recipe": ""})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--student-size", choices=SIZES, help="a prototype needs it; a training run says it itself")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--recipe", help="one line for the file's metadata and models.yaml; the old one is kept without it")
    parser.add_argument("--version", type=int, help="the old one plus one without it")
    a = parser.parse_args()
    width, height = (int(n) for n in a.size.split("x"))
    if a.run.suffix == ".pt" and not a.student_size:
        parser.error("a .pt file needs --student-size")
    origin = from_prototype(a.run, a.student_size) if a.run.suffix == ".pt" else open_origin(str(a.run), a.student_size)

    table_file = paths.engines() / TABLE
    text = table_file.read_text(encoding="utf-8")
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    table = yaml.safe_load(text) or {}
    entry = table.setdefault(a.name, {})
    facts = {
        "file": f"{a.name}.onnx",
        "version": a.version or entry.get("version", 0) + 1,
        "student_size": origin.facts["student_size"],
        "recipe": a.recipe or entry.get("recipe", origin.facts["recipe"]),
    }
    target = paths.engines() / facts["file"]
    metadata = {"name": a.name} | {key: str(value) for key, value in facts.items() if key != "file"}
    try:
        export_checked(origin.net, target, (width, height), metadata, say=print)
    except StereoError as e:
        raise SystemExit(str(e)) from None
    entry.update(
        facts,
        input_size=f"{width}x{height}",
        max_disparity_px=origin.net.max_disparity_px,
        normalisation=NORMALISATION,
        sha256=hashlib.sha256(target.read_bytes()).hexdigest(),
        outputs=["disparity", "confidence"],
        parameters=parameters(origin.net),
        gmacs=round(gmacs(origin.net, (640, 480)), 1),
    )
    write_bytes(table_file, (comments + yaml.safe_dump(table, sort_keys=False, width=110)).encode())
    print(f"{target}: now run stereo-rt eval, and edit the scores in {TABLE}")


if __name__ == "__main__":
    main()
