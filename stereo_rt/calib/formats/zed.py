"""ZED SN*.conf: one section an eye and resolution, and [STEREO] with the pose; millimetres and radians.

Stereolabs' calibration tool writes Baseline = -T_x, TY = T_y, TZ = T_z of OpenCV's T, and the rotation vector as
RX, CV, RZ, the last three (and at times TY, TZ) once a resolution.
"""

from __future__ import annotations

import configparser
import re

import cv2
import numpy as np

from ...errors import CalibrationError
from ..rig import CameraModel, Distortion, StereoRig
from .document import Document
from .fields import Fields, intrinsic_matrix

NAME = "ZED SN*.conf"
SIZES = {
    "2K": (2208, 1242),
    "FHD": (1920, 1080),
    "HD": (1280, 720),
    "VGA": (672, 376),
    "FHD1200": (1920, 1200),
    "SVGA": (960, 600),
    "4K": (3840, 2160),
    "QHDPLUS": (3200, 1800),
}
"""(width, height) of one eye's image in each of the cameras' modes."""


def recognises(document: Document) -> bool:
    return re.search(r"^[ \t]*\[(LEFT|RIGHT)_CAM_", document.text, re.MULTILINE | re.IGNORECASE) is not None


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig:
    conf = Fields(_sections(documents[0].text))
    mode = _mode(conf, frame_size)
    stereo = conf.section("STEREO")

    def of_mode(key: str) -> float:
        return stereo.number(f"{key}_{mode}".lower(), stereo.number(key.lower(), 0.0))

    T_mm = np.array([-stereo.number("baseline"), of_mode("TY"), of_mode("TZ")])
    R = cv2.Rodrigues(np.array([of_mode("RX"), of_mode("CV"), of_mode("RZ")]))[0]
    left, right = (_camera(conf, eye, mode) for eye in ("LEFT", "RIGHT"))
    return StereoRig(left, right, R, T_mm / 1000, name=documents[0].path.stem)


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Section (upper case) -> key (lower case) -> value."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        raise CalibrationError("is not a valid .conf file; the file looks truncated or damaged, copy it again") from None
    return {name.upper(): dict(parser[name]) for name in parser.sections()}


def _mode(conf: Fields, frame_size: tuple[int, int] | None) -> str:
    """The resolution whose frames these are; without frames 1080p, or else the first in the file."""
    modes = [mode for mode in SIZES if f"LEFT_CAM_{mode}" in conf]
    if frame_size is None and modes:
        return "FHD" if "FHD" in modes else modes[0]
    for mode in modes:
        if SIZES[mode] == frame_size:
            return mode
    known = ", ".join("{}x{}".format(*SIZES[mode]) for mode in modes) or "no mode we know"
    wanted = "{}x{} frames".format(*frame_size) if frame_size else "any frames"
    raise CalibrationError(f"is for {known}, not for {wanted}; record in one of its modes")


def _camera(conf: Fields, eye: str, mode: str) -> CameraModel:
    cam = conf.section(f"{eye}_CAM_{mode}")
    lens = conf.section(f"{eye}_DISTO") if f"{eye}_DISTO" in conf else cam
    names = ["k1", "k2", "p1", "p2", "k3"]
    model: Distortion = "pinhole"
    if "k4" in lens and "p1" not in lens:
        names, model = ["k1", "k2", "k3", "k4"], "fisheye"
    elif "k4" in lens:
        names += ["k4", "k5", "k6"]
    K = intrinsic_matrix(*(cam.number(key) for key in ("fx", "fy", "cx", "cy")))
    return CameraModel(*SIZES[mode], K=K, dist=np.array([lens.number(key) for key in names]), model=model)


def write(rig: StereoRig) -> tuple[str, ...]:
    """One mode of a .conf; neither the skew nor a thin prism is carried. Raises CalibrationError for a size no mode has."""
    mode = next((mode for mode, size in SIZES.items() if size == rig.left.size == rig.right.size), None)
    if mode is None:
        known = ", ".join("{}x{}".format(*size) for size in SIZES.values())
        raise CalibrationError("no mode of a ZED has images of {}x{}, only {}".format(*rig.size, known))
    lines = []
    for name, eye in (("LEFT", rig.left), ("RIGHT", rig.right)):
        K = {"fx": eye.K[0, 0], "fy": eye.K[1, 1], "cx": eye.K[0, 2], "cy": eye.K[1, 2]}
        fisheye = eye.model == "fisheye"
        names = (
            ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")[: max(5, eye.dist.size)]
        )
        dist = np.pad(eye.dist, (0, max(0, len(names) - eye.dist.size)))
        lines += [
            f"[{name}_CAM_{mode}]",
            *(f"{key}={float(v)!r}" for key, v in (*K.items(), *zip(names, dist, strict=False))),
            "",
        ]
    x, y, z = (float(v) for v in rig.T_right_left_m.ravel() * 1000)
    turn = zip(("RX", "CV", "RZ"), cv2.Rodrigues(rig.R_right_left)[0].ravel(), strict=True)
    lines += ["[STEREO]", f"Baseline={-x!r}", f"TY={y!r}", f"TZ={z!r}", *(f"{key}_{mode}={float(v)!r}" for key, v in turn)]
    return ("\n".join(lines) + "\n",)
