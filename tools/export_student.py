#!/usr/bin/env python3
"""Ship a student: a training checkpoint (.pt state dict) becomes engines/NAME.onnx, and models.yaml learns its checksum.

    export_student.py CHECKPOINT.pt NAME --student-size p_window [--size 640x480] [--recipe TEXT] [--version N]

The other facts in models.yaml (scores, recipe, licence) are kept as they are: edit them after running `stereo-rt eval`.
Checkpoints of the first prototypes, which used other parameter names, are understood too. The weights are read with
weights_only=True. The exported file is compared with the network it came from before anything is replaced.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml

from stereo_rt.atomic import replacing, write_bytes
from stereo_rt.engine.export import export_onnx
from stereo_rt.nets.student import SIZES, Student

ENGINES = Path(__file__).resolve().parent.parent / "engines"
MAX_MEAN_ERROR_PX = 0.005

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


def load(checkpoint: Path, size: str) -> Student:
    net = Student(SIZES[size])
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if "k4" in weights:
        weights = renamed(weights, set(net.state_dict()))
    net.load_state_dict(weights)
    return net.folded()


def worst_mean_error_px(net: Student, file: Path, size: tuple[int, int]) -> float:
    """Mean difference between the file and the network on a random textured pair with a known shift."""
    width, height = size
    generator = torch.Generator().manual_seed(0)
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, height // 4, width // 4, generator=generator), (height, width), mode="bilinear"
    )
    pair = texture, torch.roll(texture, -17, 3)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    got = session.run(["disparity"], {"left": pair[0].numpy(), "right": pair[1].numpy()})[0]
    with torch.inference_mode():
        return float(np.abs(got - net(*pair)[0].numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--student-size", choices=SIZES, required=True)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--recipe", help="one line for the file's metadata and models.yaml; the old one is kept without it")
    parser.add_argument("--version", type=int, help="the old one plus one without it")
    a = parser.parse_args()
    width, height = (int(n) for n in a.size.split("x"))

    table_file = ENGINES / "models.yaml"
    text = table_file.read_text(encoding="utf-8") if table_file.exists() else ""
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    table = yaml.safe_load(text) or {}
    entry = table.setdefault(a.name, {})
    net = load(a.checkpoint, a.student_size)
    facts = {
        "file": f"{a.name}.onnx",
        "version": a.version or entry.get("version", 0) + 1,
        "student_size": a.student_size,
        "input_size": f"{width}x{height}",
        "max_disparity_px": net.size.max_disparity_px,
        "normalisation": "rgb_0_1",
        "recipe": a.recipe or entry.get("recipe", ""),
    }
    target = ENGINES / f"{a.name}.onnx"
    with replacing(target) as temporary:
        export_onnx(net, temporary, (width, height), {"name": a.name} | {k: str(v) for k, v in facts.items() if k != "file"})
        error = worst_mean_error_px(net, temporary, (width, height))
        if error > MAX_MEAN_ERROR_PX:
            raise SystemExit(f"the exported file is {error:.4f} px off the network on average; nothing was replaced")
    entry.update(facts, sha256=hashlib.sha256(target.read_bytes()).hexdigest())
    write_bytes(table_file, (comments + yaml.safe_dump(table, sort_keys=False, width=110)).encode())
    print(f"{target}: {error:.5f} px off the network on average; now run: stereo-rt eval, and edit the scores in models.yaml")


if __name__ == "__main__":
    main()
