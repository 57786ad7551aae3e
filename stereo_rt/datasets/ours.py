"""Our own layout: a folder tree in which each scene holds left.png, right.png, a disparity file and meta.json.

meta.json says how the disparity is stored: {"disparity_encoding": {"file", "scale", "offset", "invalid"}} with
disparity_px = value / scale + offset, aligned with the left image; invalid is a number or "inf". nocc.png, where there
is one, marks the pixels that both eyes see with 255. The labels that `stereo-rt distill` writes also tell, with
{"confidence_encoding": {"file", "scale"}}, how far each is to be trusted.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import SourceError
from ..sinks.files import read_pfm
from ..sources.images import read_image
from .labelled import Labelled, Sample, hidden_by

LOOKS_FOR = "folders with left.png, right.png and a meta.json that names a disparity_encoding"


@dataclass(frozen=True)
class Scene:
    """name: the scene's path below the dataset, with slashes. about: what its meta.json says."""

    name: str
    folder: Path
    about: dict[str, Any]

    @property
    def encoding(self) -> dict[str, Any]:
        return self.about["disparity_encoding"]

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """left, right: (H, W, 3) uint8 BGR. Raises SourceError."""
        left, right = (_read_image(self.folder / f"{eye}.png", cv2.IMREAD_COLOR) for eye in ("left", "right"))
        if left.shape != right.shape:
            raise SourceError(f"{self.folder}: left.png and right.png differ in size; both must come from one rectified pair")
        return left, right

    def truth_px(self) -> np.ndarray:
        """(H, W) float32 ground truth, NaN where there is none; never <= 0. Raises SourceError."""
        raw = _read_raw(self.folder / self.encoding["file"])
        invalid = self.encoding["invalid"]
        unknown = ~np.isfinite(raw) if invalid == "inf" else raw == invalid
        truth = raw / np.float32(self.encoding["scale"]) + np.float32(self.encoding.get("offset", 0.0))
        return np.where(unknown | ~(truth > 0), np.float32(np.nan), truth)

    def not_occluded(self) -> np.ndarray | None:
        """(H, W) bool, True where both eyes see the point; None when nobody marked it."""
        file = self.folder / "nocc.png"
        return _read_image(file, cv2.IMREAD_GRAYSCALE) == 255 if file.exists() else None

    def weight(self) -> np.ndarray | None:
        """(H, W) float32 in [0, 1], how far each label is to be trusted; None for measured ones. Raises SourceError."""
        encoding = self.about.get("confidence_encoding")
        if encoding is None:
            return None
        try:
            raw, scale = read_image(self.folder / encoding["file"]), float(encoding["scale"])
        except (KeyError, TypeError, ValueError):
            file = self.folder / "meta.json"
            raise SourceError(f"{file}: its confidence_encoding needs a file and a scale; label these pairs again") from None
        return np.clip(raw / np.float32(scale), 0, 1).astype(np.float32)


def find(folder: Path) -> list[Labelled]:
    return [Labelled(scene.name, partial(_read, scene)) for scene in _scenes(folder)]


def find_scenes(dataset: Path) -> list[Scene]:
    """Every scene with ground truth below a folder, by name; those without are passed over. Raises SourceError."""
    if not (scenes := _scenes(dataset)):
        raise SourceError(f"{dataset}: holds no scene with ground truth (no meta.json that names a disparity_encoding)")
    return scenes


def _scenes(dataset: Path) -> list[Scene]:
    scenes = []
    for meta in sorted(dataset.rglob("meta.json")):
        try:
            about = json.loads(meta.read_text(encoding="utf-8"))
            encoding = about.get("disparity_encoding")
        except (OSError, ValueError, AttributeError):
            raise SourceError(
                f"{meta}: is not a JSON description of a scene; see the README on the layout of a dataset"
            ) from None
        if not encoding:
            continue
        if not isinstance(encoding, dict):
            raise SourceError(f"{meta}: its disparity_encoding is no table of file, scale and invalid; see the README")
        if lacking := [key for key in ("file", "scale", "invalid") if key not in encoding]:
            raise SourceError(f"{meta}: its disparity_encoding lacks {', '.join(lacking)}; say how the disparity is stored")
        if not encoding["scale"] or not all(map(_is_number, (encoding["scale"], encoding.get("offset", 0.0)))):
            raise SourceError(f"{meta}: disparity is value / scale + offset, and here one of them is no number, or scale is 0")
        scenes.append(Scene(meta.parent.relative_to(dataset).as_posix(), meta.parent, about))
    return scenes


def _read(scene: Scene) -> Sample:
    seen_twice, truth_px = scene.not_occluded(), scene.truth_px()
    occluded = None if seen_twice is None else hidden_by(truth_px, seen_twice)
    return Sample(*scene.images(), truth_px, occluded, scene.weight())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _read_image(file: Path, flag: int) -> np.ndarray:
    image = cv2.imread(str(file), flag) if file.exists() else None
    if image is None:
        raise SourceError(f"{file}: is missing or not an image; a scene needs left.png, right.png and its disparity file")
    return image


def _read_raw(file: Path) -> np.ndarray:
    """(H, W) float32 stored values; not finite where a PFM or NPZ says so."""
    if file.suffix == ".pfm":
        return read_pfm(file)
    if file.suffix == ".npz":
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return arrays[arrays.files[0]].astype(np.float32)
        except (OSError, ValueError, IndexError, zipfile.BadZipFile):
            raise SourceError(f"{file}: is not an NPZ file with a disparity map; check the dataset") from None
    raw = _read_image(file, cv2.IMREAD_UNCHANGED).astype(np.float32)
    return raw[..., 0] if raw.ndim == 3 else raw
