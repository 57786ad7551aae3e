"""Convert: a calibration from one tool's format to another's, with every loss measured and named.

What is written is read back and compared, so that a loss is what the other tool will see, not what we believe it to be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..atomic import write_bytes
from ..errors import CalibrationError, UsageError
from ..geometry import RectifiedRig
from . import lens
from .formats import depthai, kalibr, kitti, middlebury, opencv, ours, read_calibration, ros, zed
from .formats.document import Document
from .rectify import rectify_rig
from .rig import CameraModel, StereoRig

Texts = tuple[str, ...]
RAW: dict[str, Callable[[StereoRig], Texts]] = {
    "opencv": opencv.write,
    "ros": ros.write,
    "kalibr": kalibr.write,
    "oak": depthai.write,
    "zed": zed.write,
}
RECTIFIED: dict[str, Callable[[RectifiedRig], Texts]] = {
    "kitti": kitti.write_rectified,
    "middlebury": middlebury.write_rectified,
}
READERS = {
    "ours": ours,
    "opencv": opencv,
    "ros": ros,
    "kalibr": kalibr,
    "oak": depthai,
    "zed": zed,
    "kitti": kitti,
    "middlebury": middlebury,
}
FORMATS = tuple(READERS)
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "s1", "s2", "s3", "s4", "tau_x", "tau_y")
LARGEST_LOSS_PX = 0.5
"""A file whose lens is off by more looks right and is not, so it is not written."""
EXACT_PX, EXACT_RAD, EXACT_M = 1e-4, 1e-7, 1e-7


def convert(source: str, out: str, to: str | None = None, frame_size: tuple[int, int] | None = None) -> tuple[str, list[str]]:
    """Read `source`, write `out`; returns the format's name, and what it could not carry, a phrase each.

    source, out: a file, or two joined by a comma (ROS). to: one of FORMATS; None goes by the name of `out`.
    frame_size: see read_calibration. Raises CalibrationError when the format cannot carry the rig; UsageError, also where
    `out` exists; OutputError.
    """
    kind = to or format_of(out)
    if kind not in FORMATS:
        raise UsageError(f"--to {kind}: known are {', '.join(FORMATS)}")
    paths = [Path(part.strip()) for part in out.split(",")]
    if (len(paths) == 2) != (kind == "ros"):
        raise UsageError(f"{out}: {kind} is written as {'left.yaml,right.yaml' if kind == 'ros' else 'a single file'}")
    if there := [path for path in paths if path.exists()]:
        raise UsageError(
            f"{there[0]}: exists already, and nothing is overwritten; name a new OUT (a pair of files is joined by a comma)"
        )
    rig = read_calibration(source, frame_size)
    try:
        texts, losses = _written(rig, kind)
    except CalibrationError as e:
        raise CalibrationError(f"{source} cannot be written as {kind}: {e}") from None
    for path, text in zip(paths, texts, strict=True):
        write_bytes(path, text.encode())
    return kind, losses


def format_of(out: str) -> str:
    """What the name of a new file suggests. Raises UsageError when it suggests nothing."""
    name = Path(out).name.lower()
    if "," in out:
        return "ros"
    suffixes = {".conf": "zed", ".json": "oak", ".yml": "opencv"}
    if name.endswith(".yaml"):
        return "kalibr" if "camchain" in name else "ours"
    if name.endswith(".txt"):
        return "kitti" if "cam_to_cam" in name else "middlebury"
    if (suffix := Path(name).suffix) in suffixes:
        return suffixes[suffix]
    raise UsageError(f"{out}: the name tells no format; add --to, one of {', '.join(FORMATS)}")


def _written(rig: StereoRig | RectifiedRig, kind: str) -> tuple[Texts, list[str]]:
    if kind == "ours":
        return (ours.to_yaml(rig),), []
    if kind in RECTIFIED:
        if isinstance(rig, RectifiedRig):
            return RECTIFIED[kind](rig), _losses(as_raw(rig), kind, RECTIFIED[kind](rig))
        grid = rectify_rig(rig).rig
        losses = ["lenses and pose: the file describes the images after they were rectified by this program, not the raw ones"]
        return RECTIFIED[kind](grid), losses + _losses(as_raw(grid), kind, RECTIFIED[kind](grid)) + _verdict(rig)
    raw = as_raw(rig) if isinstance(rig, RectifiedRig) else rig
    texts = RAW[kind](raw)
    return texts, _losses(raw, kind, texts) + _verdict(raw)


def _verdict(rig: StereoRig) -> list[str]:
    """No other format has a place for it."""
    return [] if rig.verdict is None else [f"the verdict '{rig.verdict}'"]


def as_raw(rig: RectifiedRig) -> StereoRig:
    """Two ideal pinholes side by side, whose raw images are the rectified ones."""

    def eye(cx_px: float) -> CameraModel:
        return CameraModel(*rig.size, np.array([[rig.fx_px, 0, cx_px], [0, rig.fx_px, rig.cy_px], [0, 0, 1]]), np.zeros(0))

    return StereoRig(eye(rig.cx_px), eye(rig.cx_px + rig.doffs_px), np.eye(3), np.array([-rig.baseline_m, 0, 0]))


def _losses(rig: StereoRig, kind: str, texts: Texts) -> list[str]:
    """What reading the texts gives otherwise than `rig`. Raises CalibrationError when that is too much."""
    names = ("left", "right") if len(texts) == 2 else (rig.name,)
    documents = tuple(Document(Path(name), text) for name, text in zip(names, texts, strict=True))
    found = READERS[kind].read(documents, rig.size)
    back = as_raw(found) if isinstance(found, RectifiedRig) else found
    losses = []
    for eye in ("left", "right"):
        before, after = getattr(rig, eye), getattr(back, eye)
        off_px = _difference_px(before, after)
        if off_px > LARGEST_LOSS_PX or before.model != after.model:
            raise CalibrationError(
                f"it has no place for all of the {eye} lens ({_missing(before, after)}), and without it pixels are off by "
                f"{off_px:.1f} px; take another format"
            )
        if off_px > EXACT_PX:
            losses.append(f"{_missing(before, after)} of the {eye} lens, by which pixels move {off_px:.2g} px at most")
    turned = np.arccos(np.clip((np.trace(back.R_right_left.T @ rig.R_right_left) - 1) / 2, -1, 1))
    moved_m = float(np.abs(back.T_right_left_m - rig.T_right_left_m).max())
    if np.abs(back.R_right_left - rig.R_right_left).max() > EXACT_RAD or moved_m > EXACT_M:
        losses.append(f"the pose, by {np.degrees(turned):.2g} degrees and {1000 * moved_m:.2g} mm")
    return losses


def _missing(before: CameraModel, after: CameraModel) -> str:
    names = ("k1", "k2", "k3", "k4") if before.model == "fisheye" else COEFFICIENTS
    size = max(before.dist.size, after.dist.size)
    a, b = (np.pad(camera.dist, (0, size - camera.dist.size)) for camera in (before, after))
    lost = [names[n] for n in np.flatnonzero(a != b)] + (["skew"] if before.K[0, 1] != after.K[0, 1] else [])
    return ", ".join(lost) or "the matrix"


def _difference_px(before: CameraModel, after: CameraModel) -> float:
    """The farthest that any ray's pixel moves, where the first lens model can be inverted."""
    x, y = np.meshgrid(np.linspace(0, before.width - 1, 15), np.linspace(0, before.height - 1, 11))
    pixels = np.stack([x.ravel(), y.ravel()], axis=-1)
    rays = lens.unproject(before, pixels)
    moved = np.linalg.norm(lens.project(after, rays) - lens.project(before, rays), axis=1)
    return float(np.nanmax(moved)) if np.isfinite(moved).any() else float("inf")
