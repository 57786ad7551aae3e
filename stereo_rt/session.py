"""From a source and a configuration to a pipeline that is ready to run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from .calib.formats import read_calibration
from .calib.probe import RectificationProbe
from .calib.rectify import Rectifier, rectify_rig
from .calib.rig import StereoRig
from .config import CalibConfig, Config
from .errors import CalibrationError, UsageError
from .frames import StereoFrame
from .geometry import RectifiedRig
from .matchers import create_matcher
from .matchers.base import MatcherSpec
from .matchers.grid import content_size
from .matchers.models import better_grid
from .mono import MonoNetwork, open_mono
from .pipeline import Pipeline
from .plan import Plan, scaled_note
from .sinks.base import FrameSink, Sink
from .sources import open_source
from .sources.base import Source
from .training.adapters import MONO

log = logging.getLogger(__name__)


def open_session(
    uri: str, cfg: Config, *, offline: bool, sinks: Sequence[Sink] = (), frame_sinks: Sequence[FrameSink] = ()
) -> Pipeline:
    """Open the source, find its calibration, and put the loop together; nothing runs yet.

    offline: every frame counts, as fast as it goes, on the rectified frames' own grid. Otherwise recordings play at
    their own pace and the working grid is the network's, so that frames are resampled once.
    Raises SourceError, CalibrationError, and later, from the loop, ModelError.
    """
    source = open_source(uri, cfg.capture, realtime=not offline)
    try:
        return assemble(source, cfg, offline=offline, sinks=sinks, frame_sinks=frame_sinks)
    except BaseException:
        source.close()
        raise


def assemble(
    source: Source, cfg: Config, *, offline: bool, sinks: Sequence[Sink] = (), frame_sinks: Sequence[FrameSink] = ()
) -> Pipeline:
    """The same for a source that is open already."""
    calibration = find_calibration(cfg.calib, source)
    return Pipeline(
        source,
        lambda: create_matcher(cfg.match),
        lambda size, spec: make_plan(calibration, cfg.calib, size, spec, offline=offline, live=source.live),
        post=cfg.post,
        sinks=sinks,
        frame_sinks=frame_sinks,
        run=cfg.run,
        lossless=True if offline else None,
        inspect=RectificationProbe() if cfg.calib.probe else None,
        timeout_s=cfg.capture.timeout_s,
        make_mono=mono_maker(cfg),
    )


def mono_maker(cfg: Config) -> Callable[[], MonoNetwork] | None:
    """Makes the monocular network that the settings fill with; None where they do not."""
    if cfg.post.fill != "mono" or cfg.post.mono is None:
        return None
    name = cfg.post.mono
    clone, checkpoint = (Path(text) if text else None for text in (cfg.post.mono_clone, cfg.post.mono_checkpoint))
    if name in MONO and (clone is None or checkpoint is None):
        raise UsageError(
            f"{name} needs its project's code and weights: add --set post.mono_clone=DIR --set post.mono_checkpoint=FILE"
        )
    return lambda: open_mono(name, cfg.match, clone, checkpoint, cfg.post.mono_says)


def find_calibration(calib: CalibConfig, source: Source) -> StereoRig | RectifiedRig:
    """What known_calibration finds, else an uncalibrated grid for frames declared rectified.

    Raises CalibrationError when there is none, or when its verdict is 'redo' and nobody insists.
    """
    found = known_calibration(calib, source)
    if found is None and calib.rectified:
        log.warning("no calibration: disparity in pixels only; pass --calib FILE for depth in metres")
        return RectifiedRig.uncalibrated(*source.size)
    if found is None:
        raise CalibrationError(
            f"{source.name} comes without a calibration; pass --calib FILE, "
            "or --rectified when the frames are rectified already (then there is disparity, but no depth in metres)"
        )
    refuse_redo(found, calib, source)
    return of_frames(found, calib)


def refuse_redo(found: StereoRig | RectifiedRig, calib: CalibConfig, source: Source) -> None:
    """Raises CalibrationError for a rig whose verdict is 'redo', unless somebody insists."""
    if isinstance(found, StereoRig) and found.verdict == "redo" and not calib.force:
        raise CalibrationError(
            f"{calib.file or source.name}: its own verdict is 'redo', depth would be wrong; "
            "calibrate again with stereo-rt calibrate, or pass --force to look anyway"
        )


def known_calibration(calib: CalibConfig, source: Source) -> StereoRig | RectifiedRig | None:
    """The file that was named, else what the source itself knows. Raises CalibrationError."""
    return read_calibration(calib.file, source.size) if calib.file is not None else source.calibration


def of_frames(found: StereoRig | RectifiedRig, calib: CalibConfig) -> StereoRig | RectifiedRig:
    """The geometry of the frames as they come: of a raw rig's rectified images, where they are declared rectified."""
    return rectify_rig(found, alpha=calib.alpha).rig if isinstance(found, StereoRig) and calib.rectified else found


def make_plan(
    calibration: StereoRig | RectifiedRig,
    calib: CalibConfig,
    frame_size: tuple[int, int],
    spec: MatcherSpec,
    *,
    offline: bool,
    live: bool = False,
) -> Plan:
    """Which grid frames of this size are brought to, and how. Raises CalibrationError where the aspects differ.

    live: a camera's, of which another size may be another field of view; the plan then says so.
    """
    warnings: tuple[str, ...] = ()
    if calibration.size != frame_size:
        log.info("the calibration is for %dx%d, the frames are %dx%d: scaled", *calibration.size, *frame_size)
        warnings = (scaled_note(calibration.size, frame_size),) if live else ()
        calibration = calibration.scaled(*frame_size)
    if not spec.others and (better := better_grid(spec.name, frame_size)):
        log.warning("frames of %dx%d leave a part of %s's grid empty; --model %s sees more", *frame_size, spec.name, better)
    grid = calib.size or (frame_size if offline else live_size(frame_size, spec))
    if isinstance(calibration, StereoRig):
        rectification = rectify_rig(calibration, grid, calib.alpha)
        return Plan(rectification.rig, Rectifier(rectification), warnings)
    if grid == frame_size:
        return Plan(calibration, None, warnings)
    return Plan(calibration.scaled(*grid), lambda frame: resized(frame, grid), warnings)


def live_size(frame_size: tuple[int, int], spec: MatcherSpec) -> tuple[int, int]:
    """The grid for live use: what the network will see, but never finer than the frames."""
    grid = spec.grid_for(frame_size)
    if grid is None:
        return frame_size
    content = content_size(frame_size, grid)
    return content if content[0] < frame_size[0] else frame_size


def resized(frame: StereoFrame, size: tuple[int, int]) -> StereoFrame:
    """The pair on another grid of the same aspect."""
    method = cv2.INTER_AREA if size[0] < frame.size[0] else cv2.INTER_LINEAR
    left, right = (cv2.resize(image, size, interpolation=method) for image in (frame.left, frame.right))
    return replace(frame, left=left, right=right)
