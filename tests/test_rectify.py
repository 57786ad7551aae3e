"""Lens models, rectification and the Rectifier: against OpenCV, against the plain twins, and by their properties."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rig_strategies import between, cameras, rotations, stereo_rigs

from stereo_rt.calib import lens, plain
from stereo_rt.calib.rectify import Rectification, Rectifier, rectify_rig, rectifying_rotations, source_maps
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.errors import CalibrationError
from stereo_rt.frames import StereoFrame

SIZE = (160, 120)


def border(width: int, height: int) -> np.ndarray:
    """(N, 2) pixels along the edge of a grid."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    edge = (u == 0) | (v == 0) | (u == width - 1) | (v == height - 1)
    return np.stack([u[edge], v[edge]], axis=-1).astype(float)


def texture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 noise with detail of several pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def simple_rig(size: tuple[int, int] = SIZE, dist: tuple[float, ...] = (-0.2, 0.05, 0.001, -0.001, 0.0)) -> StereoRig:
    width, height = size
    K = np.array([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]])
    camera = CameraModel(width, height, K, np.array(dist))
    return StereoRig(camera, camera, cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))[0], np.array([-0.1, 0.002, 0.001]))


# Lens models ------------------------------------------------------------------------------------------------------


@given(cameras(), st.lists(st.tuples(between(-0.5, 0.5), between(-0.4, 0.4), between(0.5, 5)), min_size=1, max_size=8))
def test_projection_agrees_with_opencv(camera: CameraModel, points: list[tuple[float, float, float]]) -> None:
    rays = np.array([(x * z, y * z, z) for x, y, z in points])
    K, skew = camera.K.copy(), camera.K[0, 1] / camera.K[0, 0]
    K[0, 1] = 0
    if camera.model == "fisheye":
        expected, _ = cv2.fisheye.projectPoints(rays[None], np.zeros(3), np.zeros(3), K, camera.dist, alpha=skew)
    else:
        expected, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, camera.dist)
        expected[..., 0] += skew * camera.K[0, 0] * (expected[..., 1] - K[1, 2]) / K[1, 1]
    np.testing.assert_allclose(lens.project(camera, rays), expected.reshape(-1, 2), atol=1e-6)


@given(cameras())
def test_unproject_inverts_project(camera: CameraModel) -> None:
    pixels = border(*camera.size)[::7]
    rays = lens.unproject(camera, pixels)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1)
    np.testing.assert_allclose(lens.project(camera, 3 * rays), pixels, atol=lens.CONVERGED_PX)


def test_nothing_is_seen_behind_a_pinhole_and_much_beside_a_fisheye() -> None:
    beside = np.array([[1.0, 0, -0.1]])
    pinhole = CameraModel(100, 100, np.diag([50.0, 50, 1]), np.zeros(0))
    fisheye = replace(pinhole, dist=np.zeros(4), model="fisheye")
    assert np.isnan(lens.project(pinhole, beside)).all()
    assert lens.project(fisheye, beside)[0, 0] == pytest.approx(50 * np.arctan2(1, -0.1))
    np.testing.assert_allclose(lens.unproject(fisheye, lens.project(fisheye, beside))[0], beside[0] / np.linalg.norm(beside))


def test_a_lens_is_trusted_up_to_its_fold() -> None:
    straight = CameraModel(100, 100, np.diag([50.0, 50, 1]), np.zeros(5))
    assert lens.trusted_angle(straight) > 1.3
    # r (1 - r^2 / 3) turns at r = 1; a tenth of the slope is left at r^2 = 0.9.
    folding = replace(straight, dist=np.array([-1 / 3, 0, 0, 0, 0]))
    assert np.tan(lens.trusted_angle(folding)) == pytest.approx(np.sqrt(0.9), abs=1e-3)
    # theta (1 - theta^2 / 3) likewise in the angle.
    fisheye = replace(straight, dist=np.array([-1 / 3, 0, 0, 0]), model="fisheye")
    assert lens.trusted_angle(fisheye) == pytest.approx(np.sqrt(0.9), abs=1e-3)


# Geometry ---------------------------------------------------------------------------------------------------------


@given(rotations(), between(-0.1, 0.1), between(-0.1, 0.1))
def test_rotations_agree_with_opencv(R: np.ndarray, y: float, z: float) -> None:
    T = np.array([[-0.12], [0.12 * y], [0.12 * z]])
    K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
    expected = cv2.stereoRectify(K, np.zeros(5), K, np.zeros(5), SIZE, R, T)[:2]
    for ours, theirs in zip(rectifying_rotations(R, T), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-6)  # OpenCV takes rotations below 1e-6 for none


@settings(deadline=None, max_examples=60)
@given(stereo_rigs(), between(0, 1), between(-0.3, 0.3), between(-0.25, 0.25), between(0.5, 20))
def test_a_point_lies_on_one_row_at_disparity_fx_b_over_z(rig: StereoRig, alpha: float, x: float, y: float, z: float) -> None:
    """Through the raw images: project, find the rectified pixel that samples there, and compare with the rig's formula."""
    result = rectify_rig(rig, alpha=alpha)
    grid = result.rig
    assert grid.doffs_px == 0 and grid.size == rig.size and grid.baseline_m == rig.baseline_m
    point_left = np.array([[x * z], [y * z], [z]])
    point_right = rig.R_right_left @ point_left + rig.T_right_left_m
    uv = []
    for camera, R, point in ((rig.left, result.R_left, point_left), (rig.right, result.R_right, point_right)):
        raw = lens.project(camera, point.ravel()[None])
        ray = lens.unproject(camera, raw)
        assume(np.isfinite(ray).all())  # outside the part of the lens that can be inverted
        rect = (R @ ray.T).ravel()
        uv.append((grid.fx_px * rect[0] / rect[2] + grid.cx_px, grid.fx_px * rect[1] / rect[2] + grid.cy_px))
    depth = float((result.R_left @ point_left)[2, 0])
    (u_left, v_left), (u_right, v_right) = uv
    assert v_left == pytest.approx(v_right, abs=1e-2)
    assert u_left - u_right == pytest.approx(grid.fx_px * grid.baseline_m / depth, abs=2e-2)


@settings(deadline=None, max_examples=30)
@given(stereo_rigs())
def test_alpha_0_shows_only_what_both_eyes_see(rig: StereoRig) -> None:
    result = rectify_rig(rig, alpha=0.0)
    for camera, R in ((rig.left, result.R_left), (rig.right, result.R_right)):
        pixels = plain.source_pixels(camera, R, result.rig)
        assert pixels.min() > -0.1
        assert (pixels < np.array(camera.size) - 0.9).all()


@settings(deadline=None, max_examples=30)
@given(stereo_rigs())
def test_alpha_1_keeps_every_source_pixel(rig: StereoRig) -> None:
    result = rectify_rig(rig, alpha=1.0)
    grid = result.rig
    for camera, R in ((rig.left, result.R_left), (rig.right, result.R_right)):
        rays = lens.unproject(camera, border(*camera.size)) @ R.T
        uv = grid.fx_px * rays[:, :2] / rays[:, 2:] + (grid.cx_px, grid.cy_px)
        assert uv.min() > -0.1
        assert (uv < np.array(grid.size) - 0.9).all()


def test_alpha_1_is_wider_and_between_lies_between() -> None:
    focal = [rectify_rig(simple_rig(), alpha=alpha).rig.fx_px for alpha in (0.0, 0.5, 1.0)]
    assert focal[0] > focal[1] > focal[2]


@settings(deadline=None, max_examples=30)
@given(stereo_rigs())
def test_another_size_is_the_same_view_scaled(rig: StereoRig) -> None:
    own, half = rectify_rig(rig), rectify_rig(rig, (80, 60))
    assert half.rig == own.rig.scaled(80, 60)
    np.testing.assert_array_equal(half.R_left, own.R_left)
    # Where a small pixel samples, the four large ones around its place sample on average (the maps are smooth).
    large = plain.source_pixels(rig.left, own.R_left, own.rig)
    small = plain.source_pixels(rig.left, half.R_left, half.rig)
    np.testing.assert_allclose(large.reshape(60, 2, 80, 2, 2).mean(axis=(1, 3)), small, atol=0.05)


def test_a_wide_fisheye_is_cut_at_the_widest_angle() -> None:
    K = np.array([[50.0, 0, 79.5], [0, 50, 19.5], [0, 0, 1]])
    camera = CameraModel(160, 40, K, np.zeros(4), "fisheye")  # +-91 degrees across
    grid = rectify_rig(StereoRig(camera, camera, np.eye(3), np.array([-0.1, 0, 0])), alpha=1.0).rig
    assert 75 < np.degrees(np.arctan(79.5 / grid.fx_px)) < 80  # the rows' ends, cut at 75, decide here


def test_rigs_that_cannot_be_rectified_are_refused() -> None:
    rig = simple_rig()
    with pytest.raises(CalibrationError, match="above"):
        rectify_rig(replace(rig, T_right_left_m=np.array([-0.01, 0.1, 0])))
    with pytest.raises(CalibrationError, match="apart"):
        rectify_rig(replace(rig, R_right_left=np.diag([-1.0, 1, -1])))
    with pytest.raises(CalibrationError, match="80x60"):
        rectify_rig(replace(rig, right=rig.right.scaled(80, 60)))
    with pytest.raises(CalibrationError, match="aspect"):
        rectify_rig(rig, (160, 100))
    with pytest.raises(CalibrationError, match="common"):
        rectify_rig(replace(rig, R_right_left=cv2.Rodrigues(np.array([0, 1.2, 0]))[0]))


# The Rectifier ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(stereo_rigs())
def test_maps_agree_with_the_plain_twin(rig: StereoRig) -> None:
    result = rectify_rig(rig)
    for camera, R in ((rig.left, result.R_left), (rig.right, result.R_right)):
        x, y = source_maps(camera, R, result.rig)
        np.testing.assert_allclose(np.stack([x, y], axis=-1), plain.source_pixels(camera, R, result.rig), atol=2e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_agree_with_the_plain_twin(channels: int) -> None:
    image = texture(SIZE) if channels == 3 else texture(SIZE)[..., 0]
    result = rectify_rig(simple_rig(), alpha=0.6)
    frame = Rectifier(result)(StereoFrame(image, image[::-1].copy(), index=3, stamp_ns=5, skew_ns=7, arrived_ns=9))
    for eye, R, source in ((frame.left, result.R_left, image), (frame.right, result.R_right, image[::-1])):
        expected = plain.sample(source, plain.source_pixels(result.source.left, R, result.rig))
        assert eye.shape == image.shape and eye.dtype == np.uint8
        error = np.abs(eye - expected)
        assert error.mean() < 1 and error.max() < 16  # fixed-point maps are good to 1/32 px
    assert (frame.index, frame.stamp_ns, frame.skew_ns, frame.arrived_ns) == (3, 5, 7, 9)


def test_a_crop_is_the_window_of_the_whole() -> None:
    result = rectify_rig(simple_rig())
    image = texture(SIZE)
    whole, part = (Rectifier(r).left_only(image) for r in (result, result.cropped(20, 10, 64, 48)))
    np.testing.assert_array_equal(part, whole[10:58, 20:84])


@pytest.mark.parametrize(("size", "odd"), [((160, 120), (640, 480)), ((80, 60), (322, 242))])
def test_shrinking_does_not_alias(size: tuple[int, int], odd: tuple[int, int]) -> None:
    """Stripes of one pixel become grey, not moire, and a smooth picture keeps its place."""
    rig = simple_rig(odd)
    rectifier = Rectifier(rectify_rig(rig, size))
    stripes = np.tile(np.array([0, 255], np.uint8), (odd[1], odd[0] // 2))
    assert rectifier.left_only(stripes).std() < 12
    y, x = np.mgrid[: odd[1], : odd[0]]
    smooth = (127 + 60 * np.sin(x / 20) * np.cos(y / 25)).astype(np.uint8)
    result = rectifier.rectification
    expected = plain.sample(smooth, plain.source_pixels(rig.left, result.R_left, result.rig))
    assert np.abs(rectifier.left_only(smooth) - expected)[1:-1, 1:-1].mean() < 1.5


def test_every_call_gives_new_images() -> None:
    rectifier = Rectifier(rectify_rig(simple_rig()))
    first = rectifier.left_only(texture(SIZE, 1))
    kept = first.copy()
    rectifier.left_only(texture(SIZE, 2))
    np.testing.assert_array_equal(first, kept)


def test_frames_of_another_size_are_refused() -> None:
    rectifier = Rectifier(rectify_rig(simple_rig()))
    with pytest.raises(CalibrationError, match=r"160x120.*320x240"):
        rectifier.left_only(texture((320, 240)))


@settings(deadline=None, max_examples=15)
@given(stereo_rigs(), st.integers(0, 1000))
def test_a_flat_wall_rectifies_to_one_disparity(rig: StereoRig, seed: int) -> None:
    """Draw a fronto-parallel wall (in the rectified frame) into both raw images; after rectification it must match."""
    result: Rectification = rectify_rig(rig)
    grid, z = result.rig, 40 * rig.baseline_m
    wall = cv2.GaussianBlur(texture((640, 480), seed), (0, 0), 6)
    raw = []
    for camera, R, shift in ((rig.left, result.R_left, 0.0), (rig.right, result.R_right, rig.baseline_m)):
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        rays = lens.unproject(camera, np.stack([u, v], axis=-1).reshape(-1, 2).astype(float)) @ R.T
        hits = rays[:, :2] / rays[:, 2:] * z + (shift, 0)
        pixels = hits / z * 400 + (320, 240)
        raw.append(plain.sample(wall, pixels.reshape(camera.height, camera.width, 2)).astype(np.uint8))
    frame = Rectifier(result)(StereoFrame(*raw, 0, 0))
    d = grid.fx_px * grid.baseline_m / z
    u, v = np.meshgrid(np.arange(8 + int(d), grid.width - 8), np.arange(8, grid.height - 8))
    moved = plain.sample(frame.right, np.stack([u - d, v], axis=-1).astype(float))
    assert np.abs(moved - frame.left[v, u]).mean() < 4
