"""CameraModel and StereoRig: what they accept, refuse, and how they scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig_strategies import between, cameras, stereo_rigs

from stereo_rt.calib import lens
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.errors import CalibrationError

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
CAMERA = CameraModel(640, 480, K, np.zeros(5))


@given(cameras(), st.integers(2, 4), between(-0.3, 0.3), between(-0.3, 0.3))
def test_a_scaled_camera_sees_the_same_direction_at_the_scaled_pixel(camera: CameraModel, n: int, x: float, y: float) -> None:
    ray = np.array([x, y, 1.0])
    bigger = camera.scaled(camera.width * n, camera.height * n)
    np.testing.assert_allclose(lens.project(bigger, ray) + 0.5, (lens.project(camera, ray) + 0.5) * n, rtol=1e-6, atol=1e-6)


@given(stereo_rigs())
def test_scaling_a_rig_keeps_its_pose(rig: StereoRig) -> None:
    half = rig.scaled(rig.size[0] // 2, rig.size[1] // 2)
    assert half.baseline_m == rig.baseline_m and half.verdict == rig.verdict
    assert (half.R_right_left == rig.R_right_left).all()
    assert half.left.size == half.right.size == half.size


def test_the_translation_is_a_column() -> None:
    rig = StereoRig(CAMERA, CAMERA, np.eye(3), np.array([-0.1, 0, 0]))
    assert rig.T_right_left_m.shape == (3, 1)
    assert rig.baseline_m == pytest.approx(0.1)


def test_another_aspect_is_refused() -> None:
    with pytest.raises(CalibrationError, match="aspect"):
        CAMERA.scaled(640, 400)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"K": np.eye(2)}, "truncated"),
        ({"K": np.diag([-500.0, 500, 1])}, "focal"),
        ({"K": K.T}, "form"),
        ({"K": K * np.nan}, "finite"),
        ({"dist": np.zeros(6)}, "coefficients"),
        ({"dist": np.zeros(5), "model": "fisheye"}, "coefficients"),
        ({"dist": np.array([np.inf, 0, 0, 0])}, "finite"),
        ({"model": "omni"}, "omni"),
        ({"width": 0}, "empty"),
    ],
)
def test_an_impossible_camera_is_refused(change: dict[str, object], word: str) -> None:
    with pytest.raises(CalibrationError, match=word):
        replace(CAMERA, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("R", "T", "word"),
    [
        (np.eye(3), [0.1, 0, 0], "swapped"),
        (np.eye(3), [0, 0, 0], "baseline"),
        (np.eye(3), [-1e5, 0, 0], "units"),
        (np.eye(3), [np.nan, 0, 0], "finite"),
        (np.eye(3), [-0.1, 0], "truncated"),
        (np.diag([1, 1, -1]), [-0.1, 0, 0], "rotation"),
        (np.eye(3) * 1.1, [-0.1, 0, 0], "rotation"),
    ],
)
def test_an_impossible_pose_is_refused(R: np.ndarray, T: list[float], word: str) -> None:
    with pytest.raises(CalibrationError, match=word):
        StereoRig(CAMERA, CAMERA, R, np.array(T))
