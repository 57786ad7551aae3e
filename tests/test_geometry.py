"""RectifiedRig, by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig_strategies import between

from stereo_rt.errors import CalibrationError
from stereo_rt.geometry import DISPARITY_SIGMA_PX, RectifiedRig


@st.composite
def rectified(draw: st.DrawFn) -> RectifiedRig:
    width, height = draw(st.integers(2, 64)) * 8, draw(st.integers(2, 64)) * 8
    return RectifiedRig(
        width,
        height,
        fx_px=width * draw(between(0.3, 3)),
        cx_px=width * draw(between(-0.5, 1.5)),
        cy_px=height * draw(between(-0.5, 1.5)),
        baseline_m=draw(between(0.01, 2)),
        doffs_px=draw(st.sampled_from([0.0]) | between(-50, 200)),
    )


@given(rectified(), between(0.1, 100))
def test_depth_and_disparity_are_inverse(rig: RectifiedRig, z: float) -> None:
    d = rig.disparity_px(np.array([z], np.float32))
    shifted = float(d[0]) + rig.doffs_px
    # float32 keeps 7 digits of d, and doffs may cancel most of them.
    tolerance = 1e-5 + 2e-7 * (abs(float(d[0])) + abs(rig.doffs_px)) / shifted
    np.testing.assert_allclose(rig.depth_m(d), z, rtol=10 * tolerance)


@given(rectified())
def test_no_disparity_no_depth(rig: RectifiedRig) -> None:
    bad = np.array([np.nan, -rig.doffs_px, -rig.doffs_px - 1], np.float32)
    assert np.isnan(rig.depth_m(bad)[[0, 2]]).all()
    assert np.isnan(rig.disparity_px(np.array([np.nan, 0, -1]))).all()
    assert rig.depth_m(np.full((3, 4), 5.0)).shape == (3, 4)


@given(rectified(), st.integers(1, 4), between(1, 100))
def test_scaling_keeps_every_depth(rig: RectifiedRig, factor: int, z: float) -> None:
    other = rig.scaled(rig.width * factor, rig.height * factor)
    d = rig.disparity_px(np.array([z]))
    np.testing.assert_allclose(other.disparity_px(np.array([z])), d * factor, rtol=1e-4, atol=1e-3)
    back = other.scaled(*rig.size)
    assert back.size == rig.size
    numbers = [(r.fx_px, r.cx_px, r.cy_px, r.doffs_px) for r in (back, rig)]
    np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-9)


@given(rectified())
def test_scaling_maps_image_corners_to_image_corners(rig: RectifiedRig) -> None:
    half = rig.scaled(rig.width // 2, rig.height // 2)
    for x, scaled_x in ((-0.5, -0.5), (rig.width - 0.5, half.width - 0.5)):
        assert (x - rig.cx_px) / rig.fx_px == pytest.approx((scaled_x - half.cx_px) / half.fx_px)


@given(rectified(), st.integers(0, 10**6), between(0.5, 50))
def test_points_project_back_to_their_pixels(rig: RectifiedRig, seed: int, z: float) -> None:
    rng = np.random.default_rng(seed)
    depth = (z * rng.uniform(0.5, 2, (rig.height, rig.width))).astype(np.float32)
    depth[0, 0] = np.nan
    disparity = rig.disparity_px(depth)
    points = rig.points_m(disparity)
    assert np.isnan(points[0, 0]).all()
    u = rig.fx_px * points[..., 0] / points[..., 2] + rig.cx_px
    v = rig.fx_px * points[..., 1] / points[..., 2] + rig.cy_px
    # The right eye is at x = baseline, its principal point doffs further right.
    u_right = rig.fx_px * (points[..., 0] - rig.baseline_m) / points[..., 2] + rig.cx_px + rig.doffs_px
    seen = np.isfinite(u)
    columns, rows = np.meshgrid(np.arange(rig.width), np.arange(rig.height))
    np.testing.assert_allclose(u[seen], columns[seen], atol=2e-2)
    np.testing.assert_allclose(v[seen], rows[seen], atol=2e-2)
    np.testing.assert_allclose((u - u_right)[seen], disparity[seen], atol=2e-2, rtol=1e-3)


@given(rectified(), between(0.5, 50), between(0.05, 2))
def test_sigma_is_the_slope_of_depth(rig: RectifiedRig, z: float, sigma: float) -> None:
    shifted = rig.fx_px * rig.baseline_m / z
    step = shifted * 1e-3
    exact = [rig.fx_px * rig.baseline_m / (shifted + s) for s in (-step, step)]
    slope = (exact[0] - exact[1]) / (2 * step)
    d = np.array([shifted - rig.doffs_px])
    np.testing.assert_allclose(rig.depth_sigma_m(d, sigma), slope * sigma, rtol=5e-2)
    usual = DISPARITY_SIGMA_PX * rig.width / 640
    np.testing.assert_allclose(rig.depth_sigma_m(d), slope * usual, rtol=5e-2)


@given(rectified(), st.integers(0, 7), st.integers(0, 7))
def test_cropping_moves_only_the_principal_point(rig: RectifiedRig, x: int, y: int) -> None:
    crop = rig.cropped(x, y, 8, 8)
    whole = rig.points_m(np.full((rig.height, rig.width), 20.0, np.float32))
    np.testing.assert_allclose(
        crop.points_m(np.full((8, 8), 20.0, np.float32)), whole[y : y + 8, x : x + 8], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    "change",
    [{"baseline_m": 0.0}, {"baseline_m": -0.1}, {"fx_px": 0.0}, {"fx_px": float("nan")}, {"width": 0}, {"cx_px": float("inf")}],
)
def test_an_impossible_geometry_is_refused(change: dict[str, float]) -> None:
    good = {"width": 640, "height": 480, "fx_px": 500.0, "cx_px": 320.0, "cy_px": 240.0, "baseline_m": 0.1}
    with pytest.raises(CalibrationError):
        RectifiedRig(**(good | change))  # type: ignore[arg-type]


def test_a_change_of_aspect_is_refused() -> None:
    rig = RectifiedRig(1280, 800, 800, 640, 400, 0.075)
    assert rig.scaled(640, 400).fx_px == 400
    with pytest.raises(CalibrationError, match="aspect"):
        rig.scaled(640, 480)
    with pytest.raises(CalibrationError, match="crop"):
        rig.cropped(1000, 0, 640, 480)


def test_points_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        RectifiedRig(64, 48, 50, 32, 24, 0.1).points_m(np.zeros((10, 10)))


def test_an_uncalibrated_grid_has_disparity_but_no_metres() -> None:
    rig = RectifiedRig.uncalibrated(64, 48)
    assert not rig.metric
    assert np.isnan(rig.depth_m(np.full((2, 2), 5.0))).all()
    assert not rig.scaled(32, 24).metric
