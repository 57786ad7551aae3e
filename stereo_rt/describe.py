"""What a file is and holds, in a few facts: every kind that the commands read or write."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .calib.formats import read_calibration
from .calib.rectify import rectify_rig
from .calib.rig import StereoRig
from .datasets.ours import find_scenes
from .errors import SourceError, StereoError
from .geometry import RectifiedRig
from .matchers.models import find_model, shipped_models
from .sinks import files
from .sinks.folder import FRAME_FORMATS, units
from .sinks.manifest import NAME, read_manifest
from .sinks.ply import read_ply
from .sources import open_source
from .sources.bag import open_bag
from .sources.clip import open_clip
from .sources.uri import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Facts = dict[str, Any]
"""Plain values by name, 'kind' first; names end in their unit."""

SIGMA_AT_M = (1.0, 2.0, 5.0, 10.0)


def describe(text: str) -> Facts:
    """The facts of a file, an output folder, or a SOURCE. Raises StereoError: one sentence."""
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _kind_of(path)(path)
    if "://" in text or ("," in text and not _calibration_pair(text)):
        return _source(text)
    if "," in text:
        return _calibration(path)
    if "?" in text:
        return _source(text)
    raise StereoError(f"{text}: there is no such file; check the path")


def _kind_of(path: Path) -> Callable[[Path], Facts]:
    suffix = path.suffix.lower()
    by_suffix: dict[str, Callable[[Path], Facts]] = {
        ".pfm": _pfm,
        ".npz": _npz,
        ".ply": _ply,
        ".onnx": _network,
        ".json": _json,
        ".mcap": _bag,
        ".bag": _bag,
    }
    if suffix in VIDEO_SUFFIXES:
        return _video
    return by_suffix.get(suffix, _image if suffix in IMAGE_SUFFIXES else _calibration)


def _folder(path: Path) -> Facts:
    if (path / NAME).is_file():
        return _manifest(path / NAME)
    if any(next(path.glob(f"{depth}meta.json"), None) for depth in ("", "*/", "*/*/")):
        return _dataset(path)
    raise StereoError(f"{path}: is a folder without {NAME}; name a file in it, or two folders as LEFT,RIGHT")


def _dataset(path: Path) -> Facts:
    """Scenes as `eval` reads them, and `distill` writes them; one of them, or a tree."""
    scenes = find_scenes(path)
    facts: Facts = {"kind": "dataset of pairs with disparity", "pairs": len(scenes)}
    if len(scenes) == 1:
        facts |= {"disparity": str(scenes[0].encoding["file"])} | _values(scenes[0].truth_px(), "px")
    labels = [scene.about.get("label") for scene in scenes]
    if labelled := [found for found in labels if isinstance(found, dict)]:
        facts["labelled_by"] = sorted({str(found.get("teacher")) for found in labelled})
        facts["kept"] = round(float(np.mean([float(found.get("kept", 0)) for found in labelled])), 4)
    return facts


def _pfm(path: Path) -> Facts:
    return {"kind": "disparity map (PFM)"} | _values(files.read_pfm(path), "px")


def _npz(path: Path) -> Facts:
    arrays = files.read_npz(path)
    facts: Facts = {"kind": "arrays (NPZ)"}
    for name, values in arrays.items():
        plain_map = values.ndim == 2 and values.dtype.kind in "fiu"
        unit = name.rpartition("_")[2] if "_" in name else ""
        facts[name] = _values(values, unit) if plain_map else {"shape": list(values.shape), "type": str(values.dtype)}
    return facts


def _image(path: Path) -> Facts:
    image = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise StereoError(f"{path}: is not a whole image; write or copy it again")
    facts: Facts = {"kind": "image", "size": _size(image), "channels": 1 if image.ndim == 2 else image.shape[2]}
    facts["bits"] = image.dtype.itemsize * 8
    if image.dtype != np.uint16 or image.ndim != 2:
        return facts
    meaning = _meaning(path)
    if meaning is None:
        return facts | {"min": int(image.min()), "max": int(image.max()), "unit": "unknown: no manifest.json beside it"}
    zero_is_invalid = meaning.get("invalid") == 0
    scaled = image.astype(np.float32) * np.float32(meaning["scale"])
    values = np.where(image > 0, scaled, np.float32(np.nan)) if zero_is_invalid else scaled
    return {"kind": f"{meaning['quantity']} map (16-bit PNG)"} | _values(values, meaning.get("unit", ""))


def _meaning(path: Path) -> Facts | None:
    """What the numbers in an output folder's PNG mean, from its manifest; else by the name of its folder."""
    folder = path.resolve().parent
    manifest = folder.parent / NAME
    known = read_manifest(manifest).get("units") if manifest.is_file() else units(tuple(FRAME_FORMATS))
    for about in known.values() if isinstance(known, dict) else ():
        if isinstance(about, dict) and str(about.get("files", "")) == f"{folder.name}/*.png":
            return about if isinstance(about.get("scale"), (int, float)) and "quantity" in about else None
    return None


def _values(values: np.ndarray, unit: str) -> Facts:
    valid = values[np.isfinite(values)]
    facts: Facts = {"size": _size(values), "valid": round(valid.size / max(values.size, 1), 4)}
    if valid.size:
        facts |= {name: _round(f(valid)) for name, f in (("min", np.min), ("median", np.median), ("max", np.max))}
    return facts | ({"unit": unit} if unit else {})


def _ply(path: Path) -> Facts:
    cloud = read_ply(path)
    facts: Facts = {"kind": "point cloud (PLY)", "points": len(cloud.points_m)}
    finite = cloud.points_m[np.isfinite(cloud.points_m).all(axis=1)]
    if len(finite):
        bounds = zip("xyz", finite.min(axis=0), finite.max(axis=0), strict=True)
        facts |= {f"{axis}_m": [_round(low), _round(high)] for axis, low, high in bounds}
    return facts


def _video(path: Path) -> Facts:
    clip = open_clip(str(path))
    try:
        if clip.read() is None:
            raise SourceError(f"{path}: is a video without a frame that can be decoded; copy or record it again")
    finally:
        clip.close()
    facts: Facts = {"kind": "video", "size": list(clip.size), "fps": clip.fps and _round(clip.fps), "frames": clip.length}
    if clip.fps and clip.length:
        facts["duration_s"] = _round(clip.length / clip.fps)
    capture = cv2.VideoCapture(str(path))
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    capture.release()
    return facts | {"codec": fourcc.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ") or None}


def _bag(path: Path) -> Facts:
    bag = open_bag(str(path))
    try:
        facts: Facts = {"kind": f"recording of ROS messages ({path.suffix[1:].upper()})"}
        facts["duration_s"] = None if bag.duration_s is None else _round(bag.duration_s)
        facts["topics"] = {
            name: topic.kind if topic.count is None else f"{topic.kind}, {topic.count}"
            for name, topic in sorted(bag.topics.items())
        }
    finally:
        bag.close()
    try:
        return facts | {"stereo": _source(str(path))}
    except SourceError as e:
        return facts | {"stereo": str(e)}


def _json(path: Path) -> Facts:
    try:
        read_manifest(path)
    except StereoError:
        return _calibration(path)
    return _manifest(path)


def _manifest(path: Path) -> Facts:
    tree = read_manifest(path)
    frames = tree["frames"]
    facts: Facts = {"kind": "output of stereo-rt process", "source": tree.get("source"), "frames": len(frames)}
    if frames:
        facts["indices"] = [min(f["index"] for f in frames), max(f["index"] for f in frames)]
        densities = [f["density"] for f in frames if isinstance(f.get("density"), (int, float))]
        facts["valid"] = round(float(np.mean(densities)), 4) if densities else None
        facts["formats"] = sorted({name for f in frames for name in f["files"]})
    for name in ("model", "calibration"):
        if isinstance(tree.get(name), dict):
            facts[name] = tree[name]
    return facts | {"stereo_rt": tree.get("stereo_rt")}


def _calibration(path: Path) -> Facts:
    rig = read_calibration(path)
    if isinstance(rig, RectifiedRig):
        return {"kind": "calibration of a rectified pair"} | _rectified(rig)
    facts: Facts = {"kind": "calibration of a raw pair", "name": rig.name, "size": list(rig.size)}
    for eye, camera in (("left", rig.left), ("right", rig.right)):
        facts[eye] = {
            "fx_px": _round(camera.K[0, 0]),
            "fy_px": _round(camera.K[1, 1]),
            "center_px": [_round(camera.K[0, 2]), _round(camera.K[1, 2])],
            "distortion": f"{camera.model}, {camera.dist.size} coefficients",
        }
    facts |= {"baseline_m": _round(rig.baseline_m), "turn_deg": _round(_angle_deg(rig)), "verdict": rig.verdict or "none given"}
    return facts | {"rectified": _rectified(rectify_rig(rig).rig)}


def _rectified(rig: RectifiedRig) -> Facts:
    sigma = {f"{z:g}": _round(float(rig.depth_sigma_m(rig.disparity_px(np.array([z])))[0])) for z in SIGMA_AT_M}
    return {
        "size": list(rig.size),
        "fx_px": _round(rig.fx_px),
        "center_px": [_round(rig.cx_px), _round(rig.cy_px)],
        "doffs_px": _round(rig.doffs_px),
        "baseline_m": _round(rig.baseline_m),
        "fov_deg": [_round(math.degrees(2 * math.atan(n / 2 / rig.fx_px))) for n in rig.size],
        "depth_sigma_m_at_m": sigma,
    }


def _angle_deg(rig: StereoRig) -> float:
    """How far the right eye is turned against the left one: trace(R) = 1 + 2 cos(angle)."""
    return math.degrees(math.acos(float(np.clip((np.trace(rig.R_right_left) - 1) / 2, -1, 1))))


def _network(path: Path) -> Facts:
    from .matchers.onnx import open_session

    session = open_session(path, "cpu", 1)
    found = find_model(str(path))
    shipped = [name for name, entry in shipped_models().items() if entry["sha256"] == found.sha256]
    return {
        "kind": "network (ONNX)",
        "shipped_as": shipped[0] if shipped else "not shipped",
        "inputs": {t.name: t.shape for t in session.get_inputs()},
        "outputs": {t.name: t.shape for t in session.get_outputs()},
        "metadata": dict(session.get_modelmeta().custom_metadata_map),
        "sha256": found.sha256,
    }


def _source(text: str) -> Facts:
    source = open_source(text)
    try:
        own = source.calibration
        return {
            "kind": "live source" if source.live else "recorded source",
            "name": source.name,
            "size": list(source.size),
            "fps": source.fps and _round(source.fps),
            "frames": source.length,
            "calibration": "none; pass --calib FILE to use it" if own is None else f"its own, baseline {own.baseline_m:.6g} m",
        }
    finally:
        source.close()


def _calibration_pair(text: str) -> bool:
    """Whether LEFT,RIGHT are two calibration files rather than two recordings."""
    parts = [Path(part.strip()) for part in text.split(",")]
    return len(parts) == 2 and all(p.is_file() and p.suffix.lower() in (".yaml", ".yml", ".xml", ".txt") for p in parts)


def _size(values: np.ndarray) -> list[int]:
    """[width, height]."""
    return [values.shape[1], values.shape[0]]


def _round(value: float) -> float:
    """Six digits: enough to check by eye."""
    return float(f"{float(value):.6g}")
