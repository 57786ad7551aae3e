"""Colours, scales, layouts and words about a frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt import hud, render
from stereo_rt.config import ViewConfig
from stereo_rt.frames import DepthResult
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources.base import SourceStatus
from stereo_rt.status import Status

VIEW = ViewConfig()
RIG = RectifiedRig(width=320, height=240, fx_px=250, cx_px=159.5, cy_px=119.5, baseline_m=0.1)


def result(rig: RectifiedRig = RIG, **changes: object) -> DepthResult:
    """Disparity grows to the right from 2 to 50 px; the top left corner is unknown, the bottom half is masked."""
    disparity = np.tile(np.linspace(2, 50, rig.width, dtype=np.float32), (rig.height, 1))
    disparity[:10, :10] = np.nan
    mask = np.isfinite(disparity)
    mask[rig.height // 2 :] = False
    confidence = np.tile(np.linspace(0, 1, rig.height, dtype=np.float32)[:, None], (1, rig.width))
    left = np.full((rig.height, rig.width, 3), (10, 120, 200), np.uint8)
    fields: dict = {"disparity_px": disparity, "confidence": confidence, "mask": mask, "rig": rig, "left": left}
    return DepthResult(**{**fields, "index": 7, "stamp_ns": 0, **changes})  # type: ignore[arg-type]


def test_colorize_by_hand() -> None:
    values = np.array([[np.nan, -5.0, 0.0, 5.0, 10.0, 99.0, np.inf]], np.float32)
    index = render.color_index(values, 0, 10)
    np.testing.assert_array_equal(index, [[0, 1, 1, 128, 255, 255, 0]])
    gray = render.colorize(values, 0, 10, "gray")
    np.testing.assert_array_equal(gray[0, :, 0], [render.INVALID_BGR[0], 0, 0, 128, 255, 255, render.INVALID_BGR[0]])


@pytest.mark.parametrize("colormap", render.COLORMAPS)
def test_colorize_equals_its_numpy_twin(colormap: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(-3, 12, (40, 50)).astype(np.float32)
    valid = rng.random((40, 50)) < 0.8
    values[rng.random((40, 50)) < 0.1] = np.nan
    low, high = 1.0, 9.0
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    index = np.where(valid & np.isfinite(values), np.floor(np.nan_to_num(share) * 254 + 1.5), 0).astype(int)
    expected = render.color_table(colormap)[index, 0].astype(int)
    got = render.colorize(values, low, high, colormap, valid)
    assert got.dtype == np.uint8
    off = np.abs(got.astype(int) - expected).max(axis=-1)
    assert (off > 0).mean() < 0.01  # float32 against float64 at a step's edge
    assert (got[~(valid & np.isfinite(values))] == render.INVALID_BGR).all()


@given(st.floats(-50, 50), st.floats(0.5, 100), st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=20))
def test_a_range_turned_round_mirrors_the_ramp(low: float, span: float, numbers: list[float]) -> None:
    values = np.array([numbers], np.float32)
    up = render.color_index(values, low, low + span).astype(int)
    down = render.color_index(values, low + span, low).astype(int)
    assert np.abs(up + down - 256).max() <= 1


@pytest.mark.parametrize("bad", [(1.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_no_range_no_colours(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no range"):
        render.colorize(np.zeros((2, 2), np.float32), *bad)
    with pytest.raises(ValueError, match="colour map 'jet'"):
        render.colorize(np.zeros((2, 2), np.float32), 0, 1, "jet")


@given(st.floats(-1000, 1000), st.floats(0.01, 1000), st.integers(2, 12))
def test_ticks_are_round_few_and_inside(low: float, span: float, most: int) -> None:
    marks = render.ticks(low, low + span, most)
    assert 1 <= len(marks) <= most or span < 1e-3 or most == 2
    slack = 1e-4 * max(span, abs(low))
    assert all(low - slack <= m <= low + span + slack for m in marks)
    steps = np.diff(marks)
    if len(steps):
        np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
        assert float(f"{steps[0]:.1e}".partition("e")[0]) in (1.0, 2.0, 5.0)


def test_depth_and_disparity_share_their_colours() -> None:
    """The same surface has the warm end in both panes, and both spans describe the same depths."""
    scales = render.scales(ViewConfig(range_m=(0.5, 10)), RIG)
    assert (scales["depth"].cold, scales["depth"].warm) == (10, 0.5)
    assert scales["disparity"].warm == pytest.approx(RIG.fx_px * RIG.baseline_m / 0.5)
    assert scales["disparity"].cold == pytest.approx(RIG.fx_px * RIG.baseline_m / 10)


def test_an_open_range_gets_ends() -> None:
    for low, high in ((0.0, np.inf), (0.0, 3.0), (4.0, np.inf), (50.0, np.inf)):
        depth = render.scales(ViewConfig(range_m=(low, high)), RIG)["depth"]
        assert np.isfinite([depth.cold, depth.warm]).all()
        assert 0 < depth.warm < depth.cold


@given(
    st.floats(0, 1e300),
    st.floats(0, exclude_min=True, allow_infinity=True, allow_nan=False),
    st.sampled_from([0.0, -40.0, 3.5]),
)
def test_any_range_can_be_drawn(low: float, span: float, doffs_px: float) -> None:
    rig = RectifiedRig(64, 48, fx_px=60, cx_px=31.5, cy_px=23.5, baseline_m=0.1, doffs_px=doffs_px)
    if low + span > low:
        image = render.panes(result(rig), ViewConfig(range_m=(low, low + span)))
        assert image.shape[2] == 3


def test_colours_do_not_flicker() -> None:
    """The same depth has the same colour whatever else is in the frame."""
    one, other = result(), result(disparity_px=np.full((240, 320), 20, np.float32))
    column = int(np.argmin(np.abs(one.disparity_px[100] - 20)))
    other.disparity_px[:, column] = one.disparity_px[100, column]
    for pane in ("disparity", "depth"):
        a, b = render.picture(one, pane, VIEW), render.picture(other, pane, VIEW)
        np.testing.assert_array_equal(a[100, column], b[100, column])


def test_composite_shows_every_pane_in_its_place() -> None:
    shown = result()
    where = render.layout(RIG)
    image = render.panes(shown, VIEW, where)
    assert image.shape == (where.size[1], where.size[0], 3)
    for pane in render.PANES:
        x, y = where.origin(pane)
        cut = image[y : y + 240, x : x + 320]
        np.testing.assert_array_equal(cut, render.picture(shown, pane, VIEW))
        assert image[y - render.HEADER_PX : y, x : x + 320].max() > 150, "a title is drawn"
    depth_x, depth_y = where.origin("depth")
    masked = image[depth_y + 121 : depth_y + 240, depth_x : depth_x + 320]
    assert (masked == render.INVALID_BGR).all()


def test_grey_frames_are_shown_grey() -> None:
    left = np.arange(240 * 320, dtype=np.uint32).reshape(240, 320).astype(np.uint8)
    image = render.picture(result(left=left), "left", VIEW)
    np.testing.assert_array_equal(image, cv2.merge([left] * 3))


def test_without_a_calibration_there_are_pixels_only() -> None:
    rig = RectifiedRig.uncalibrated(320, 240)
    shown = result(rig)
    assert render.scales(VIEW, rig)["depth"].unit == "px"
    depth = render.picture(shown, "depth", VIEW)
    assert (depth[50, 100:] != render.INVALID_BGR).any()
    assert "m ±" not in str(hud.readout(shown, 100, 50))


def test_filled_pixels_never_look_measured() -> None:
    filled = np.zeros((240, 320), bool)
    filled[40:80, 100:200] = True
    for pane in ("disparity", "depth"):
        measured, shown = (render.picture(result(filled=f), pane, VIEW) for f in (None, filled))
        gaps = (shown == render.INVALID_BGR).all(-1)
        assert 0.4 < gaps[filled].mean() < 0.6, "stripes"
        np.testing.assert_array_equal(shown[~filled], measured[~filled])
        small = render.picture(result(filled=filled), pane, VIEW, (160, 120))
        assert 0.4 < (small == render.INVALID_BGR).all(-1)[20:40, 50:100].mean() < 0.6, "in small pictures too"


@given(
    st.integers(16, 2000),
    st.integers(16, 1500),
    st.integers(200, 2500),
    st.integers(200, 1600),
    st.sampled_from([render.PANES, ("depth",), ("left", "depth")]),
)
def test_a_fitted_layout_fits_and_finds_its_pixels(w: int, h: int, box_w: int, box_h: int, shown: tuple[str, ...]) -> None:
    rig = RectifiedRig(w, h, fx_px=w, cx_px=0, cy_px=0, baseline_m=0.1)
    where = render.fitted(rig, shown, (box_w, box_h))
    if where.picture[0] > 16:  # smaller than that nothing is drawn
        assert where.size[0] <= box_w
        assert where.size[1] <= box_h + 1
    for pane in shown:
        x, y = where.origin(pane)
        assert where.locate(x, y) == (0, 0)
        assert where.locate(x + where.picture[0] - 1e-6, y + where.picture[1] - 1e-6) == (w - 1, h - 1)
        assert where.locate(x, y - 1) is None


def test_readout_equals_the_maps() -> None:
    shown = result(filled=np.zeros((240, 320), bool))
    x, y = 200, 40
    reading = hud.readout(shown, x, y)
    d = float(shown.disparity_px[y, x])
    assert reading.disparity_px == pytest.approx(d)
    assert reading.depth_m == pytest.approx(250 * 0.1 / d, rel=1e-5)
    # sigma of 0.5 px on a 640-pixel grid is 0.25 px here: dz = z^2 / (fx B) * 0.25
    assert reading.sigma_m == pytest.approx(reading.depth_m**2 / 25 * 0.25, rel=1e-4)
    assert reading.confidence == pytest.approx(y / 239)
    assert reading.valid
    assert str(reading) == f"x 200 y 40  d {d:.1f} px  z {reading.depth_m:.2f} m ± {reading.sigma_m:.2f}  c 0.17"
    assert str(hud.readout(shown, 200, 200)).endswith("masked")
    assert "no disparity" in str(hud.readout(shown, 3, 3))
    for outside in ((320, 0), (0, 240), (-1, 0)):
        with pytest.raises(IndexError, match="320x240"):
            hud.readout(shown, *outside)


def test_status_lines_say_what_matters() -> None:
    status = Status(
        state="stale",
        detail="camera is away",
        frames=9,
        fps=29.97,
        frame_age_ms=41.4,
        frame_age_p99_ms=60.2,
        drops=3,
        sink_drops={},
        stage_ms={"capture": 1.0, "match": 20.25},
        skew_ms=2.5,
        source=SourceStatus("stale", "camera is away", reopened=2),
        warnings=("rows differ by 1.2 px",),
        matcher="student_s (onnx)",
    )
    first, second = hud.status_lines(status)
    assert first == "stale   30.0 fps   age 41 ms (p99 60)   drops 3   skew 2.5 ms   re-opened 2"
    assert second == "capture 1.0 match 20.2 ms   student_s (onnx)"
    assert hud.warning_lines(status) == ["camera is away", "rows differ by 1.2 px"]
