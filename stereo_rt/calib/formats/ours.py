"""Our own YAML: everything a rig knows, with units in the key names.

format: stereo_rt rig, version: 1, and either `left`, `right`, `R_right_left`, `T_right_left_m` (a raw pair; a point
x_left is x_right = R x_left + T in the right camera's frame) or `rectified` (a pair that is rectified already).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml

from ...atomic import write_bytes
from ...errors import CalibrationError
from ...geometry import RectifiedRig
from ..rig import CameraModel, Distortion, StereoRig
from .document import Document
from .fields import Fields

NAME = "stereo_rt YAML"
FORMAT = "stereo_rt rig"
VERSION = 1
VERDICTS = ("good", "improve", "usable", "redo")
_RECTIFIED = ("fx_px", "cx_px", "cy_px", "baseline_m", "doffs_px")


def recognises(document: Document) -> bool:
    return document.tree.get("format") == FORMAT


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig | RectifiedRig:
    fields = Fields(documents[0].tree)
    if (version := fields.integer("version")) > VERSION:
        raise CalibrationError(f"is of version {version}, and this program reads up to {VERSION}; update it")
    if "rectified" in fields:
        rectified = fields.section("rectified")
        width, height = rectified.size("image_size")
        return RectifiedRig(width, height, **{key: rectified.number(key) for key in _RECTIFIED})
    verdict = fields.text("verdict") if "verdict" in fields else None
    if verdict not in (None, *VERDICTS):
        raise CalibrationError(f"'verdict' must be one of {', '.join(VERDICTS)}")
    return StereoRig(
        _camera(fields.section("left")),
        _camera(fields.section("right")),
        fields.numbers("R_right_left", 9),
        fields.numbers("T_right_left_m", 3),
        name=fields.text("name") if "name" in fields else documents[0].path.stem,
        verdict=verdict,
    )


def write_calibration(rig: StereoRig | RectifiedRig, path: Path) -> None:
    """Write the rig as our YAML: the whole file or none. read_calibration gives back equal numbers. Raises OutputError."""
    write_bytes(Path(path), to_yaml(rig).encode())


def from_yaml(text: str, name: str) -> StereoRig | RectifiedRig:
    """The rig in our YAML, from wherever it was kept. Raises CalibrationError."""
    return read((Document(Path(name), text),), None)


def to_yaml(rig: StereoRig | RectifiedRig) -> str:
    """The rig as our YAML."""
    tree: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    if isinstance(rig, RectifiedRig):
        tree["rectified"] = {"image_size": list(rig.size), **{key: float(getattr(rig, key)) for key in _RECTIFIED}}
    else:
        tree |= {"name": rig.name} | ({"verdict": rig.verdict} if rig.verdict else {})
        tree |= {"left": _plain(rig.left), "right": _plain(rig.right)}
        tree |= {"R_right_left": rig.R_right_left.tolist(), "T_right_left_m": rig.T_right_left_m.tolist()}
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=120)


def _camera(fields: Fields) -> CameraModel:
    model = fields.text("model")
    if model not in get_args(Distortion):
        raise CalibrationError(f"'{fields.where}model' must be one of {', '.join(get_args(Distortion))}")
    return CameraModel(
        *fields.size("image_size"),
        K=fields.numbers("K_px", 9),
        dist=fields.numbers("distortion"),
        model="fisheye" if model == "fisheye" else "pinhole",
    )


def _plain(camera: CameraModel) -> dict[str, Any]:
    return {
        "model": camera.model,
        "image_size": list(camera.size),
        "K_px": camera.K.tolist(),
        "distortion": camera.dist.tolist(),
    }
