"""KITTI: calib_cam_to_cam.txt (P_rect_00 ...), or the benchmarks' and odometry's P0 ... P3. The images are rectified.

The colour pair (2, 3) is read where there is one, else the grey pair (0, 1); their baselines differ by less than 1 %.
"""

from __future__ import annotations

import re

import numpy as np

from ...errors import CalibrationError
from ...geometry import RectifiedRig
from .document import Document
from .fields import Fields, fits_frames, pixels

NAME = "KITTI calib"
_LINE = re.compile(r"^(\w+):[ \t]*(.*)$", re.MULTILINE)
_SQUARE = 1e-3


def recognises(document: Document) -> bool:
    return re.search(r"^P(_rect_0)?[0-3]:[ \t]*[-+.\d]", document.text, re.MULTILINE) is not None


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> RectifiedRig:
    lines = Fields({key: values.split() for key, values in _LINE.findall(documents[0].text)})
    prefix = "P_rect_0" if any(key.startswith("P_rect_0") for key in lines.tree) else "P"
    left, right = ("2", "3") if f"{prefix}2" in lines else ("0", "1")
    K, t_left = _decomposed(lines.numbers(prefix + left, 12))
    K_right, t_right = _decomposed(lines.numbers(prefix + right, 12))
    if abs(K[1, 1] / K[0, 0] - 1) > _SQUARE or abs(K_right[0, 0] / K[0, 0] - 1) > _SQUARE:
        raise CalibrationError("the focal lengths of its two projections differ, so the images are not rectified")
    width, height = _size(lines, left, frame_size, K)
    return RectifiedRig(
        width,
        height,
        fx_px=float(K[0, 0]),
        cx_px=float(K[0, 2]),
        cy_px=float(K[1, 2]),
        baseline_m=float(t_left[0] - t_right[0]),
        doffs_px=float(K_right[0, 2] - K[0, 2]),
    )


def _decomposed(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K and t of P = K [I | t]. t_z is not zero in these files, so P[0, 3] / fx alone would be off by a few mm."""
    P = numbers.reshape(3, 4)
    K = P[:, :3]
    if K[0, 0] <= 0 or abs(np.linalg.det(K)) < 1e-9:
        raise CalibrationError("a projection matrix is singular; the file looks damaged")
    return K, np.linalg.solve(K, P[:, 3])


def _size(lines: Fields, left: str, frame_size: tuple[int, int] | None, K: np.ndarray) -> tuple[int, int]:
    key = f"S_rect_0{left}"
    if key in lines:
        width, height = lines.numbers(key, 2)
        return pixels(width, key), pixels(height, key)
    if frame_size is None:
        raise CalibrationError("states no image size, and there are no frames to take it from; use calib_cam_to_cam.txt")
    fits_frames(K, frame_size, f"{key}: WIDTH HEIGHT")
    return frame_size


def write_rectified(rig: RectifiedRig) -> tuple[str, ...]:
    """calib_cam_to_cam.txt with the grey pair (0, 1)."""
    lines = []
    for n, (cx, tx) in enumerate(((rig.cx_px, 0.0), (rig.cx_px + rig.doffs_px, -rig.fx_px * rig.baseline_m))):
        P = [rig.fx_px, 0.0, cx, tx, 0.0, rig.fx_px, rig.cy_px, 0.0, 0.0, 0.0, 1.0, 0.0]
        lines += [f"S_rect_0{n}: {rig.width} {rig.height}", f"P_rect_0{n}: " + " ".join(map(repr, map(float, P)))]
    return ("\n".join(lines) + "\n",)
