"""DepthAI (OAK) calibration JSON, the dump of the camera's EEPROM. Translations are in cm.

extrinsics of camera i take a point of its frame to the frame of `toCameraSocket`; the chain between the two eyes is
composed, in either direction. The pair is the one named in stereoRectificationData, else sockets 1 and 2 (CAM_B, CAM_C).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ...errors import CalibrationError
from ..rectify import rectifying_rotations
from ..rig import CameraModel, Distortion, StereoRig
from .document import Document
from .fields import Fields, intrinsic_matrix, pixels

NAME = "OAK/DepthAI JSON"
MODELS: dict[int, Distortion] = {0: "pinhole", 1: "fisheye"}
Pose = tuple[np.ndarray, np.ndarray]


def recognises(document: Document) -> bool:
    return "cameraData" in document.tree


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig:
    board = Fields(documents[0].tree)
    cameras = _cameras(board)
    left, right = _stereo_pair(board)
    for socket in (left, right):
        if socket not in cameras:
            raise CalibrationError(f"has no camera on socket {socket}, where the stereo pair should be")
    R, T_cm = _pose(cameras, left, right)
    name = board.text("boardName") if "boardName" in board else documents[0].path.stem
    return StereoRig(_camera(cameras[left]), _camera(cameras[right]), R, T_cm / 100, name=name)


def _cameras(board: Fields) -> dict[int, Fields]:
    """Socket -> camera. The file has a list of [socket, camera]."""
    entries = board.value("cameraData")
    if not isinstance(entries, list) or not all(isinstance(e, list) and len(e) == 2 for e in entries):
        raise CalibrationError("'cameraData' must be a list of [socket, camera]; the file looks damaged")
    pairs = [Fields({"socket": socket, "camera": camera}, "cameraData.") for socket, camera in entries]
    return {pair.integer("socket"): pair.section("camera") for pair in pairs}


def _stereo_pair(board: Fields) -> tuple[int, int]:
    if "stereoRectificationData" in board:
        stereo = board.section("stereoRectificationData")
        left, right = stereo.integer("leftCameraSocket"), stereo.integer("rightCameraSocket")
        if left >= 0 and right >= 0:
            return left, right
    return 1, 2


def _pose(cameras: dict[int, Fields], left: int, right: int) -> Pose:
    """(R, T) with x_right = R x_left + T, in cm: breadth first over the links between sockets."""
    links: dict[int, list[tuple[int, Pose]]] = {socket: [] for socket in cameras}
    for socket, camera in cameras.items():
        target = camera.section("extrinsics").integer("toCameraSocket")
        if target in cameras:
            R, T = _extrinsics(camera.section("extrinsics"))
            links[socket].append((target, (R, T)))
            links[target].append((socket, (R.T, -R.T @ T)))
    known: dict[int, Pose] = {left: (np.eye(3), np.zeros((3, 1)))}
    frontier = [left]
    while frontier:
        socket = frontier.pop(0)
        R, T = known[socket]
        for target, (R_link, T_link) in links[socket]:
            if target not in known:
                known[target] = R_link @ R, R_link @ T + T_link
                frontier.append(target)
    if right not in known:
        raise CalibrationError(f"no chain of extrinsics leads from socket {left} to socket {right}; calibrate the camera again")
    return known[right]


def _extrinsics(fields: Fields) -> Pose:
    shift = fields.section("translation")
    T = np.array([[shift.number("x")], [shift.number("y")], [shift.number("z")]])
    return fields.numbers("rotationMatrix", 9).reshape(3, 3), T


def _camera(fields: Fields) -> CameraModel:
    kind = fields.integer("cameraType") if "cameraType" in fields else 0
    if kind not in MODELS:
        raise CalibrationError("a camera of the pair is neither perspective nor fisheye; only these two models are read")
    size = pixels(fields.number("width"), "width"), pixels(fields.number("height"), "height")
    dist = fields.numbers("distortionCoeff")
    fx, _, cx, _, fy, cy, *_ = fields.numbers("intrinsicMatrix", 9)
    return CameraModel(*size, K=intrinsic_matrix(fx, fy, cx, cy), dist=dist[:4] if kind == 1 else dist, model=MODELS[kind])


def write(rig: StereoRig) -> tuple[str, ...]:
    """The pair on sockets 1 and 2, linked to each other, as in the EEPROM; the skew is not carried."""
    link = _link(2, rig.R_right_left, rig.T_right_left_m * 100)
    end = _link(-1, np.zeros((3, 3)), np.zeros((3, 1)))
    rotations = rectifying_rotations(rig.R_right_left, rig.T_right_left_m)
    tree = {
        "boardName": rig.name,
        "cameraData": [[1, _entry(rig.left, link)], [2, _entry(rig.right, end)]],
        "stereoRectificationData": {
            "leftCameraSocket": 1,
            "rightCameraSocket": 2,
            "rectifiedRotationLeft": rotations[0].tolist(),
            "rectifiedRotationRight": rotations[1].tolist(),
        },
        "version": 6,
    }
    return (json.dumps(tree, indent=1) + "\n",)


def _entry(eye: CameraModel, extrinsics: dict[str, Any]) -> dict[str, Any]:
    K = eye.K.copy()
    K[0, 1] = 0.0
    return {
        "cameraType": 1 if eye.model == "fisheye" else 0,
        "width": eye.width,
        "height": eye.height,
        "intrinsicMatrix": K.tolist(),
        "distortionCoeff": np.pad(eye.dist, (0, 14 - eye.dist.size)).tolist(),
        "extrinsics": extrinsics,
    }


def _link(socket: int, R: np.ndarray, T_cm: np.ndarray) -> dict[str, Any]:
    shift = dict(zip("xyz", map(float, T_cm.ravel()), strict=True))
    return {"rotationMatrix": R.tolist(), "translation": shift, "specTranslation": shift, "toCameraSocket": socket}
