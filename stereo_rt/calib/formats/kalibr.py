"""Kalibr camchain: cam0 is the left eye, cam1 the right; metres. Other cameras of the chain are not used."""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from ...errors import CalibrationError
from ..rig import CameraModel, Distortion, StereoRig
from .document import Document
from .fields import Fields, intrinsic_matrix, rigid

NAME = "Kalibr camchain"
MODELS: dict[str, Distortion] = {"radtan": "pinhole", "none": "pinhole", "equidistant": "fisheye"}


def recognises(document: Document) -> bool:
    cam0 = document.tree.get("cam0")
    return isinstance(cam0, dict) and "intrinsics" in cam0


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig:
    chain = Fields(documents[0].tree)
    left, right = chain.section("cam0"), chain.section("cam1")
    R, T = _pose(left, right)
    return StereoRig(_camera(left), _camera(right), R, T, name=documents[0].path.stem)


def _pose(left: Fields, right: Fields) -> tuple[np.ndarray, np.ndarray]:
    """x_right = R x_left + T, from T_cn_cnm1 (previous camera to this one) or else by way of the IMU."""
    if "T_cn_cnm1" in right:
        return rigid(right.numbers("T_cn_cnm1", 16))
    R_left, T_left = rigid(left.numbers("T_cam_imu", 16))
    R_right, T_right = rigid(right.numbers("T_cam_imu", 16))
    R = R_right @ R_left.T
    return R, T_right - R @ T_left


def _camera(cam: Fields) -> CameraModel:
    camera, distortion = cam.text("camera_model"), cam.text("distortion_model")
    if camera != "pinhole" or distortion not in MODELS:
        raise CalibrationError(
            f"'{cam.where}' is not pinhole with one of {', '.join(MODELS)}; calibrate with pinhole-radtan or pinhole-equi"
        )
    coefficients = cam.numbers("distortion_coeffs") if distortion != "none" else np.zeros(0)
    K = intrinsic_matrix(*cam.numbers("intrinsics", 4))
    return CameraModel(*cam.size("resolution"), K=K, dist=coefficients, model=MODELS[distortion])


def write(rig: StereoRig) -> tuple[str, ...]:
    """A camchain; of a pinhole lens radtan carries k1 k2 p1 p2 only, and the skew is not carried."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3:] = rig.R_right_left, rig.T_right_left_m
    tree: dict[str, dict[str, Any]] = {}
    for n, eye in enumerate((rig.left, rig.right)):
        tree[f"cam{n}"] = {
            "cam_overlaps": [1 - n],
            "camera_model": "pinhole",
            "distortion_coeffs": np.pad(eye.dist[:4], (0, max(0, 4 - eye.dist.size))).tolist(),
            "distortion_model": "equidistant" if eye.model == "fisheye" else "radtan",
            "intrinsics": [float(eye.K[0, 0]), float(eye.K[1, 1]), float(eye.K[0, 2]), float(eye.K[1, 2])],
            "resolution": list(eye.size),
            "rostopic": f"/cam{n}/image_raw",
        }
    tree["cam1"]["T_cn_cnm1"] = T.tolist()
    return (yaml.safe_dump(tree, default_flow_style=None, width=120),)
