"""ROS camera_info: one YAML file an eye, given as left.yaml,right.yaml or either of two files named left and right.

Recordings hold the same fields in messages; rosmsg.py brings them here and back.

The pose is in the rectification: x_rect = R_eye x_eye, and P_right[0, 3] = -fx * B (sensor_msgs/CameraInfo).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from ...errors import CalibrationError
from ...geometry import RectifiedRig
from ..rectify import rectify_rig
from ..rig import CameraModel, Distortion, StereoRig
from .document import Document
from .fields import Fields, pixels

NAME = "ROS camera_info"
MODELS: dict[str, Distortion] = {
    "plumb_bob": "pinhole",
    "rational_polynomial": "pinhole",
    "equidistant": "fisheye",
    "fisheye": "fisheye",
}


def recognises(document: Document) -> bool:
    return "camera_matrix" in document.tree and "projection_matrix" in document.tree


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig:
    if len(documents) == 1:
        documents = _pair(documents[0])
    left, right = (Fields(d.tree) for d in documents)
    return stereo_rig(left, right, name=documents[0].path.stem)


def stereo_rig(left: Fields, right: Fields, *, name: str) -> StereoRig:
    """The raw pair that two eyes' fields describe. Raises CalibrationError."""
    R_left, R_right = (_matrix(eye, "rectification_matrix", 9).reshape(3, 3) for eye in (left, right))
    shift_left, shift_right = (_shift_m(eye) for eye in (left, right))
    T_rect = np.array([[shift_right - shift_left], [0], [0]])
    # x_rect is common to both eyes up to T_rect: R_right x_right = R_left x_left + T_rect.
    return StereoRig(_camera(left), _camera(right), R_right.T @ R_left, R_right.T @ T_rect, name=name)


def rectified_rig(left: Fields, right: Fields) -> RectifiedRig:
    """The grid of the rectified images, which the projections alone describe. Raises CalibrationError."""
    P_left, P_right = (_projection(eye) for eye in (left, right))
    return RectifiedRig(
        *_size(left),
        fx_px=float(P_left[0, 0]),
        cx_px=float(P_left[0, 2]),
        cy_px=float(P_left[1, 2]),
        baseline_m=_shift_m(left) - _shift_m(right),
        doffs_px=float(P_right[0, 2] - P_left[0, 2]),
    )


def camera_infos(rig: StereoRig | RectifiedRig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the left and the right eye; stereo_rig and rectified_rig read them. Raises CalibrationError."""
    if isinstance(rig, RectifiedRig):
        K = np.array([[rig.fx_px, 0, rig.cx_px], [0, rig.fx_px, rig.cy_px], [0, 0, 1]])
        K_right = np.array([[rig.fx_px, 0, rig.cx_px + rig.doffs_px], *K[1:]])
        left, right = (CameraModel(*rig.size, matrix, np.zeros(5)) for matrix in (K, K_right))
        return _info(left, np.eye(3), rig), _info(right, np.eye(3), rig, right_eye=True)
    rectification = rectify_rig(rig)
    return (
        _info(rig.left, rectification.R_left, rectification.rig),
        _info(rig.right, rectification.R_right, rectification.rig, right_eye=True),
    )


def _info(camera: CameraModel, R: np.ndarray, grid: RectifiedRig, *, right_eye: bool = False) -> dict[str, Any]:
    cx, tx = (grid.cx_px + grid.doffs_px, -grid.fx_px * grid.baseline_m) if right_eye else (grid.cx_px, 0.0)
    P = np.array([[grid.fx_px, 0, cx, tx], [0, grid.fx_px, grid.cy_px, 0], [0, 0, 1, 0]])
    dist = camera.dist if camera.dist.size > 4 or camera.model == "fisheye" else np.pad(camera.dist, (0, 5 - camera.dist.size))
    model = "equidistant" if camera.model == "fisheye" else "plumb_bob" if dist.size == 5 else "rational_polynomial"
    return {
        "image_width": camera.width,
        "image_height": camera.height,
        "distortion_model": model,
        "distortion_coefficients": {"data": dist.tolist()},
        "camera_matrix": {"data": camera.K.ravel().tolist()},
        "rectification_matrix": {"data": R.ravel().tolist()},
        "projection_matrix": {"data": P.ravel().tolist()},
    }


def _pair(document: Document) -> tuple[Document, Document]:
    partner = document.partner("left", "right")
    if partner is None:
        raise CalibrationError("holds one eye only, and no left/right partner lies beside it; pass left.yaml,right.yaml")
    return (document, partner) if "left" in document.path.name else (partner, document)


def _camera(eye: Fields) -> CameraModel:
    name = eye.text("distortion_model")
    if name not in MODELS:
        raise CalibrationError(f"its distortion model is none of {', '.join(MODELS)}; calibrate with one of these")
    dist = _matrix(eye, "distortion_coefficients")
    return CameraModel(*_size(eye), K=_matrix(eye, "camera_matrix", 9), dist=dist, model=MODELS[name])


def _size(eye: Fields) -> tuple[int, int]:
    return pixels(eye.number("image_width"), "image_width"), pixels(eye.number("image_height"), "image_height")


def _shift_m(eye: Fields) -> float:
    P = _projection(eye)
    return float(P[0, 3] / P[0, 0])


def _projection(eye: Fields) -> np.ndarray:
    """(3, 4)."""
    P = _matrix(eye, "projection_matrix", 12).reshape(3, 4)
    if P[0, 0] <= 0:
        raise CalibrationError("the focal length in 'projection_matrix' must be positive; calibrate the pair together")
    return P


def _matrix(eye: Fields, key: str, *counts: int) -> np.ndarray:
    return eye.section(key).numbers("data", *counts)


def write(rig: StereoRig) -> tuple[str, ...]:
    """The left and the right eye's file, as camera_calibration_parsers lays them out. Raises CalibrationError."""
    shapes = {"camera_matrix": (3, 3), "rectification_matrix": (3, 3), "projection_matrix": (3, 4)}
    texts = []
    for name, info in zip(("left", "right"), camera_infos(rig), strict=True):
        tree = {"camera_name": name} | info
        for key in (*shapes, "distortion_coefficients"):
            rows, cols = shapes.get(key, (1, len(info[key]["data"])))
            tree[key] = {"rows": rows, "cols": cols, "data": info[key]["data"]}
        texts.append(yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=120))
    return tuple(texts)
