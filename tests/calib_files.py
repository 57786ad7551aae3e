"""Calibration files in their true layouts, written from one rig, as other tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from stereo_rt.calib.rig import CameraModel, StereoRig

SIZE = (1280, 720)
ROTATION_VECTOR = np.array([0.002, -0.011, 0.004])
LEFT = CameraModel(
    *SIZE, np.array([[700.5, 0, 640.25], [0, 701.5, 355.75], [0, 0, 1]]), np.array([-0.17, 0.026, 3e-4, -2e-4, 1e-5])
)
RIGHT = CameraModel(
    *SIZE, np.array([[699.5, 0, 650.5], [0, 700.25, 361.5], [0, 0, 1]]), np.array([-0.16, 0.025, -1e-4, 4e-4, 0.0])
)
RIG = StereoRig(LEFT, RIGHT, cv2.Rodrigues(ROTATION_VECTOR)[0], np.array([-0.12, 4e-4, -9e-4]))
EYES = (LEFT, RIGHT)


def opencv(folder: Path, suffix: str = ".yml") -> Path:
    """As the stereo_calib sample names things, in one file; T in mm."""
    path = folder / f"stereo{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for i, eye in enumerate(EYES, start=1):
        storage.write(f"M{i}", eye.K)
        storage.write(f"D{i}", eye.dist[None])
    storage.write("R", RIG.R_right_left)
    storage.write("T", RIG.T_right_left_m * 1000)
    storage.write("image_width", SIZE[0])
    storage.write("image_height", SIZE[1])
    storage.release()
    return path


def ros(folder: Path) -> Path:
    """A pair of camera_info files; returns the left one."""
    R_left, R_right, P_left, P_right, *_ = cv2.stereoRectify(
        LEFT.K, LEFT.dist, RIGHT.K, RIGHT.dist, SIZE, RIG.R_right_left, RIG.T_right_left_m, alpha=0
    )
    for name, eye, R, P in (("left", LEFT, R_left, P_left), ("right", RIGHT, R_right, P_right)):
        matrices = {
            "camera_matrix": eye.K,
            "distortion_coefficients": eye.dist[None],
            "rectification_matrix": R,
            "projection_matrix": P,
        }
        text = (
            f"image_width: {SIZE[0]}\nimage_height: {SIZE[1]}\ncamera_name: narrow_stereo/{name}\ndistortion_model: plumb_bob\n"
        )
        for key, m in matrices.items():
            text += f"{key}:\n  rows: {m.shape[0]}\n  cols: {m.shape[1]}\n  data: {m.ravel().tolist()}\n"
        (folder / f"{name}.yaml").write_text(text)
    return folder / "left.yaml"


def kalibr(folder: Path, by_imu: bool = False) -> Path:
    T = np.eye(4)
    T[:3, :3], T[:3, 3:] = RIG.R_right_left, RIG.T_right_left_m
    T_left_imu = np.eye(4)
    T_left_imu[:3, :3], T_left_imu[:3, 3] = cv2.Rodrigues(np.array([0.1, 0.2, 1.5]))[0], (0.01, 0.02, 0.03)
    text = ""
    for i, eye in enumerate(EYES):
        K = eye.K
        text += f"cam{i}:\n  cam_overlaps: [{1 - i}]\n  camera_model: pinhole\n  distortion_model: radtan\n"
        text += f"  distortion_coeffs: {eye.dist[:4].tolist()}\n  intrinsics: {[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]}\n".replace(
            "np.float64", ""
        )
        text += f"  resolution: {list(SIZE)}\n  rostopic: /cam{i}/image_raw\n"
        if by_imu:
            text += f"  T_cam_imu: {((T if i else np.eye(4)) @ T_left_imu).ravel().tolist()}\n"
        elif i:
            text += "  T_cn_cnm1:\n" + "".join(f"  - {row}\n" for row in T.tolist())
    path = folder / "camchain.yaml"
    path.write_text(text.replace("(", "").replace(")", ""))
    return path


def depthai(folder: Path, by_colour: bool = False) -> Path:
    """Sockets 1 (left) and 2 (right), linked to each other or both to the colour camera on socket 0; cm."""

    def camera(eye: CameraModel, target: int, R: np.ndarray, T_m: np.ndarray) -> dict[str, object]:
        x, y, z = (np.asarray(T_m).ravel() * 100).tolist()
        extrinsics = {"rotationMatrix": R.tolist(), "translation": {"x": x, "y": y, "z": z}, "toCameraSocket": target}
        extrinsics["specTranslation"] = {"x": -7.5, "y": 0.0, "z": 0.0}
        dist = np.pad(eye.dist, (0, 14 - eye.dist.size)).tolist()
        size = {"width": eye.width, "height": eye.height}
        return {"cameraType": 0, **size, "distortionCoeff": dist, "intrinsicMatrix": eye.K.tolist(), "extrinsics": extrinsics}

    R_0, T_0 = cv2.Rodrigues(np.array([0.01, 0.02, -0.01]))[0], np.array([[0.0375], [0.001], [0.0]])
    if by_colour:  # x_0 = R_0 x_right + T_0 = R_0 (R x_left + T) + T_0
        left = camera(LEFT, 0, R_0 @ RIG.R_right_left, R_0 @ RIG.T_right_left_m + T_0)
    else:
        left = camera(LEFT, 2, RIG.R_right_left, RIG.T_right_left_m)
    cameras = [[0, camera(LEFT, -1, np.zeros((3, 3)), np.zeros(3))], [1, left], [2, camera(RIGHT, 0, R_0, T_0)]]
    path = folder / "depthai.json"
    path.write_text(
        json.dumps(
            {
                "boardName": "OAK-D",
                "version": 6,
                "cameraData": cameras,
                "stereoRectificationData": {"leftCameraSocket": 1, "rightCameraSocket": 2},
            }
        )
    )
    return path


def zed(folder: Path) -> Path:
    text = ""
    for mode, s in (("FHD", 1.5), ("HD", 1.0)):
        for name, eye in zip(("LEFT", "RIGHT"), EYES, strict=True):
            K = eye.K * s
            text += f"[{name}_CAM_{mode}]\nfx={K[0, 0]}\nfy={K[1, 1]}\ncx={K[0, 2]}\ncy={K[1, 2]}\n"
            text += "".join(f"{k}={v}\n" for k, v in zip(("k1", "k2", "p1", "p2", "k3"), eye.dist, strict=True)) + "\n"
    x, y, z = (RIG.T_right_left_m.ravel() * 1000).tolist()
    text += f"[STEREO]\nBaseline={-x}\nTY={y}\nTZ={z}\n"
    text += "".join(
        f"{key}_{mode}={v}\n" for mode in ("FHD", "HD") for key, v in zip(("RX", "CV", "RZ"), ROTATION_VECTOR, strict=True)
    )
    path = folder / "SN1234.conf"
    path.write_text(text)
    return path


def kitti(folder: Path) -> Path:
    """f = 700, B = 0.54 m, principal point (600, 180); the left camera sits 6 cm from the reference."""
    K = np.array([[700.0, 0, 600], [0, 700, 180], [0, 0, 1]])
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for i, t in ((0, (0, 0, 0)), (1, (-0.53, 0, 0)), (2, (0.06, -0.001, 0.003)), (3, (-0.48, 0.002, 0.004))):
        P = np.column_stack([K, K @ t])
        lines += [f"S_rect_0{i}: 1.242000e+03 3.750000e+02", f"P_rect_0{i}: " + " ".join(f"{v:.9e}" for v in P.ravel())]
    path = folder / "calib_cam_to_cam.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def kitti_odometry(folder: Path) -> Path:
    text = "\n".join(line.replace("P_rect_0", "P") for line in kitti(folder).read_text().splitlines() if line.startswith("P_"))
    path = folder / "calib.txt"
    path.write_text(text)
    return path


def middlebury(folder: Path) -> Path:
    path = folder / "calib.txt"
    path.write_text(
        "cam0=[3997.5 0 1176.25; 0 3997.5 1011.5; 0 0 1]\ncam1=[3997.5 0 1307.5; 0 3997.5 1011.5; 0 0 1]\n"
        "doffs=131.25\nbaseline=193.5\nwidth=2964\nheight=1988\nndisp=280\nisint=0\nvmin=31\nvmax=257\n"
    )
    return path


def realsense(folder: Path) -> Path:
    """Resolutions in use, two reserved slots of zeros, and four with a size but no lens, as in a whole table."""
    table: dict[str, float] = {"baseline": -50.0625, "intrinsic_left.x.x": 0.5}
    for i, (width, height) in enumerate(((1280, 720), (640, 480))):
        numbers = {
            "fx": width / 2,
            "fy": width / 2,
            "ppx": width / 2 + 1,
            "ppy": height / 2 - 2,
            "width": width,
            "height": height,
        }
        table |= {f"rectified.{i}.{key}": value for key, value in numbers.items()}
    unused = [(10, 0, 0), (11, 0, 0), (12, 640, 400), (13, 576, 576), (14, 720, 720), (15, 1152, 1152)]
    for i, width, height in unused:
        numbers = {"fx": 0, "fy": 0, "ppx": 0, "ppy": 0, "width": width, "height": height}
        table |= {f"rectified.{i}.{key}": value for key, value in numbers.items()}
    path = folder / "d400.json"
    path.write_text(json.dumps(table))
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "opencv": opencv,
    "ros": ros,
    "kalibr": kalibr,
    "depthai": depthai,
    "zed": zed,
    "kitti": kitti,
    "kitti_odometry": kitti_odometry,
    "middlebury": middlebury,
    "realsense": realsense,
}
