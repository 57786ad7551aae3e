"""The demonstration: the whole product on the synthetic camera, whose true depth tells how good it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from . import render
from .atomic import replacing
from .calib.rectify import rectify_rig
from .calib.rig import StereoRig
from .config import Config
from .errors import StereoError
from .frames import DepthResult
from .session import assemble
from .show import show
from .sources.base import Source
from .sources.swap import Swapped
from .sources.synthetic import SyntheticCamera
from .status import Status

FPS = 15.0
CYCLE_FRAMES = 45
"""The camera's frames are drawn once and repeated, so that the processor is left to the network."""


@dataclass(frozen=True)
class Assessment:
    """One frame against the truth.

    kept: share of the view that the mask keeps. depth_error: median |z - z_true| / z_true over kept pixels.
    bad2_kept, bad2_all: share of pixels more than 2 px off, among those kept and among all that both eyes see.
    """

    kept: float
    depth_error: float
    bad2_kept: float
    bad2_all: float


def assess(camera: SyntheticCamera, result: DepthResult, alpha: float = 0.0) -> Assessment:
    """Compare a result with the truth of the frame it came from."""
    calibration = camera.calibration
    grid = rectify_rig(calibration, result.rig.size, alpha) if isinstance(calibration, StereoRig) else result.rig
    truth = camera.ground_truth(result.index, grid)
    known = np.isfinite(truth.depth_m)
    kept = result.valid & known
    bad = ~(np.abs(result.disparity_px - truth.disparity_px) <= 2)  # a missing estimate is bad
    seen = known & ~truth.occluded
    relative = np.abs(result.depth_m[kept] - truth.depth_m[kept]) / truth.depth_m[kept]
    return Assessment(
        kept=float(result.valid.mean()),
        depth_error=float(np.median(relative)) if kept.any() else float("nan"),
        bad2_kept=float(bad[kept].mean()) if kept.any() else float("nan"),
        bad2_all=float(bad[seen].mean()) if seen.any() else float("nan"),
    )


def run_demo(cfg: Config, folder: Path, *, seed: int, say: Callable[[str], None]) -> tuple[Status, Assessment, Path]:
    """Run the live loop on raw, distorted frames until it is left or run.max_frames are done, and save its last picture.

    Raises StereoError when it was left before the first frame.
    """
    size = (cfg.capture.width or 640, cfg.capture.height or 480)
    say(f"drawing {CYCLE_FRAMES} frames of a room ...")
    camera = SyntheticCamera(size, cfg.capture.fps or FPS, seed=seed, raw=True, live=True, cycle=CYCLE_FRAMES)
    source = cast(Source, Swapped(camera)) if cfg.capture.swap else camera
    viewer = show(
        lambda viewer, recorder: assemble(source, cfg, offline=False, sinks=[viewer], frame_sinks=[recorder]), cfg, say=say
    )
    result = viewer.result
    if result is None:
        raise StereoError("the demo ended before its first frame; run it again and let it work for a moment")
    picture = folder / "demo.png"
    with replacing(picture) as temporary:
        cv2.imwrite(str(temporary), render.panes(result, viewer.view, render.layout(result.rig)))
    return viewer.loop.status(), assess(camera, result, cfg.calib.alpha), picture
