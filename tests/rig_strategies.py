"""Random cameras and rigs for property tests: every lens model, within what real cameras have."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st

from stereo_rt.calib.rig import CameraModel, StereoRig

# Largest magnitudes of k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y for which the test images' corners invert.
PINHOLE = (0.15, 0.05, 0.002, 0.002, 0.01, 0.05, 0.02, 0.005, 0.002, 0.002, 0.002, 0.002, 0.01, 0.01)
FISHEYE = (0.05, 0.02, 0.005, 0.002)


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


@st.composite
def cameras(
    draw: st.DrawFn, size: tuple[int, int] = (160, 120), models: tuple[str, ...] = ("pinhole", "fisheye")
) -> CameraModel:
    width, height = size
    model = draw(st.sampled_from(models))
    f = width * draw(between(0.7, 1.2))
    K = [
        [f, draw(between(-0.5, 0.5)), width / 2 + draw(between(-4, 4))],
        [0, f * draw(between(0.98, 1.02)), height / 2],
        [0, 0, 1],
    ]
    most = FISHEYE if model == "fisheye" else PINHOLE[: draw(st.sampled_from((0, 4, 5, 8, 12, 14)))]
    dist = np.array([draw(between(-m, m)) for m in most])
    return CameraModel(width, height, np.array(K), dist, "fisheye" if model == "fisheye" else "pinhole")


@st.composite
def rotations(draw: st.DrawFn, largest_rad: float = 0.06) -> np.ndarray:
    return cv2.Rodrigues(np.array([draw(between(-largest_rad, largest_rad)) for _ in range(3)]))[0]


@st.composite
def stereo_rigs(draw: st.DrawFn, size: tuple[int, int] = (160, 120)) -> StereoRig:
    left, right = draw(cameras(size)), draw(cameras(size))
    B = draw(between(0.02, 0.5))
    T = -B * np.array([1, draw(between(-0.05, 0.05)), draw(between(-0.05, 0.05))])
    verdict = draw(st.sampled_from((None, "good", "usable", "redo")))
    return StereoRig(left, right, draw(rotations()), T, name="random", verdict=verdict)
