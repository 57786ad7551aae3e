"""Snapshot: everything about one frame, as files with a common prefix."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from .. import render
from ..atomic import write_bytes
from ..config import ViewConfig
from ..errors import OutputError
from ..frames import DepthResult
from .files import write_confidence, write_depth_mm, write_pfm


def snapshot(result: DepthResult, view: ViewConfig, folder: Path) -> list[Path]:
    """Write PREFIX-left.png, -disparity.pfm (px, unmasked), -depth_mm.png (masked; only with a calibration),
    -confidence.png and -view.png (the composite); returns their paths. Raises OutputError.
    """
    prefix = f"stereo-{time.strftime('%Y%m%d-%H%M%S')}-{result.index:06d}"

    def path(name: str) -> Path:
        return folder / f"{prefix}-{name}"

    written = [path("left.png"), path("disparity.pfm"), path("confidence.png"), path("view.png")]
    _write_png(written[0], result.left)
    write_pfm(written[1], result.disparity_px)
    write_confidence(written[2], result.confidence)
    _write_png(written[3], render.panes(result, view, render.layout(result.rig, picture_width=max(320, result.rig.width))))
    if result.rig.metric:
        written.append(path("depth_mm.png"))
        write_depth_mm(written[-1], result.depth_m)
    return written


def _write_png(path: Path, image: np.ndarray) -> None:
    done, data = cv2.imencode(".png", image)
    if not done:
        raise OutputError(f"{path}: OpenCV could not encode the PNG; check its build with: stereo-rt doctor")
    write_bytes(path, data.data)
