"""Our own layout, that of `stereo-rt eval` and of the labels that `stereo-rt distill` writes: see evaluation/datasets.py.

.../SCENE/left.png, right.png, meta.json {"disparity_encoding": {file, scale, offset, invalid}}, the disparity file,
nocc.png where occlusion is known, and, with {"confidence_encoding": {file, scale}}, how far to trust each label
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import SourceError
from ...evaluation.datasets import Scene, find_scenes
from ...sources.images import read_image
from .labelled import Labelled, Sample, hidden_by

LOOKS_FOR = "folders with left.png, right.png and a meta.json that names a disparity_encoding"


def find(folder: Path) -> list[Labelled]:
    if next(folder.rglob("meta.json"), None) is None:
        return []
    return [Labelled(scene.name, partial(_read, scene)) for scene in find_scenes(folder)]


def _read(scene: Scene) -> Sample:
    seen_twice, truth_px = scene.not_occluded(), scene.truth_px()
    occluded = None if seen_twice is None else hidden_by(truth_px, seen_twice)
    return Sample(*scene.images(), truth_px, occluded, _weight(scene.folder))


def _weight(scene: Path) -> np.ndarray | None:
    file = scene / "meta.json"
    encoding = json.loads(file.read_text(encoding="utf-8")).get("confidence_encoding")
    if encoding is None:
        return None
    try:
        raw, scale = read_image(scene / encoding["file"]), float(encoding["scale"])
    except (KeyError, TypeError, ValueError):
        raise SourceError(f"{file}: its confidence_encoding needs a file and a scale; label these pairs again") from None
    return np.clip(raw / np.float32(scale), 0, 1).astype(np.float32)
