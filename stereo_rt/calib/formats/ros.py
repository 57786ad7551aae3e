"""ROS camera_info: one YAML file an eye, given as left.yaml,right.yaml or either of two files named left and right.

The pose is in the rectification: x_rect = R_eye x_eye, and P_right[0, 3] = -fx * B (sensor_msgs/CameraInfo).
"""

from __future__ import annotations

import numpy as np

from ...errors import CalibrationError
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
    R_left, R_right = (_matrix(eye, "rectification_matrix", 9).reshape(3, 3) for eye in (left, right))
    shift_left, shift_right = (_shift_m(eye) for eye in (left, right))
    T_rect = np.array([[shift_right - shift_left], [0], [0]])
    # x_rect is common to both eyes up to T_rect: R_right x_right = R_left x_left + T_rect.
    return StereoRig(_camera(left), _camera(right), R_right.T @ R_left, R_right.T @ T_rect, name=documents[0].path.stem)


def _pair(document: Document) -> tuple[Document, Document]:
    partner = document.partner("left", "right")
    if partner is None:
        raise CalibrationError("holds one eye only, and no left/right partner lies beside it; pass left.yaml,right.yaml")
    return (document, partner) if "left" in document.path.name else (partner, document)


def _camera(eye: Fields) -> CameraModel:
    name = eye.text("distortion_model")
    if name not in MODELS:
        raise CalibrationError(f"its distortion model is none of {', '.join(MODELS)}; calibrate with one of these")
    size = pixels(eye.number("image_width"), "image_width"), pixels(eye.number("image_height"), "image_height")
    dist = _matrix(eye, "distortion_coefficients")
    return CameraModel(*size, K=_matrix(eye, "camera_matrix", 9), dist=dist, model=MODELS[name])


def _shift_m(eye: Fields) -> float:
    P = _matrix(eye, "projection_matrix", 12).reshape(3, 4)
    if P[0, 0] <= 0:
        raise CalibrationError("the focal length in 'projection_matrix' must be positive; calibrate the pair together")
    return float(P[0, 3] / P[0, 0])


def _matrix(eye: Fields, key: str, *counts: int) -> np.ndarray:
    return eye.section(key).numbers("data", *counts)
