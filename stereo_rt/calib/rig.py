"""The model of a stereo rig before rectification: two cameras and the pose between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import CalibrationError, EyesSwapped

Distortion = Literal["pinhole", "fisheye"]
COEFFICIENTS: dict[str, tuple[int, ...]] = {"pinhole": (0, 4, 5, 8, 12, 14), "fisheye": (4,)}


@dataclass(frozen=True, eq=False)
class CameraModel:
    """One eye.

    K: (3, 3) float64 intrinsic matrix in px. dist: (N,) float64, OpenCV's order (k1 k2 p1 p2 k3 ...), N = 0, 4, 5, 8,
    12 or 14 for 'pinhole'; k1..k4 for 'fisheye' (the equidistant model). Raises CalibrationError.
    """

    width: int
    height: int
    K: np.ndarray
    dist: np.ndarray
    model: Distortion = "pinhole"

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", np.asarray(self.K, np.float64).reshape(-1))
        object.__setattr__(self, "dist", np.asarray(self.dist, np.float64).reshape(-1))
        if self.K.size != 9:
            raise CalibrationError(f"a camera matrix has {self.K.size} numbers instead of 9; the file looks truncated")
        object.__setattr__(self, "K", self.K.reshape(3, 3))
        if self.model not in COEFFICIENTS:
            raise CalibrationError(f"distortion model '{self.model}' is not known; use one of {', '.join(COEFFICIENTS)}")
        if self.dist.size not in COEFFICIENTS[self.model]:
            raise CalibrationError(
                f"{self.dist.size} distortion coefficients do not fit the {self.model} model, "
                f"which takes {' or '.join(map(str, COEFFICIENTS[self.model]))}"
            )
        if not (np.isfinite(self.K).all() and np.isfinite(self.dist).all()):
            raise CalibrationError("the calibration holds a number that is not finite; calibrate again")
        if self.width < 1 or self.height < 1:
            raise CalibrationError(
                f"an image of {self.width}x{self.height} pixels is empty; check image_size in the calibration"
            )
        if self.K[1, 0] or self.K[2, 0] or self.K[2, 1] or self.K[2, 2] != 1:
            raise CalibrationError("a camera matrix is not of the form [fx s cx; 0 fy cy; 0 0 1]; the file looks damaged")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CalibrationError(f"the focal length is {self.K[0, 0]:g}, {self.K[1, 1]:g} px and must be positive")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def scaled(self, width: int, height: int) -> CameraModel:
        """The same camera read out at another resolution (distortion is unitless). Aspect as in RectifiedRig.scaled."""
        s = width / self.width
        if abs(self.height * s - height) > 1:
            raise CalibrationError(
                f"the calibration is for {self.width}x{self.height} and the frames are {width}x{height}: "
                f"the aspect differs, so scaling would be wrong; calibrate at {width}x{height} or crop"
            )
        shift = np.array([[s, 0, 0.5 * s - 0.5], [0, s, 0.5 * s - 0.5], [0, 0, 1]])
        return replace(self, width=width, height=height, K=shift @ self.K)


@dataclass(frozen=True, eq=False)
class StereoRig:
    """Two eyes. A point x_left in the left camera's frame is x_right = R_right_left @ x_left + T_right_left_m.

    R_right_left: (3, 3). T_right_left_m: (3, 1) metres (OpenCV's R and T); its x is negative for a left and a right eye
    in their right order. Raises CalibrationError when the pose is no rotation, or the eyes coincide or are swapped.
    verdict: 'good', 'improve' (or 'usable') or 'redo' from the tool that solved it; None when nobody said.
    """

    left: CameraModel
    right: CameraModel
    R_right_left: np.ndarray
    T_right_left_m: np.ndarray
    name: str = "rig"
    verdict: str | None = None

    def __post_init__(self) -> None:
        R = np.asarray(self.R_right_left, np.float64)
        T = np.asarray(self.T_right_left_m, np.float64)
        if R.size != 9 or T.size != 3:
            raise CalibrationError(f"R has {R.size} numbers instead of 9, or T {T.size} instead of 3; the file looks truncated")
        R, T = R.reshape(3, 3), T.reshape(3, 1)
        object.__setattr__(self, "R_right_left", R)
        object.__setattr__(self, "T_right_left_m", T)
        if not (np.isfinite(R).all() and np.isfinite(T).all()):
            raise CalibrationError("the pose between the eyes holds a number that is not finite; calibrate again")
        if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
            raise CalibrationError("the rotation between the eyes is not a rotation matrix; calibrate again")
        if not 1e-6 < self.baseline_m < 1e3:
            raise CalibrationError(f"the baseline is {self.baseline_m:g} m; check the calibration and its units")
        if T[0, 0] >= 0 and abs(T[0, 0]) >= abs(T[1, 0]):
            raise EyesSwapped(
                f"the right eye is {T[0, 0]:g} m on the left of the left eye, so the baseline is negative: "
                "the eyes look swapped in this calibration; exchange its two cameras, or the images that it is made from"
            )

    @property
    def baseline_m(self) -> float:
        return float(np.linalg.norm(self.T_right_left_m))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the left eye."""
        return self.left.size

    def scaled(self, width: int, height: int) -> StereoRig:
        """The rig read out at another resolution, both eyes."""
        return replace(self, left=self.left.scaled(width, height), right=self.right.scaled(width, height))
