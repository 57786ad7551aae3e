"""The synthetic camera: its truth against plain ray casting, its images against its truth, its options and its pace."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo_rt.calib import lens
from stereo_rt.calib.rectify import Rectifier, rectify_rig
from stereo_rt.calib.rig import StereoRig
from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError, SourceTimeout
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources import clock as clock_module
from stereo_rt.sources import open_source
from stereo_rt.sources.base import Source
from stereo_rt.sources.rendering.eyes import Eye, pixel_directions, raw_rig
from stereo_rt.sources.rendering.raster import NOTHING, hit_sphere, texture_levels, visibility
from stereo_rt.sources.rendering.scene import Scene
from stereo_rt.sources.rendering.surfaces import Faces, Sphere, Surfaces, View
from stereo_rt.sources.rendering.textures import Texture
from stereo_rt.sources.rendering.truth import GroundTruth, ground_truth, left_view, right_view
from stereo_rt.sources.synthetic import Options, SyntheticCamera, open_synthetic
from stereo_rt.sources.uri import SourceUri

SMALL = (320, 240)


@pytest.fixture(scope="module")
def camera() -> SyntheticCamera:
    return SyntheticCamera(SMALL, noise=0)


@pytest.fixture(scope="module")
def raw_camera() -> SyntheticCamera:
    return SyntheticCamera((640, 480), raw=True, noise=0)


# --- the plain twin: every ray against every surface, in world coordinates ---------------------------------------------


def cast(surfaces: Surfaces, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiple of each ray (N, 3) at its first hit (inf for none), and the surface's id."""
    faces = surfaces.faces
    nearest, ids = np.full(len(rays), np.inf), np.full(len(rays), NOTHING)
    for k in range(len(faces)):
        o, u, v = faces.origin_m[k], faces.u_m[k], faces.v_m[k]
        away = np.cross(u, v)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (away @ (o - origin)) / (rays @ away)
            hit = origin + t[:, None] * rays - o
            # coordinates along u and v by the Gram matrix
            uu, uv, vv, hu, hv = u @ u, u @ v, v @ v, hit @ u, hit @ v
            a, b = (vv * hu - uv * hv) / (uu * vv - uv * uv), (uu * hv - uv * hu) / (uu * vv - uv * uv)
        s0, t0, s1, t1 = faces.window[k]
        ok = (t > 0) & (rays @ away > 0) & (a >= s0) & (a <= s1) & (b >= t0) & (b <= t1) & (t < nearest)
        nearest[ok], ids[ok] = t[ok], k
    for k, sphere in enumerate(surfaces.spheres, start=len(faces)):
        gap = origin - sphere.centre_m
        a, b, c = (rays * rays).sum(axis=1), rays @ gap, gap @ gap - sphere.radius_m**2
        with np.errstate(invalid="ignore"):
            t = (-b - np.sqrt(b * b - a * c)) / a
        ok = (t > 0) & (t < nearest)
        nearest[ok], ids[ok] = t[ok], k
    return nearest, ids


def pixel_rays(view: View) -> np.ndarray:
    """(H * W, 3) in the world; a ray's multiple is the depth in the camera."""
    x, y = np.meshgrid(np.arange(view.width), np.arange(view.height))
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ np.linalg.inv(view.K).T @ view.R


@pytest.mark.parametrize(("seed", "t_s"), [(0, 0.0), (1, 3.7), (2, 11.0), (5, 100.0)])
def test_truth_is_what_ray_casting_finds(seed: int, t_s: float) -> None:
    rig = RectifiedRig(120, 90, 97.0, 59.5, 44.5, 0.12)
    scene = Scene(seed)
    surfaces, (R, place) = scene.at(t_s), scene.rig_pose(t_s)
    left = left_view(rig, R, place)
    right = right_view(left, rig)
    depth, ids = cast(surfaces, left.centre_m, pixel_rays(left))
    seen = visibility(surfaces, left, np.float64)
    same = seen.ids.ravel() == ids
    assert same.mean() > 0.999
    np.testing.assert_allclose(1 / seen.inverse_depth.ravel()[same], depth[same], rtol=1e-9)
    assert np.isfinite(depth).all()  # the room is closed

    truth = ground_truth(surfaces, left, rig)
    points = left.centre_m + depth[:, None] * pixel_rays(left)
    towards = points - right.centre_m
    hidden = cast(surfaces, right.centre_m, towards)[0] < 1 - 1e-5
    pixel = right.in_camera(points) @ right.K.T
    x = pixel[:, 0] / pixel[:, 2]
    hidden |= (x < -0.5) | (x > rig.width - 0.5)
    assert (hidden == truth.occluded.ravel())[same].mean() > 0.999
    assert 0.02 < hidden.mean() < 0.4


vectors = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array)


@given(turn=vectors, place=vectors, u=vectors, v=vectors, x=st.floats(-200, 500), y=st.floats(-200, 500))
def test_inverse_depth_of_a_face_is_affine_in_the_pixel(
    turn: np.ndarray, place: np.ndarray, u: np.ndarray, v: np.ndarray, x: float, y: float
) -> None:
    K = np.array([[300.0, 0, 160], [0, 310, 120], [0, 0, 1]])
    view = View(320, 240, K, cv2.Rodrigues(turn)[0], place)
    origin = place + view.R.T @ (0.3, -0.2, 3.0)
    faces = Faces.panel(origin, u, v, Texture(np.zeros((16, 16, 3), np.uint8)))
    planes, facing = view.planes(faces)
    if not facing[0] or abs(np.linalg.det(np.stack([u, v, origin - place]))) < 1e-3:
        return
    s, t, inverse_depth = planes[0] @ (x, y, 1)
    point = origin * inverse_depth + s * u + t * v  # all times 1/z, which keeps points near the horizon finite
    in_camera = (point - place * inverse_depth) @ view.R.T
    np.testing.assert_allclose(in_camera, np.linalg.inv(K) @ (x, y, 1), atol=1e-6)


@given(centre=st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(1.5, 6)), radius=st.floats(0.05, 1), turn=vectors)
def test_points_on_a_sphere_are_on_the_sphere_and_inside_its_box(
    centre: tuple[float, float, float], radius: float, turn: np.ndarray
) -> None:
    K = np.array([[100.0, 0, 60], [0, 100, 45], [0, 0, 1]])
    view = View(120, 90, K, cv2.Rodrigues(turn)[0], np.array([0.1, 0.2, 0.3]))
    place = view.centre_m + view.R.T @ centre
    sphere = Sphere(place, radius, np.eye(3), Texture(np.zeros((16, 16, 3), np.uint8)))
    x, y = np.meshgrid(np.arange(120), np.arange(90))
    inverse_depth, hit = hit_sphere(sphere, view, x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        points = view.centre_m + pixel_rays(view).reshape(90, 120, 3) / inverse_depth[..., None]
    np.testing.assert_allclose(np.linalg.norm(points[hit] - place, axis=-1), radius, rtol=1e-6)

    nothing = Faces.panel(np.zeros(3), np.zeros(3), np.zeros(3), sphere.texture)
    alone = Surfaces(nothing, (sphere,), np.zeros(3), 0, np.zeros((3, 3), np.uint8))
    np.testing.assert_array_equal(visibility(alone, view, np.float64).ids == 1, hit)


# --- images against the truth ---------------------------------------------------------------------------------------------


def best_shift(left: np.ndarray, right: np.ndarray, disparity_px: np.ndarray, use: np.ndarray, axis: int) -> float:
    """Where along an axis, in px from where the truth says, the right image fits the left one best: a parabola's minimum."""
    x, y = np.meshgrid(np.arange(left.shape[1], dtype=np.float32), np.arange(left.shape[0], dtype=np.float32))
    offsets = np.array([-0.5, 0.0, 0.5])
    misfits = []
    for offset in offsets:
        at = (x - disparity_px + offset * (axis == 0)).astype(np.float32), (y + offset * (axis == 1)).astype(np.float32)
        there = cv2.remap(right.astype(np.float32), *at, cv2.INTER_CUBIC)
        misfits.append(float(((there - left)[use] ** 2).mean()))
    a, b, _ = np.polyfit(offsets, misfits, 2)
    assert a > 0
    return -b / (2 * a)


def trusted(truth: GroundTruth) -> np.ndarray:
    """Seen by both eyes, away from edges of depth and of the image."""
    steep = cv2.Laplacian(truth.disparity_px, cv2.CV_32F)
    bad = cv2.dilate((truth.occluded | (np.abs(steep) > 0.3)).astype(np.uint8), np.ones((5, 5))) > 0
    bad[:3], bad[-3:], bad[:, :3], bad[:, -3:] = True, True, True, True
    return ~bad


@pytest.mark.parametrize("index", [0, 77])
def test_the_right_image_moved_by_the_disparity_is_the_left_one(camera: SyntheticCamera, index: int) -> None:
    frame, truth = camera.frame(index), camera.ground_truth(index)
    use = trusted(truth)
    assert use.mean() > 0.5
    x, y = np.meshgrid(np.arange(SMALL[0], dtype=np.float32), np.arange(SMALL[1], dtype=np.float32))
    there = cv2.remap(frame.right, x - truth.disparity_px, y, cv2.INTER_CUBIC)
    difference = np.abs(there.astype(int) - frame.left).max(axis=2)
    assert np.median(difference[use]) <= 3
    assert np.median(difference[truth.occluded]) > 2 * np.median(difference[use])
    assert abs(best_shift(frame.left, frame.right, truth.disparity_px, use, 0)) < 0.02
    assert abs(best_shift(frame.left, frame.right, truth.disparity_px, use, 1)) < 0.02


def test_vertical_px_moves_the_right_image_down() -> None:
    camera = SyntheticCamera(SMALL, noise=0, vertical_px=0.4)
    frame, truth = camera.frame(0), camera.ground_truth(0)
    use = trusted(truth)
    assert best_shift(frame.left, frame.right, truth.disparity_px, use, 1) == pytest.approx(0.4, abs=0.05)


def test_depth_and_disparity_agree_with_the_rig(camera: SyntheticCamera) -> None:
    truth = camera.ground_truth(3)
    assert isinstance(camera.calibration, RectifiedRig)
    np.testing.assert_allclose(camera.calibration.depth_m(truth.disparity_px), truth.depth_m, rtol=1e-5)
    assert truth.depth_m.dtype == truth.disparity_px.dtype == np.float32
    assert truth.depth_m.min() > 0.5
    assert truth.depth_m.max() < 12


def test_truth_of_a_scaled_grid(camera: SyntheticCamera) -> None:
    assert isinstance(camera.calibration, RectifiedRig)
    full, half = camera.ground_truth(9), camera.ground_truth(9, camera.calibration.scaled(160, 120))
    # inverse depth is affine on a plane, so the mean of four neighbours is the value in their middle
    mean = full.disparity_px.reshape(120, 2, 160, 2).mean(axis=(1, 3))
    difference = np.abs(mean / 2 - half.disparity_px)
    assert np.percentile(difference, 80) < 1e-3


# --- the raw camera ---------------------------------------------------------------------------------------------------------


def test_directions_undo_the_distortion(raw_camera: SyntheticCamera) -> None:
    assert isinstance(raw_camera.calibration, StereoRig)
    for eye in (raw_camera.calibration.left, raw_camera.calibration.right):
        x, y = pixel_directions(eye)
        pixels = lens.project(eye, np.stack([x, y, np.ones_like(x)], axis=-1))
        expected = np.stack(np.meshgrid(np.arange(eye.width), np.arange(eye.height)), axis=-1)
        np.testing.assert_allclose(pixels, expected, atol=1e-4)
        straight = (expected - eye.K[:2, 2]) / eye.K[[0, 1], [0, 1]]
        assert np.abs(np.stack([x, y], axis=-1) - straight).max() * eye.K[0, 0] > 20  # it is a real distortion


def test_a_rectified_raw_frame_is_the_rectified_view(raw_camera: SyntheticCamera) -> None:
    assert isinstance(raw_camera.calibration, StereoRig)
    rectification = rectify_rig(raw_camera.calibration)
    frame = Rectifier(rectification)(raw_camera.frame(40))
    truth = raw_camera.ground_truth(40, rectification)
    use = trusted(truth)
    assert abs(best_shift(frame.left, frame.right, truth.disparity_px, use, 0)) < 0.04
    assert abs(best_shift(frame.left, frame.right, truth.disparity_px, use, 1)) < 0.04

    rig, zero = rectification.rig, np.zeros((480, 640), np.float32)
    inner = np.pad(np.full((460, 620), True), 10)
    scene = Scene(0)
    surfaces, (R, place) = scene.at(40 / 30), scene.rig_pose(40 / 30)
    left = left_view(rig, rectification.R_left @ R, place)
    for view, image in ((left, frame.left), (right_view(left, rig), frame.right)):
        direct = Eye(rig.size, view.K, np.eye(3), np.zeros(3)).picture(surfaces, view, texture_levels(surfaces.faces, view))
        smooth, smooth_direct = (cv2.GaussianBlur(i, (0, 0), 1.5) for i in (image, direct))
        assert np.median(cv2.absdiff(smooth, smooth_direct)) <= 2
        assert abs(best_shift(smooth, smooth_direct, zero, inner, 0)) < 0.05
        assert abs(best_shift(smooth, smooth_direct, zero, inner, 1)) < 0.05


def test_a_raw_camera_needs_to_be_told_the_grid(raw_camera: SyntheticCamera) -> None:
    with pytest.raises(ValueError, match="Rectification"):
        raw_camera.ground_truth(0)


def test_the_raw_rig_is_realistic() -> None:
    for seed in range(20):
        rig = raw_rig((64, 48), 0.12, seed)
        angle_deg = np.rad2deg(np.linalg.norm(cv2.Rodrigues(rig.R_right_left)[0]))
        assert 0.3 < angle_deg < 1.7
        assert rig.baseline_m == pytest.approx(0.12)
        assert rectify_rig(rig).rig.baseline_m == pytest.approx(0.12)


# --- frames -----------------------------------------------------------------------------------------------------------------


def test_a_frame_depends_on_seed_and_index_alone() -> None:
    one, other = (SyntheticCamera((96, 72), seed=3) for _ in range(2))
    frames = [one.read(1.0) for _ in range(3)]
    for index in (2, 0, 1):
        again, read = other.frame(index), frames[index]
        assert read is not None
        np.testing.assert_array_equal(again.left, read.left)
        np.testing.assert_array_equal(again.right, read.right)
        assert (again.index, again.stamp_ns) == (index, round(index * 1e9 / 30)) == (read.index, read.stamp_ns)
    assert not np.array_equal(one.frame(0).left, SyntheticCamera((96, 72), seed=4).frame(0).left)
    assert not np.array_equal(one.frame(0).left, one.frame(1).left)


def test_noise_has_the_deviation_asked_for_and_differs_between_eyes_and_frames() -> None:
    clean, noisy = SyntheticCamera(SMALL, noise=0), SyntheticCamera(SMALL, noise=4)
    residue = []
    for index in (0, 1):
        a, b = clean.frame(index), noisy.frame(index)
        residue += [b.left.astype(float) - a.left, b.right.astype(float) - a.right]
    middle = (clean.frame(0).left > 40) & (clean.frame(0).left < 215)
    assert residue[0][middle].std() == pytest.approx(4, rel=0.05)
    correlation = np.corrcoef([r[20:-20, 20:-20].ravel() for r in residue])
    assert np.abs(correlation - np.eye(4)).max() < 0.1


def test_a_recording_ends() -> None:
    source = open_source("synthetic://room?width=96&height=72&frames=3&fps=10")
    assert isinstance(source, Source)
    assert (source.live, source.length, source.size, source.fps) == (False, 3, (96, 72), 10)
    stamps = []
    while (frame := source.read(1.0)) is not None:
        stamps.append(frame.stamp_ns)
        assert frame.left.shape == frame.right.shape == (72, 96, 3)
        assert frame.arrived_ns > 0
    assert stamps == [0, 100_000_000, 200_000_000]
    assert source.status.state == "ended"


def test_a_closed_camera_delivers_nothing() -> None:
    source = open_source("synthetic://room?width=96&height=72")
    assert source.length == 300
    source.close()
    assert source.read(1.0) is None


def test_a_cycle_repeats_from_memory_and_closes() -> None:
    camera = SyntheticCamera((96, 72), seed=3, cycle=5)
    assert camera.frame(7).left is camera.frame(2).left
    assert camera.frame(7).index == 7
    np.testing.assert_array_equal(camera.ground_truth(7).depth_m, camera.ground_truth(2).depth_m)
    scene = Scene(3, period_s=5 / 30)
    start, end = scene.at(0.0), scene.at(5 / 30)
    np.testing.assert_allclose(start.faces.origin_m, end.faces.origin_m, atol=1e-9)
    np.testing.assert_allclose([s.centre_m for s in start.spheres], [s.centre_m for s in end.spheres], atol=1e-9)
    np.testing.assert_allclose(scene.rig_pose(0.0)[1], scene.rig_pose(5 / 30)[1], atol=1e-9)


def test_every_seed_is_a_room_with_something_in_it() -> None:
    for seed in range(6):
        camera = SyntheticCamera((96, 72), seed=seed)
        for index in (0, 200, 1000):
            truth = camera.ground_truth(index)
            assert np.isfinite(truth.depth_m).all()
            assert truth.depth_m.min() > 0.4
            assert camera.frame(index).left.std() > 20


def test_texture_levels_are_means() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    small = Texture(image).level(2, 1)
    mean = image.reshape(16, 2, 12, 4, 3).mean(axis=(1, 3))
    assert np.abs(small[1:-1, 1:-1, :3] - mean).max() <= 0.51
    np.testing.assert_array_equal(small[0, 1:-1], small[1, 1:-1])


# --- options ----------------------------------------------------------------------------------------------------------------


def test_every_option_reaches_the_camera() -> None:
    camera = open_source(
        "synthetic://room?width=128&height=96&fps=20&frames=0&seed=7&raw=1&baseline_m=0.2&noise=0&live=1&cycle=0&vertical_px=0"
    )
    assert isinstance(camera, SyntheticCamera)
    assert isinstance(camera.calibration, StereoRig)
    assert (camera.size, camera.fps, camera.length, camera.live) == ((128, 96), 20, None, True)
    assert camera.calibration.baseline_m == pytest.approx(0.2)
    direct = SyntheticCamera((128, 96), 20, seed=7, raw=True, baseline_m=0.2, noise=0)
    np.testing.assert_array_equal(camera.frame(4).right, direct.frame(4).right)


def test_capture_settings_are_the_default() -> None:
    camera = open_source("synthetic://room?height=72", CaptureConfig(width=64, height=96, fps=5, loop=True))
    assert (camera.size, camera.fps, camera.length) == ((64, 72), 5, None)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("synthetic://room?widht=3", "did you mean 'width'"),
        ("synthetic://room?colour=3", "it takes width, height"),
        ("synthetic://room?width=3", "width=3 is wrong"),
        ("synthetic://room?fps=nan", "fps=nan is wrong"),
        ("synthetic://room?raw=perhaps", "raw=perhaps is wrong"),
        ("synthetic://room?cycle=100000", "2 GB"),
        ("synthetic://garden", "synthetic://room"),
    ],
)
def test_a_wrong_option_is_one_sentence(uri: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as error:
        open_source(uri)
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*Options.model_fields, "x"]), st.text(max_size=5), max_size=3))
def test_options_never_raise_anything_but_the_sentence(options: dict[str, str]) -> None:
    uri = SourceUri("synthetic", ("room",), {"width": "64", "height": "64", **options, "seed": "0"}, "synthetic://room?...")
    try:
        camera = open_synthetic(uri, CaptureConfig(), False)
    except SourceError as e:
        assert "\n" not in str(e)
    else:
        assert camera.size[0] >= 64


# --- pace -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock, in seconds, as its only item."""
    now = [100.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    return now


def test_a_live_clock_skips_what_nobody_waited_for(wall: list[float]) -> None:
    camera = SyntheticCamera((64, 48), fps=10, live=True)
    indices = []
    for pause_s in (0.0, 0.35, 0.11):
        wall[0] += pause_s
        frame = camera.read(0.0)
        assert frame is not None
        indices.append(frame.index)
    assert indices == [0, 3, 4]
    with pytest.raises(SourceTimeout):
        camera.read(0.0)


def test_a_recording_in_real_time_keeps_every_frame_and_goes_on_after_a_pause(wall: list[float]) -> None:
    camera = SyntheticCamera((64, 48), fps=10, realtime=True)
    indices = []
    for pause_s in (0.0, 5.0, 0.11):
        wall[0] += pause_s
        frame = camera.read(0.0)
        assert frame is not None
        indices.append(frame.index)
    assert indices == [0, 1, 2]
    with pytest.raises(SourceTimeout):
        camera.read(0.0)


def test_closing_lets_a_waiting_reader_go() -> None:
    camera = SyntheticCamera((64, 48), fps=0.1, live=True)
    assert camera.read(1.0) is not None
    threading.Timer(0.05, camera.close).start()
    assert camera.read(60.0) is None
    assert camera.status.state == "ended"
