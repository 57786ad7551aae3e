"""Solving a rig: the optimiser against others, rigs recovered, and what is said of captures that went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo_rt.calib import lens
from stereo_rt.calib.boards import Board, parse_board
from stereo_rt.calib.bundle import Estimate, Observations, adjust, linearise, residuals, rotation
from stereo_rt.calib.derivatives import DISTORTION, LensModel, camera_of, project
from stereo_rt.calib.detect import Detection, detect
from stereo_rt.calib.formats import read_calibration
from stereo_rt.calib.quality import Quality, assess
from stereo_rt.calib.rig import StereoRig
from stereo_rt.calib.solve import _simplest_of_the_good, solve
from stereo_rt.calib.solving import Solved, describe, write
from stereo_rt.calib.uncertainty import covariance, depth_errors, jackknife, parameters
from stereo_rt.calib.verdict import RULES, Verdict, judge
from stereo_rt.calib.views import View, find_views
from stereo_rt.cli.app import main
from stereo_rt.errors import CalibrationError, OutputError
from stereo_rt.sources.rendering.target import TargetEye

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import calibration_trials as trials

BOARD = trials.BOARD
MODELS: tuple[LensModel, ...] = ("pinhole", "rational", "fisheye")


def filmed(seed: int = 0, count: int = 16, model: LensModel = "pinhole") -> tuple[Estimate, list[View]]:
    """A random rig and views of it, as projected corners with noise."""
    rng = np.random.default_rng(seed)
    truth = trials.random_rig(rng, model)
    return truth, trials.film(truth, rng, count, rendered=False)


def true_rig(truth: Estimate) -> StereoRig:
    return StereoRig(*(camera_of(truth.model, entry, trials.SIZE) for entry in truth.lenses), truth.R, truth.T)


def judged(
    views: Sequence[View], model: LensModel = "pinhole", board: Board = BOARD, **stated: float
) -> tuple[Quality, Verdict]:
    quality = assess(solve(board, views, model), views, **stated)
    return quality, judge(quality)


def shifted(detection: Detection | None, x: float, y: float) -> Detection:
    assert detection is not None
    return replace(detection, corners_px=detection.corners_px + np.array([x, y]))


def thinned(detection: Detection | None, ids: slice) -> Detection:
    assert detection is not None
    return replace(detection, ids=detection.ids[ids], corners_px=detection.corners_px[ids])


# The optimiser -------------------------------------------------------------------------------------------------------


@given(model=st.sampled_from(MODELS), seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_derivatives_are_those_of_the_plain_projection(model: LensModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entry = np.concatenate([rng.uniform(300, 600, 2), rng.uniform(200, 400, 2), rng.normal(0, 0.02, DISTORTION[model])])
    points = rng.uniform((-0.6, -0.6, 0.8), (0.6, 0.6, 2), (5, 3))
    found, step = project(model, entry, points), 1e-6

    def plain(entry: np.ndarray, points: np.ndarray) -> np.ndarray:
        return lens.project(camera_of(model, entry, (640, 480)), points)

    np.testing.assert_allclose(found.pixels, plain(entry, points), atol=1e-9)
    for along, slope in ((np.eye(3), found.by_point),):
        numeric = [(plain(entry, points + step * e) - plain(entry, points - step * e)) / (2 * step) for e in along]
        np.testing.assert_allclose(slope, np.stack(numeric, -1), rtol=1e-5, atol=1e-3)
    numeric = [(plain(entry + step * e, points) - plain(entry - step * e, points)) / (2 * step) for e in np.eye(len(entry))]
    np.testing.assert_allclose(found.by_lens, np.stack(numeric, -1), rtol=1e-5, atol=1e-3)


def test_the_axis_itself_has_derivatives() -> None:
    for model in MODELS:
        found = project(model, np.concatenate([[400, 400, 320, 240], np.zeros(DISTORTION[model])]), np.array([[0, 0, 2.0]]))
        np.testing.assert_allclose(found.pixels, [[320, 240]])
        np.testing.assert_allclose(found.by_point, [[[200, 0, 0], [0, 200, 0]]], atol=1e-6)


def problem(model: LensModel = "pinhole") -> tuple[Observations, Estimate]:
    """Observations, and an estimate near enough to start from."""
    _, views = filmed(3, 8, model)
    solution = solve(BOARD, views, model)
    rng = np.random.default_rng(0)
    far = np.concatenate([rng.normal(0, 3, 4), np.zeros(DISTORTION[model])])
    step = np.concatenate([far, far, rng.normal(0, 0.005, 6)])
    return solution.seen, solution.estimate.moved(step, rng.normal(0, 0.005, (len(solution.names), 6)))


def test_adjusting_ends_where_scipys_least_squares_does() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    seen, start = problem()
    size = start.shared_size

    def moved(step: np.ndarray) -> Estimate:
        return start.moved(step[:size], step[size:].reshape(-1, 6))

    zero = np.zeros(size + 6 * len(seen.pixels))
    theirs = optimize.least_squares(lambda s: residuals(seen, moved(s)).ravel(), zero, method="trf", x_scale="jac", xtol=1e-14)
    ours = adjust(seen, start)
    assert (residuals(seen, ours) ** 2).sum() <= 2 * theirs.cost * (1 + 1e-7)
    np.testing.assert_allclose(ours.T, moved(theirs.x).T, atol=1e-5)
    np.testing.assert_allclose(ours.lenses, moved(theirs.x).lenses, rtol=1e-3, atol=1e-3)


def test_the_linearised_residuals_are_the_residuals() -> None:
    seen, here = problem("fisheye")
    system, step = linearise(seen, here), 1e-6
    for entry in range(here.shared_size):
        move = step * np.eye(here.shared_size)[entry]
        numeric = (residuals(seen, here.moved(move)) - residuals(seen, here.moved(-move))).reshape(len(seen.pixels), -1) / (
            2 * step
        )
        np.testing.assert_allclose(system.shared[..., entry], numeric, rtol=1e-4, atol=1e-2)
    nothing = np.zeros(here.shared_size)
    for entry in range(6):
        turn = np.tile(step * np.eye(6)[entry], (len(seen.pixels), 1))
        numeric = (residuals(seen, here.moved(nothing, turn)) - residuals(seen, here.moved(nothing, -turn))) / (2 * step)
        np.testing.assert_allclose(system.boards[..., entry], numeric.reshape(len(seen.pixels), -1), rtol=1e-4, atol=1e-2)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rotations_are_those_of_opencv(w: list[float]) -> None:
    np.testing.assert_allclose(rotation(np.array(w)), cv2.Rodrigues(np.array(w))[0], atol=1e-12)


# Rigs recovered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_exact_corners_give_the_rig_back(model: LensModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CORNER_NOISE_PX", "LATE_S"):
        monkeypatch.setattr(trials, name, 0.0)
    truth, views = filmed(5, 10, "fisheye" if model == "fisheye" else "pinhole")
    found = solve(BOARD, views, model)
    assert found.rejected == {} and found.everything.stereo_rms_px < 1e-4
    np.testing.assert_allclose(found.rig.T_right_left_m.ravel(), truth.T, atol=1e-6)
    np.testing.assert_allclose(found.rig.R_right_left, truth.R, atol=1e-5)
    np.testing.assert_allclose(found.rig.left.K[0, 0], truth.lenses[0, 0], atol=0.02)


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_the_rig_means_to_opencv_what_it_means_to_us(model: LensModel) -> None:
    _, views = filmed(6, 10, model)
    found = solve(BOARD, views, model)
    rig, estimate = found.rig, found.estimate
    squares, count = 0.0, 0
    for view in np.flatnonzero(found.pairs):
        in_left = (cv2.Rodrigues(estimate.board_R[view])[0], estimate.board_t[view])
        R = rig.R_right_left @ estimate.board_R[view]
        in_right = (cv2.Rodrigues(R)[0], (rig.R_right_left @ estimate.board_t[view])[:, None] + rig.T_right_left_m)
        for camera, (turn, shift), pixels in zip(
            (rig.left, rig.right), (in_left, in_right), found.seen.pixels[view], strict=True
        ):
            make = cv2.fisheye.projectPoints if model == "fisheye" else cv2.projectPoints
            made = make(found.seen.points_m[:, None], turn, shift, camera.K, camera.dist)[0].reshape(-1, 2)
            squares, count = squares + ((made - pixels) ** 2).sum(), count + len(pixels)
    assert np.sqrt(squares / count) == pytest.approx(found.everything.stereo_rms_px, rel=1e-6)


def test_the_lens_is_chosen_by_views_left_out() -> None:
    _, views = filmed(7, 14, "fisheye")
    assert solve(BOARD, views).estimate.model == "fisheye"
    _, views = filmed(8, 14, "pinhole")
    found = solve(BOARD, views)
    assert found.estimate.model == "pinhole" and set(found.heldout_px) == {"pinhole", "fisheye", "rational"}


def test_intervals_hold_what_they_promise() -> None:
    """Both eyes see moments apart, so corners of a view err together: intervals from corners would hold half of the time."""
    found = trials.summary([trials.trial(seed, "pinhole", 16, rendered=False) for seed in range(8)])
    assert found["inside_interval_mean"] >= 0.93
    ratios = np.array(found["true_over_predicted"])
    assert (ratios > 1 / 1.5).all() and (ratios < 1.5).all()


def test_the_covariance_is_what_leaving_views_out_does() -> None:
    _, views = filmed(4, 20, "fisheye")
    found = solve(BOARD, views, "fisheye")
    known = covariance(found.seen, found.estimate)
    sigma = np.sqrt(np.diag(known.matrix))
    for view in range(0, len(views), 3):
        rest = np.arange(len(views)) != view
        without = adjust(found.seen.take(rest), found.estimate.take(rest))
        turned = cv2.Rodrigues(without.R @ found.estimate.R.T)[0].ravel()
        step = [*(without.lenses - found.estimate.lenses).ravel(), *turned, *(without.T - found.estimate.T)]
        np.testing.assert_allclose(step / sigma, known.pulls[view] @ known.directions / sigma, atol=0.1)


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_no_more_is_promised_than_holds_when_one_eye_looks_late(model: LensModel) -> None:
    """A board held near is what the rig is known by and what a late eye sees most wrongly, all its corners alike."""
    _, views = filmed(1, 20, model)
    found = solve(BOARD, views, model)
    system, rng = linearise(found.seen, found.estimate), np.random.default_rng(0)
    late = system.shared[..., -3:] * (trials.LATE_S * trials.SPEED_M_S)
    shared = system.reduced()[1]
    scale = np.sqrt((shared**2).sum(axis=(0, 1)))
    solver = np.linalg.pinv((shared / scale).reshape(-1, len(scale))) / scale[:, None]
    holds, true, promised = [], [], []
    for _ in range(100):
        noise = (late @ rng.normal(size=(len(late), 3, 1)))[..., 0] + rng.normal(0, 0.04, late.shape[:2])
        off = system._replace(residuals=noise).reduced()[0]
        error = solver @ off.ravel()
        known = jackknife(off - shared @ error, shared)
        holds.append(np.abs(error) <= known.of(np.eye(len(error))).half95)
        true.append(error**2)
        promised.append(np.diag(known.matrix))
    assert (np.mean(promised, axis=0) > np.mean(true, axis=0)).all()
    assert np.mean(holds) >= 0.95 and np.mean(holds, axis=0).min() >= 0.9


def test_more_views_make_narrower_intervals() -> None:
    def widths(count: int) -> np.ndarray:
        _, views = filmed(9, count)
        found = solve(BOARD, views, "pinhole")
        known = covariance(found.seen, found.estimate)
        assert np.linalg.eigvalsh(known.matrix).min() > -1e-9 * np.trace(known.matrix)
        depth = [d.pct for d in depth_errors(found.estimate, known, found.sizes)]
        return np.array([*depth, *(p.sigma for p in parameters(found.estimate, known))])

    few, many = widths(8), widths(40)
    assert np.median(many / few) < 0.75


# Views that do not fit -----------------------------------------------------------------------------------------------


def test_a_view_that_does_not_fit_is_named_and_dropped() -> None:
    _, views = filmed(10)
    clean = solve(BOARD, views, "pinhole")
    rng = np.random.default_rng(0)
    assert views[4].left is not None
    views[2] = replace(views[2], right=shifted(views[2].right, 4, 2))
    views[4] = replace(views[4], left=replace(views[4].left, corners_px=views[4].left.corners_px + rng.normal(0, 4, (54, 2))))
    found = solve(BOARD, views, "pinhole")
    assert list(found.rejected) == ["002", "004"]
    assert "each eye alone fits" in found.rejected["002"] and "corners are off" in found.rejected["004"]
    assert found.everything.stereo_rms_px == pytest.approx(clean.everything.stereo_rms_px, rel=0.1)
    assert assess(found, views).as_dict()["views"]["rejected"] == ["002", "004"]


def folded(corners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Corners of a homography whose horizon crosses the board: some of them belong behind the camera."""
    points = BOARD.points_m[:, :2] - BOARD.points_m[:, :2].mean(axis=0)
    return points * 900 / (1 + points @ (9.0, 3.0))[:, None] + (320, 240)


@pytest.mark.parametrize(
    "garbled",
    [
        lambda corners, rng: rng.uniform((0, 0), trials.SIZE, corners.shape),
        lambda corners, rng: corners + rng.normal(0, 60, corners.shape),
        folded,
    ],
    ids=["random", "noise", "folded"],
)
@pytest.mark.parametrize("eyes", [("left",), ("right",), ("left", "right")])
@pytest.mark.filterwarnings("error")
def test_garbage_for_corners_is_left_out(
    garbled: Callable[[np.ndarray, np.random.Generator], np.ndarray], eyes: tuple[str, ...]
) -> None:
    _, views = filmed(0, 8)
    clean = solve(BOARD, [*views[:3], *views[4:]], "pinhole")
    for eye in eyes:
        seen = getattr(views[3], eye)
        bad = replace(seen, corners_px=garbled(seen.corners_px, np.random.default_rng(0)))
        views[3] = replace(views[3], **{eye: bad})
    found = solve(BOARD, views, "pinhole")
    assert list(found.rejected) == ["003"] and "nan" not in found.rejected["003"]
    np.testing.assert_allclose(found.rig.T_right_left_m, clean.rig.T_right_left_m, atol=1e-5)


@pytest.mark.parametrize(("model", "seed", "bad"), [("fisheye", 19, 6), ("pinhole", 31, 8)])
def test_hardly_anything_but_garbage_is_one_sentence(model: LensModel, seed: int, bad: int) -> None:
    _, views = filmed(seed, 8)
    rng = np.random.default_rng(seed)
    for n in range(bad):
        eyes = {}
        for eye in ("left", "right"):
            found = getattr(views[n], eye)
            eyes[eye] = replace(found, corners_px=folded(found.corners_px, rng) + rng.normal(0, 30, (54, 2)))
        views[n] = replace(views[n], **eyes)
    try:
        _, verdict = judged(views, model)
    except CalibrationError as e:
        assert "\n" not in str(e) and "nan" not in str(e)
    else:
        assert verdict.grade == "redo"


def test_a_model_that_cannot_follow_a_view_left_out_is_not_chosen() -> None:
    fine = np.full(8, 0.02)
    assert _simplest_of_the_good({"pinhole": np.append(fine[1:], np.inf), "fisheye": fine, "rational": fine}) == "fisheye"
    with pytest.raises(CalibrationError, match="no lens model"):
        _simplest_of_the_good(dict.fromkeys(MODELS, np.append(fine, np.inf)))


def test_views_of_one_eye_and_boards_seen_in_part_serve_too() -> None:
    truth, views = filmed(11)
    views = [replace(v, left=thinned(v.left, slice(0, 30)), right=thinned(v.right, slice(20, 54))) for v in views]
    views[0], views[1] = replace(views[0], right=None), replace(views[1], left=None)
    found = solve(BOARD, views, "pinhole")
    assert len(found.names) == 16 and found.pairs.sum() == 14
    assert found.rig.baseline_m == pytest.approx(float(np.linalg.norm(truth.T)), rel=0.01)


def test_a_charuco_board_half_out_of_the_picture_is_solved() -> None:
    board = parse_board("charuco:8x6:0.035")
    rng = np.random.default_rng(1)
    truth = trials.random_rig(rng, "pinhole")
    rig = true_rig(truth)
    eyes = [TargetEye(board, camera) for camera in (rig.left, rig.right)]
    views: list[View] = []
    for turn in np.array(
        [
            (0.3, 0, 0),
            (-0.4, 0.2, 0),
            (0, 0.4, 0.2),
            (0.2, -0.4, 0),
            (-0.3, -0.3, 1),
            (0.4, 0.3, 0),
            (0, -0.3, 2),
            (0.3, 0.2, 3),
        ]
    ):
        R = rotation(turn)
        side = 0.13 if len(views) % 2 else -0.13
        t = np.array([side, 0.08 * (len(views) % 3 - 1), 0.4]) - R @ board.points_m.mean(axis=0)
        poses = (R, t), (truth.R @ R, truth.R @ t + truth.T)
        found = [detect(board, eye.picture(*pose, noise=2, rng=rng)) for eye, pose in zip(eyes, poses, strict=True)]
        views.append(View(str(len(views)), *found))
    whole = len(board.points_m)
    assert sum(v.left is not None and len(v.left.ids) < whole for v in views) >= 4
    assert solve(board, views, "pinhole").rig.baseline_m == pytest.approx(rig.baseline_m, rel=0.02)


# Captures that went wrong --------------------------------------------------------------------------------------------


def test_a_sound_capture_is_good() -> None:
    truth, views = filmed(12, 30)
    quality, verdict = judged(views, stated_baseline_m=float(np.linalg.norm(truth.T)))
    assert verdict.grade == "good" and "30 pairs" in verdict.reason and "--calib" in verdict.next
    assert quality.moved is None


@pytest.mark.parametrize(("away_m", "aside_m"), [(1.2, 0.0), (0.5, 0.05)])
def test_too_little_coverage(away_m: float, aside_m: float) -> None:
    """Small in the middle of the image, or near and always in the same place."""
    truth, _ = filmed(13)
    rng = np.random.default_rng(0)
    rig, views, middle = true_rig(truth), [], BOARD.points_m.mean(axis=0)
    for turn in rng.uniform(-0.5, 0.5, (20, 3)):
        points = (BOARD.points_m - middle) @ rotation(turn * (1, 1, 0.3)).T + (aside_m, 0, away_m)
        corners = [lens.project(c, p) for c, p in ((rig.left, points), (rig.right, points @ truth.R.T + truth.T))]
        found = (Detection(np.arange(54), c + rng.normal(0, 0.1, c.shape), trials.SIZE, 0.4) for c in corners)
        views.append(View(str(len(views)), *found))
    try:
        quality, verdict = judged(views)
    except CalibrationError as e:
        assert "reached only" in str(e) and "corner" in str(e)
    else:
        assert verdict.grade in ("redo", "improve") and min(quality.coverage) < 0.5
        assert "reached only" in verdict.reason and "corner" in verdict.next


def test_pairs_in_the_wrong_order() -> None:
    _, views = filmed(14)
    order = np.random.default_rng(0).permutation(len(views))
    with pytest.raises(CalibrationError, match=r"do not belong together.*sorted order"):
        solve(BOARD, [replace(v, right=views[k].right) for v, k in zip(views, order, strict=True)], "pinhole")


def test_one_missing_image_shifts_all_pairs_after_it() -> None:
    _, views = filmed(14)
    late = [*views[:5], *(replace(v, right=w.right) for v, w in pairwise(views[5:]))]
    try:
        _, verdict = judged(late)
    except CalibrationError as e:
        assert "do not belong together" in str(e)
    else:
        assert verdict.grade == "redo"


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_eyes_exchanged(model: LensModel) -> None:
    _, views = filmed(15, model=model)
    with pytest.raises(CalibrationError, match=r"left and right are exchanged.*folders exchanged"):
        solve(BOARD, [replace(v, left=v.right, right=v.left) for v in views], model)


def test_eyes_above_each_other_are_told_so() -> None:
    rng = np.random.default_rng(15)
    truth = replace(trials.random_rig(rng, "pinhole"), T=np.array([0.003, -0.12, 0.001]))
    with pytest.raises(CalibrationError, match=r"above or behind each other.*90 degrees"):
        judged(trials.film(truth, rng, 10, rendered=False))


def test_eyes_that_look_apart_are_told_so() -> None:
    _, views = filmed(6, 10)
    found = solve(BOARD, views, "pinhole")
    apart = replace(found.estimate, R=rotation(np.array([0, 1.4, 0])))
    with pytest.raises(CalibrationError, match="more than 75 degrees apart"):
        assess(replace(found, estimate=apart), views)


@pytest.mark.parametrize(("known", "grade"), [(True, "redo"), (False, "good")])
def test_squares_of_another_size_show_by_the_baseline_alone(known: bool, grade: str) -> None:
    truth, views = filmed(12, 30)
    wrong = replace(BOARD, square_m=2 * BOARD.square_m)
    stated = {"stated_baseline_m": float(np.linalg.norm(truth.T))} if known else {}
    _, verdict = judged(views, board=wrong, **stated)
    assert verdict.grade == grade
    if known:
        assert "squares of 0.03" in verdict.reason and "--board" in verdict.next


def test_squares_of_unknown_size_give_a_rig_in_squares() -> None:
    truth, views = filmed(12, 20)
    quality, verdict = judged(views, board=replace(BOARD, square_m=1.0))
    said = "\n".join(describe(Solved(views, quality, verdict)))
    assert quality.units == "squares" and "at 10 squares" in said
    assert np.isnan(quality.depth[0].pct) and "nan" not in said  # one square away is nearer than both eyes see
    assert quality.baseline.value == pytest.approx(float(np.linalg.norm(truth.T)) / BOARD.square_m, rel=0.01)


@pytest.mark.parametrize("turn_deg", [0.5, 3.0])
@pytest.mark.parametrize("at", [8, 15])
def test_a_camera_that_moved_half_way(turn_deg: float, at: int) -> None:
    truth, views = filmed(16, 20)
    rng = np.random.default_rng(5)
    turned = replace(truth, R=rotation(np.radians([0, turn_deg, 0])) @ truth.R)
    after = [replace(v, name=f"{at + n:03d}") for n, v in enumerate(trials.film(turned, rng, 20 - at, rendered=False))]
    try:
        quality, verdict = judged([*views[:at], *after])
    except CalibrationError as e:
        said = str(e)
    else:
        said = verdict.reason
        assert verdict.grade == "redo" and quality.moved is not None
        assert quality.moved.turn_deg == pytest.approx(turn_deg, rel=0.3)
    assert f"moved against each other between {at - 1:03d} and {at:03d}" in said


def test_five_hundred_images_of_which_three_hold_a_board() -> None:
    _, views = filmed(17, 3)
    empty = [View(f"e{n}", None, None) for n in range(497)]
    try:
        _, verdict = judged([*views, *empty])
    except CalibrationError as e:
        assert "3 of 500" in str(e)
    else:
        assert verdict.grade == "redo" and "3 of 500 pairs" in verdict.reason
    with pytest.raises(CalibrationError, match=r"2 of 500 pairs.*at least 3"):
        solve(BOARD, [*views[:2], *empty, View("e", None, None)])


def test_a_chessboard_that_one_eye_never_sees_whole() -> None:
    _, views = filmed(17, 12)
    with pytest.raises(CalibrationError, match=r"0 of 12 pairs.*both eyes"):
        solve(BOARD, [replace(v, right=None) for v in views])


def test_the_table_of_rules_is_in_order_and_written_down() -> None:
    from stereo_rt.calib import verdict

    grades = [rule.grade for rule in RULES]
    assert grades == sorted(grades, reverse=True) and set(grades) == {"redo", "improve"}
    assert verdict.__doc__ is not None and all(f"| {grade} |" in verdict.__doc__ for grade in ("redo", "improve", "good"))


# The command ---------------------------------------------------------------------------------------------------------


def run(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "solve", *map(str, args)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered pairs in left/ and right/."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(3)
    truth = trials.random_rig(rng, "pinhole")
    rig, middle = true_rig(truth), BOARD.points_m.mean(axis=0)
    eyes = [TargetEye(BOARD, camera) for camera in (rig.left, rig.right)]
    for n, turn in enumerate(rng.uniform(-0.5, 0.5, (8, 3))):
        R = rotation(turn)
        t = np.array([0.07 * (n % 3 - 1) + 0.04, 0.04 * (n // 3 - 1), 0.5]) - R @ middle
        for eye, side, pose in zip(eyes, ("left", "right"), ((R, t), (truth.R @ R, truth.R @ t + truth.T)), strict=True):
            (folder / side).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / side / f"{n}.png"), eye.picture(*pose, noise=2, rng=rng))
    (folder / "baseline").write_text(str(rig.baseline_m))
    return folder


def test_the_command_writes_rig_figures_and_report(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig, figures, page = tmp_path / "rig.yaml", tmp_path / "f.json", tmp_path / "r.html"
    board = ("--board", str(BOARD), "--lens", "pinhole")
    code = run(pictures / "left", pictures / "right", *board, "-o", rig, "--json", figures, "--report", page)
    said = capsys.readouterr()
    found = json.loads(figures.read_text())
    assert code == (3 if found["verdict"] == "redo" else 0)
    assert found["verdict"] in said.out + said.err and "Traceback" not in said.err
    assert {"stereo_rms_px", "mono_rms_px", "epipolar_px", "coverage", "depth_error_pct", "views", "model"} <= set(found)
    assert set(found["mono_rms_px"]) == set(found["coverage"]) == {"left", "right"}
    assert set(found["epipolar_px"]) == {"mean", "p95", "heldout_mean"}
    assert set(found["depth_error_pct"]) == {"1", "2", "5", "10"}
    assert found["views"]["used"] == [str(n) for n in range(8)] and found["views"]["rejected"] == []
    written = read_calibration(rig)
    assert isinstance(written, StereoRig) and written.verdict == found["verdict"]
    assert written.baseline_m == pytest.approx(float((pictures / "baseline").read_text()), rel=0.01)
    assert found["verdict"] in page.read_text(encoding="utf-8")


def solved_once(views: list[View], **stated: float) -> Solved:
    return Solved(views, *judged(views, **stated))


def test_figures_that_are_not_finite_are_null_in_the_json_file(tmp_path: Path) -> None:
    """A model that cannot follow the views left out has infinity for its error."""
    _, views = filmed(12, 12)
    found = solved_once(views)
    solution = replace(found.quality.solution, heldout_px={"pinhole": 0.2, "rational": np.inf})
    quality = replace(found.quality, solution=solution, epipolar_px=replace(found.quality.epipolar_px, heldout_mean=np.nan))
    write(replace(found, quality=quality), tmp_path / "rig.yaml", None, tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["heldout_reprojection_px"] == {"pinhole": 0.2, "rational": None}
    assert figures["epipolar_px"]["heldout_mean"] is None and figures["epipolar_px"]["mean"] > 0
    assert isinstance(read_calibration(tmp_path / "rig.yaml"), StereoRig)


def test_the_rig_is_written_whatever_becomes_of_the_figures(tmp_path: Path) -> None:
    _, views = filmed(12, 12)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write(solved_once(views), tmp_path / "rig.yaml", None, tmp_path / "file" / "f.json")
    assert isinstance(read_calibration(tmp_path / "rig.yaml"), StereoRig)


def test_a_redo_does_not_replace_an_earlier_rig(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig, figures, page = tmp_path / "rig.yaml", tmp_path / "f.json", tmp_path / "r.html"
    rig.write_bytes(b"an earlier rig")
    args = (pictures / "left", pictures / "right", "--board", BOARD, "--lens", "pinhole", "--baseline", "0.5")
    assert run(*args, "-o", rig, "--json", figures, "--report", page) == 3
    said = capsys.readouterr().err
    assert f"{rig} exists and was kept" in said and "-o NEW.yaml" in said and said.count("\n") == 1
    assert rig.read_bytes() == b"an earlier rig"
    assert json.loads(figures.read_text())["verdict"] == "redo" and "redo" in page.read_text(encoding="utf-8")
    for _ in range(2):  # the second takes the place of the first
        assert run(*args, "-o", tmp_path / "other.yaml") == 3
        assert "refused without --force" in capsys.readouterr().err


def test_a_board_that_nobody_stated_is_named(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = (pictures / "left", pictures / "right", "--lens", "pinhole", "-o", tmp_path / "rig.yaml")
    run(*places)
    assert "board chessboard:9x6:0.025, assumed: pass --board" in capsys.readouterr().out
    run(*places, "--board", BOARD)
    out = capsys.readouterr().out
    assert f"board {BOARD}\n" in out and "assumed" not in out


def test_eyes_of_unlike_sizes_are_refused_before_solving(pictures: Path, tmp_path: Path) -> None:
    for file in (pictures / "right").iterdir():
        cv2.imwrite(str(tmp_path / file.name), cv2.resize(cv2.imread(str(file)), (480, 360), interpolation=cv2.INTER_AREA))
    with pytest.raises(CalibrationError, match=r"left images are 640x480 and the right ones 480x360; .*same mode"):
        find_views(str(pictures / "left"), str(tmp_path), BOARD)


def test_the_command_says_redo_and_writes_no_rig_where_there_is_none(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig, figures = tmp_path / "rig.yaml", tmp_path / "f.json"
    code = run(pictures / "right", pictures / "left", "--board", BOARD, "--lens", "pinhole", "-o", rig, "--json", figures)
    said = capsys.readouterr().err
    assert code == 3 and "exchanged" in said and "Traceback" not in said and said.count("\n") == 1
    assert not rig.exists() and json.loads(figures.read_text())["verdict"] == "redo"


def test_a_stated_baseline_that_does_not_fit_marks_the_file(pictures: Path, tmp_path: Path) -> None:
    rig = tmp_path / "rig.yaml"
    args = (pictures / "left", pictures / "right", "--board", BOARD, "--lens", "pinhole", "-o", rig, "--baseline", "0.5")
    assert run(*args) == 3
    written = read_calibration(rig)
    assert isinstance(written, StereoRig) and written.verdict == "redo"


# Real captures -------------------------------------------------------------------------------------------------------

REAL = {
    "opencv_13pairs": (
        "opencv_13pairs/left*.jpg",
        "opencv_13pairs/right*.jpg",
        "chessboard:9x6:0.025",
        "pinhole",
        0.217 * 1.02,
    ),
    "pcb9382_sbs": ("pcb9382_sbs/Stereo_Raw", None, "chessboard:11x8:0.025", "pinhole", 0.124 * 1.02),
    "sourishg_fisheye": ("sourishg_fisheye/left*.jpg", "sourishg_fisheye/right*.jpg", "chessboard:9x6:1", "fisheye", 0.5),
}


@pytest.mark.parametrize("name", REAL)
def test_real_captures_reach_the_reference(name: str, shared_data: Path, tmp_path: Path) -> None:
    left, right, board, model, limit = REAL[name]
    places = [shared_data / "calib" / place for place in (left, right) if place is not None]
    figures = tmp_path / "f.json"
    run(*places, "--board", board, "--lens", model, "-o", tmp_path / "rig.yaml", "--json", figures)
    found = json.loads(figures.read_text())
    assert found["stereo_rms_px"] <= limit
    assert len(found["views"]["used"]) >= 0.8 * found["views"]["asked"]
