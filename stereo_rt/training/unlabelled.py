"""Unlabelled pairs for a teacher: the rectified frames of any SOURCE, or every scene folder of a tree."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import Config
from ..errors import SourceError
from ..matchers.base import MatcherSpec
from ..offline import Selection
from ..session import find_calibration, make_plan
from ..sources import open_source
from ..sources.images import read_image, to_uint8

EYES = ("left.png", "right.png")

Origin = dict[str, str | int | None]
"""Where a pair comes from, and all that its pixels depend on, as plain values."""


@dataclass(frozen=True, eq=False)
class Pair:
    """name: the pair's own, with slashes, the same in every run. left, right: (H, W[, 3]) uint8, rectified."""

    name: str
    left: np.ndarray
    right: np.ndarray
    origin: Origin


Wanted = Callable[[str, Origin], bool]
"""(name, origin) -> whether this pair is to be read at all."""


def read_pairs(text: str, cfg: Config, spec: MatcherSpec, *, every: int = 1, wanted: Wanted) -> Iterator[Pair]:
    """The wanted pairs of a SOURCE, or of a folder whose subfolders hold left.png and right.png (rectified already).

    every: only each so many-th frame of a SOURCE. cfg: its capture, calib and run.max_frames, as for `process`.
    Raises SourceError, CalibrationError.
    """
    if Path(text).is_dir():
        yield from _tree(Path(text), wanted)
    else:
        yield from _frames(text, cfg, spec, every, wanted)


def _tree(folder: Path, wanted: Wanted) -> Iterator[Pair]:
    scenes = [f.parent for f in sorted(folder.rglob(EYES[0])) if (f.parent / EYES[1]).is_file()]
    if not scenes:
        raise SourceError(
            f"{folder}: no folder below it holds left.png and right.png; name the eyes as LEFT,RIGHT to read other files"
        )
    for scene in scenes:
        name, origin = f"{_slug(str(folder))}/{scene.relative_to(folder).as_posix()}", Origin(source=str(scene), index=0)
        if not wanted(name, origin):
            continue
        left, right = (read_image(scene / eye) for eye in EYES)
        if left.shape != right.shape or left.dtype != right.dtype:
            raise SourceError(f"{scene}: left.png and right.png differ in size or kind; both must come from one rectified pair")
        shift = max(0, int(max(left.max(), right.max())).bit_length() - 8)
        yield Pair(name, to_uint8(left, shift), to_uint8(right, shift), origin)


def _frames(text: str, cfg: Config, spec: MatcherSpec, every: int, wanted: Wanted) -> Iterator[Pair]:
    source = open_source(text, cfg.capture)
    try:
        if source.live:
            raise SourceError(f"{text}: is live, and labels are made of recordings; keep it first with: stereo-rt record")
        calibration = find_calibration(cfg.calib, source)
        geometry: Origin = {
            "calibration": None if cfg.calib.file is None else str(cfg.calib.file),
            "grid": None if cfg.calib.size is None else "{}x{}".format(*cfg.calib.size),
            "rectified": cfg.calib.rectified,
            "swapped": cfg.capture.swap,
        }

        def entry(index: int) -> tuple[str, Origin]:
            return f"{_slug(text)}/{index:06d}", geometry | {"source": text, "index": index}

        chosen = Selection(source, lambda i: i % every == 0 and wanted(*entry(i)), cfg.run.max_frames)
        plan = None
        while (frame := chosen.read(cfg.capture.timeout_s)) is not None:
            plan = plan or make_plan(calibration, cfg.calib, frame.size, spec, offline=True)
            pair = plan.rectify(frame) if plan.rectify else frame
            name, origin = entry(frame.index)
            yield Pair(name, pair.left, pair.right, origin)
    finally:
        source.close()


def _slug(text: str) -> str:
    """A folder name that tells people what it is and sources apart."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", text)[-40:].strip("-")
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
