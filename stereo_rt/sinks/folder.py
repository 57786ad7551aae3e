"""The output folder of `process`: files of each frame, files of the whole run, and the manifest that says what is what."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..config import ViewConfig
from ..errors import CalibrationError
from ..frames import DepthResult
from ..post.cloud import cloud_of
from ..render import layout, panes
from . import files, mcap
from .manifest import Manifest
from .ply import write_ply
from .video import VideoWriter

log = logging.getLogger(__name__)

WHOLE_RUN = {"mp4": ("disparity", ".mp4"), "mcap": ("result", ".mcap")}
"""Formats with one file for all frames: its name and suffix."""
BEYOND = "beyond_65535_mm_px"
"""In a frame's record: how many pixels are too far away for depth_mm."""


@dataclass(frozen=True)
class FrameFormat:
    """One kind of file a frame: where it goes, who writes it, and what its numbers mean (for the manifest).

    write(path, result) may return notes that go into the frame's record.
    """

    folder: str
    suffix: str
    write: Callable[[Path, DepthResult], dict[str, Any] | None]
    about: dict[str, Any]
    metric: bool = False
    with_confidence: bool = False


def _depth_mm(path: Path, result: DepthResult) -> dict[str, Any] | None:
    beyond = files.write_depth_mm(path, result.depth_m)
    return {BEYOND: beyond} if beyond else None


def _npz(path: Path, result: DepthResult) -> None:
    maps = {"disparity_px": result.disparity_px, "confidence": result.confidence, "depth_m": result.depth_m}
    files.write_npz(path, **maps, **({} if result.filled is None else {"filled": result.filled}))


def _filled(path: Path, result: DepthResult) -> None:
    assert result.filled is not None
    files.write_filled(path, result.filled)


CONFIDENCE = FrameFormat(
    "confidence",
    ".png",
    lambda path, result: files.write_confidence(path, result.confidence),
    {"quantity": "confidence", "scale": 1 / files.CONFIDENCE_SCALE},
)
FILLED = FrameFormat(
    "filled", ".png", _filled, {"quantity": "filled", "unit": "1 where invented, 0 elsewhere", "scale": 1 / 65535}
)
FRAME_FORMATS = {
    "pfm": FrameFormat(
        "disparity",
        ".pfm",
        lambda path, result: files.write_pfm(path, result.disparity_px),
        {"quantity": "disparity", "unit": "px", "scale": 1, "invalid": "inf", "masked": False},
        with_confidence=True,
    ),
    "png16": FrameFormat(
        "disparity_png16",
        ".png",
        lambda path, result: files.write_png16(path, result.disparity_px),
        {"quantity": "disparity", "unit": "px", "scale": 1 / files.PNG16_SCALE, "invalid": 0, "masked": False},
        with_confidence=True,
    ),
    "depth_mm": FrameFormat(
        "depth_mm",
        ".png",
        _depth_mm,
        {"quantity": "depth", "unit": "m", "scale": 1 / files.MM_PER_M, "invalid": 0, "masked": True},
        metric=True,
    ),
    "npz": FrameFormat(
        "npz",
        ".npz",
        _npz,
        {"disparity_px": "px, not masked", "confidence": "0 to 1", "depth_m": "m, masked", "invalid": "nan"},
    ),
    "ply": FrameFormat(
        "cloud",
        ".ply",
        lambda path, result: write_ply(path, cloud_of(result)),
        {"quantity": "points", "unit": "m", "frame": "left camera: x right, y down, z forward", "masked": True},
        metric=True,
    ),
}


def chosen(formats: Sequence[str]) -> dict[str, FrameFormat]:
    """The kinds of files a frame, by name: those asked for, and confidence beside maps that are not masked."""
    forms = {name: FRAME_FORMATS[name] for name in formats if name in FRAME_FORMATS}
    return forms | ({"confidence": CONFIDENCE} if any(f.with_confidence for f in forms.values()) else {})


def units(formats: Sequence[str], filled: bool = False) -> dict[str, Any]:
    """What the numbers in each format's files mean: value = number * scale, in unit. filled: whether holes are filled."""
    forms = chosen(formats) | ({"filled": FILLED} if filled else {})
    about = {name: {"files": f"{f.folder}/*{f.suffix}", **f.about} for name, f in forms.items()}
    return about | ({"mcap": {"files": "*.mcap", "topics": mcap.RESULTS}} if "mcap" in formats else {})


class FolderSink:
    """Writes every result and records it. fps and view are the video's. Raises OutputError, CalibrationError, MissingExtra."""

    name = "files"
    lossless = True

    def __init__(self, manifest: Manifest, formats: Sequence[str], *, fps: float, view: ViewConfig) -> None:
        if "mcap" in formats:
            mcap.require()
        self.written = 0
        self.density = 0.0
        """Mean share of valid pixels of the frames written."""
        self._manifest, self._fps, self._view = manifest, fps, view
        self._beyond_px = 0
        self._formats = chosen(formats)
        self._wholes: dict[str, _WholeRun | None] = {name: None for name in formats if name in WHOLE_RUN}
        self._pool = ThreadPoolExecutor(len(self._formats) or 1, "stereo_rt write")  # encoders let go of the interpreter

    def write(self, result: DepthResult) -> None:
        if self.written == 0:
            self._check(result)
            self._manifest.begin()
        record: dict[str, Any] = {"index": result.index, "timestamp_ns": result.stamp_ns}
        forms = self._formats | ({} if result.filled is None else {"filled": FILLED})
        names = {name: f"{form.folder}/{result.index:06d}{form.suffix}" for name, form in forms.items()}
        writing = [self._pool.submit(form.write, self._manifest.folder / names[name], result) for name, form in forms.items()]
        names |= {name: self._append(name, result) for name in self._wholes}
        for job in writing:
            record |= job.result() or {}
        self._beyond_px += record.get(BEYOND, 0)
        density = float(result.valid.mean())
        self._manifest.add(record | {"files": names, "density": round(density, 4), "rig": asdict(result.rig)})
        self.written += 1
        self.density += (density - self.density) / self.written

    def close(self) -> None:
        if self._beyond_px:
            log.warning("%d pixels beyond 65.535 m are 0 in depth_mm; --format npz keeps them", self._beyond_px)
        self._pool.shutdown()
        with contextlib.ExitStack() as closing:
            closing.callback(self._manifest.close)
            for whole in self._wholes.values():
                if whole is not None:
                    closing.callback(whole.close)

    def _check(self, result: DepthResult) -> None:
        metric = [name for name, f in self._formats.items() if f.metric]
        if metric and not result.rig.metric:
            raise CalibrationError(
                f"{' and '.join(metric)} are in metres, which need a calibration; pass --calib FILE, or --format pfm"
            )

    def _append(self, name: str, result: DepthResult) -> str:
        """Add a frame to a file of the whole run and return its name; a continued run starts a part of its own."""
        whole = self._wholes[name]
        if whole is None:
            stem, suffix = WHOLE_RUN[name]
            path = self._manifest.folder / f"{stem}{suffix}"
            if path.exists():
                path = path.with_name(f"{stem}.{result.index:06d}{suffix}")
            whole = mcap.ResultMessages(path) if name == "mcap" else _Film(path, self._fps, self._view)
            self._wholes[name] = whole
        whole.add(result)
        return whole.path.name


class _WholeRun(Protocol):
    path: Path

    def add(self, result: DepthResult) -> None: ...

    def close(self) -> None: ...


class _Film:
    """Left image and disparity, masked, side by side."""

    def __init__(self, path: Path, fps: float, view: ViewConfig) -> None:
        self.path, self._view = path, view
        self._video = VideoWriter(path, fps)

    def add(self, result: DepthResult) -> None:
        shown = replace(result, disparity_px=np.where(result.valid, result.disparity_px, np.float32(np.nan)))
        self._video.add(panes(shown, self._view, layout(result.rig, ("left", "disparity"))))

    def close(self) -> None:
        self._video.close()
