"""The output folder of `process`: one file a frame and format, a video, and the manifest that says what is what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config import ViewConfig
from ..errors import CalibrationError, OutputError
from ..frames import DepthResult
from ..post.cloud import cloud_of
from ..render import layout, panes
from . import files
from .manifest import Manifest
from .ply import write_ply
from .video import VideoWriter

VIDEO = "disparity.mp4"


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
    return {"beyond_65535_mm_px": beyond} if beyond else None


def _npz(path: Path, result: DepthResult) -> None:
    files.write_npz(path, disparity_px=result.disparity_px, confidence=result.confidence, depth_m=result.depth_m)


CONFIDENCE = FrameFormat(
    "confidence",
    ".png",
    lambda path, result: files.write_confidence(path, result.confidence),
    {"quantity": "confidence", "scale": 1 / files.CONFIDENCE_SCALE},
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


def units(formats: Sequence[str]) -> dict[str, Any]:
    """What the numbers in each format's files mean: value = number * scale, in unit."""
    return {name: {"files": f"{f.folder}/*{f.suffix}", **f.about} for name, f in chosen(formats).items()}


class FolderSink:
    """Writes every result and records it. fps and view are the video's. Raises OutputError, CalibrationError."""

    name = "files"
    lossless = True

    def __init__(self, manifest: Manifest, formats: Sequence[str], *, fps: float, view: ViewConfig) -> None:
        if "mcap" in formats:
            raise OutputError("mcap cannot be written by this version; choose among pfm, png16, npz, depth_mm, ply and mp4")
        self.written = 0
        self.density = 0.0
        """Mean share of valid pixels of the frames written."""
        self._manifest, self._fps, self._view = manifest, fps, view
        self._formats = chosen(formats)
        self._with_video = "mp4" in formats
        self._pool = ThreadPoolExecutor(len(self._formats) or 1, "stereo_rt write")  # encoders let go of the interpreter
        self._video: VideoWriter | None = None

    def write(self, result: DepthResult) -> None:
        if self.written == 0:
            self._check(result)
            self._manifest.begin()
        record: dict[str, Any] = {"index": result.index, "timestamp_ns": result.stamp_ns}
        names = {name: f"{form.folder}/{result.index:06d}{form.suffix}" for name, form in self._formats.items()}
        writing = [
            self._pool.submit(form.write, self._manifest.folder / names[name], result) for name, form in self._formats.items()
        ]
        if self._with_video:
            names["mp4"] = self._film(result)
        for job in writing:
            record |= job.result() or {}
        density = float(result.valid.mean())
        self._manifest.add(record | {"files": names, "density": round(density, 4), "rig": asdict(result.rig)})
        self.written += 1
        self.density += (density - self.density) / self.written

    def close(self) -> None:
        self._pool.shutdown()
        try:
            if self._video is not None:
                self._video.close()
        finally:
            self._manifest.close()

    def _check(self, result: DepthResult) -> None:
        metric = [name for name, f in self._formats.items() if f.metric]
        if metric and not result.rig.metric:
            raise CalibrationError(
                f"{' and '.join(metric)} are in metres, which need a calibration; pass --calib FILE, or --format pfm"
            )

    def _film(self, result: DepthResult) -> str:
        """Add a frame to the video and return its name; a continued run starts a part of its own."""
        if self._video is None:
            taken = (self._manifest.folder / VIDEO).exists()
            name = f"disparity.{result.index:06d}.mp4" if taken else VIDEO
            self._video = VideoWriter(self._manifest.folder / name, self._fps)
        shown = replace(result, disparity_px=np.where(result.valid, result.disparity_px, np.float32(np.nan)))
        self._video.add(panes(shown, self._view, layout(result.rig, ("left", "disparity"))))
        return self._video.path.name
