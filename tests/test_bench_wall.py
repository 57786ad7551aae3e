"""The wall: the plane fit by its properties, the scatter against what was put in, and the whole check on a rendered wall."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.bench.wall import fit_plane, measure_wall, plane_pose, scatter
from stereo_rt.config import CaptureConfig
from stereo_rt.errors import CheckFailed, SourceError, UsageError
from stereo_rt.frames import DepthResult
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources import open_source
from stereo_rt.sources.synthetic import SyntheticCamera

RIG = RectifiedRig(64, 48, 52.0, 31.5, 23.5, 0.12, doffs_px=1.5)
Y, X = np.mgrid[0:48, 0:64].astype(float)


def wall_px(rig: RectifiedRig, normal: np.ndarray, distance_m: float) -> np.ndarray:
    """(H, W) disparity of the plane normal . X = distance, by intersecting every pixel's ray."""
    y, x = np.mgrid[0 : rig.height, 0 : rig.width]
    rays = np.stack([(x - rig.cx_px) / rig.fx_px, (y - rig.cy_px) / rig.fx_px, np.ones(x.shape)], axis=-1)
    return rig.disparity_px(distance_m / (rays @ normal)).astype(float)


def results(maps: np.ndarray, rig: RectifiedRig = RIG, mask: np.ndarray | None = None) -> list[DepthResult]:
    full = np.ones(maps.shape[1:], bool) if mask is None else mask
    image = np.zeros((*maps.shape[1:], 3), np.uint8)
    return [DepthResult(d.astype(np.float32), np.ones_like(d), full, rig, image, k, k) for k, d in enumerate(maps)]


normals = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)).map(lambda t: np.array([*t, 1]) / np.linalg.norm([*t, 1]))


@given(normals, st.floats(0.3, 20), st.floats(0, 0.1), st.floats(0, 0.3), st.integers(0, 2**31))
def test_the_plane_is_found_through_noise_and_gross_errors(
    normal: np.ndarray, distance_m: float, sigma_px: float, wrong: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d = wall_px(RIG, normal, distance_m)
    noisy = d + rng.normal(0, sigma_px, d.shape)
    noisy[rng.random(d.shape) < wrong] = rng.uniform(0, 60)
    plane = fit_plane(X.ravel(), Y.ravel(), noisy.ravel())
    fitted = plane[0] * X + plane[1] * Y + plane[2]
    assert np.abs(fitted - d).max() < 0.01 + 0.4 * sigma_px + 1e-4 * d.max()


@given(normals, st.floats(0.3, 20))
def test_distance_and_tilt_are_those_of_the_plane(normal: np.ndarray, distance_m: float) -> None:
    d = wall_px(RIG, normal, distance_m)
    found_m, tilt_deg = plane_pose(fit_plane(X.ravel(), Y.ravel(), d.ravel()), RIG)
    assert found_m == pytest.approx(distance_m, rel=2e-3)
    assert tilt_deg == pytest.approx(np.degrees(np.arccos(normal[2])), abs=0.3)


@given(st.floats(0.5, 5), st.floats(0.5, 3))
def test_a_longer_baseline_that_nobody_told_shows_as_bias_in_proportion(distance_m: float, factor: float) -> None:
    d = wall_px(RIG, np.array([0, 0, 1.0]), distance_m) + RIG.doffs_px
    wrong = (d * factor - RIG.doffs_px)[None]
    found = measure_wall(results(wrong), distance_m)
    assert found.bias_percent == pytest.approx(100 / factor - 100, abs=0.1)
    assert found.distance_m - found.known_m == found.bias_m


def test_three_points_in_a_line_and_too_few_are_no_surprise() -> None:
    line = np.arange(5.0)
    assert np.isfinite(fit_plane(line, line, line)).all()
    with pytest.raises(ValueError, match="three points"):
        fit_plane(line[:2], line[:2], line[:2])


def test_temporal_and_spatial_scatter_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    pattern, noise = rng.normal(0, 0.3, 4000), rng.normal(0, 0.2, (20, 4000))
    off = pattern + noise
    off[rng.random(off.shape) < 0.2] = np.nan
    temporal, spatial = scatter(off)
    assert temporal == pytest.approx(0.2, rel=0.03)
    assert spatial == pytest.approx(0.3, rel=0.05)
    assert scatter(noise)[1] < 0.02, "noise alone is no pattern"
    assert scatter(pattern[None]) == (None, pytest.approx(0.3, rel=0.05))


def test_fill_counts_the_middle_and_too_little_of_it_is_no_wall() -> None:
    maps = np.full((4, 48, 64), 10.0)
    mask = np.zeros((48, 64), bool)
    mask[:24] = True
    half = measure_wall(results(maps, mask=mask), 1.0)
    assert half.fill_percent == pytest.approx(50)
    assert half.distance_m == pytest.approx(52 * 0.12 / 11.5)
    with pytest.raises(CheckFailed, match="only 0 % of the middle"):
        measure_wall(results(maps, mask=np.zeros((48, 64), bool)), 1.0)
    stairs = np.broadcast_to(5.0 + 5 * (np.arange(64) // 6), (2, 48, 64))
    with pytest.raises(CheckFailed, match="lies on one plane"):
        measure_wall(results(stairs * (1 + np.arange(48)[:, None] // 8 % 2)), 1.0)
    with pytest.raises(UsageError, match="--calib"):
        measure_wall(results(maps, RectifiedRig.uncalibrated(64, 48)), 1.0)


@pytest.mark.parametrize("raw", [False, True])
def test_the_rendered_wall_is_where_it_says(raw: bool) -> None:
    """Its truth, fitted, gives back the distance; and it stands still."""
    uri = f"synthetic://wall?distance_m=1.7&width=128&height=96&raw={raw:d}"
    camera = open_source(uri, CaptureConfig())
    assert isinstance(camera, SyntheticCamera)
    if raw:
        from stereo_rt.calib.rectify import rectify_rig

        grid = rectify_rig(camera.calibration)
        rig, truth = grid.rig, camera.ground_truth(0, grid)
    else:
        rig, truth = camera.calibration, camera.ground_truth(0)
    found = measure_wall(results(np.stack([truth.disparity_px] * 2), rig), 1.7)
    assert found.distance_m == pytest.approx(1.7, rel=1e-5)
    assert found.sigma_temporal_px == 0
    assert found.sigma_spatial_px < 1e-4
    assert found.fill_percent == 100
    assert np.array_equal(camera.ground_truth(9, grid if raw else None).depth_m, truth.depth_m)


def test_a_distance_is_of_the_wall_only() -> None:
    with pytest.raises(SourceError, match=r"synthetic://wall\?distance_m=3"):
        open_source("synthetic://room?distance_m=3", CaptureConfig())


def test_the_command_measures_a_rendered_wall(tmp_path) -> None:
    """OpenCV's matcher on raw images: the whole road from distortion to metres."""
    bench = [sys.executable, "-m", "stereo_rt", "bench", "synthetic://wall?distance_m=2&raw=1", "--backend", "sgbm"]
    command = [*bench, "--check-wall", "2.0", "--frames", "10", "--json", "wall.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "wall.json").read_text())
    assert abs(found["bias_percent"]) < 1
    assert found["fill_percent"] > 80
    assert 0 < found["sigma_temporal_m"] < 0.05
    assert found["frames"] == 10
    assert "bias" in done.stdout
