"""Checking a calibration without a target: known turns are found, what cannot be told is said, a refined file is earned."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.calib.check import MIN_MATCHES, SURE, check
from stereo_rt.calib.drift import estimate, turned
from stereo_rt.calib.formats import read_calibration, write_calibration
from stereo_rt.calib.gather import Gathered, gather
from stereo_rt.calib.probe import summarise
from stereo_rt.calib.rectify import rectifying_rotations
from stereo_rt.calib.refine import refine, turned_rig
from stereo_rt.calib.rig import StereoRig
from stereo_rt.cli.app import main
from stereo_rt.errors import CalibrationError, CheckFailed
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources.synthetic import SyntheticCamera

ROOM = "synthetic://room?raw=1&frames=16&fps=3"
GRID = RectifiedRig(640, 400, 520.0, 320.0, 205.0, 0.1)


def camera(frames: int = 16, seed: int = 0) -> SyntheticCamera:
    """Raw frames of a room, far enough apart in time to show different things."""
    return SyntheticCamera(frames=frames, fps=3, raw=True, seed=seed)


def old_rig(rig: StereoRig, turn_deg: tuple[float, float, float]) -> StereoRig:
    """What a calibration said before the right eye of `rig` was turned by (pitch, yaw, roll) about its own centre."""
    back = cv2.Rodrigues(np.radians(turn_deg))[0]
    return replace(rig, R_right_left=back @ rig.R_right_left, T_right_left_m=back @ rig.T_right_left_m)


def turn_between(old: StereoRig, now: StereoRig) -> np.ndarray:
    """(3,) the true turn of the right eye since `old`, in degrees, in its rectified frame."""
    R_right = rectifying_rotations(old.R_right_left, old.T_right_left_m)[1]
    return np.degrees(cv2.Rodrigues(R_right @ old.R_right_left @ now.R_right_left.T @ R_right.T)[0].ravel())


def true_rig(source: SyntheticCamera) -> StereoRig:
    assert isinstance(source.calibration, StereoRig)
    return source.calibration


@pytest.fixture(scope="module")
def turned_room() -> tuple[StereoRig, StereoRig, Gathered]:
    """A calibration from before the right eye was turned, the true one, and what a look through the old one gathers."""
    source = camera()
    old = old_rig(true_rig(source), (0.06, 0.05, 0.2))
    return old, true_rig(source), gather(source, old)


def scattered(turn_rad: np.ndarray, noise_px: float = 0.0, wrong: float = 0.0, n: int = 2000) -> np.ndarray:
    """(n, 4) matches of random points at random depths, the right eye turned; a share of them is wrong."""
    rng = np.random.default_rng(3)
    left = rng.uniform((0, 0), GRID.size, (n, 2))
    flat = np.concatenate([left, rng.uniform(5, 60, (n, 1)), np.zeros((n, 1))], axis=1)
    matches = turned(flat, GRID, cv2.Rodrigues(-turn_rad)[0])
    matches[:, 3] += rng.normal(0, noise_px, n) + (rng.random(n) < wrong) * rng.uniform(-40, 40, n)
    return matches


def test_exact_matches_give_the_exact_turn() -> None:
    turn = np.array([0.002, -0.004, 0.006])
    assert estimate(scattered(turn), GRID).turn_rad == pytest.approx(turn, abs=1e-6)


def test_wrong_matches_hardly_count_and_are_named() -> None:
    turn = np.array([0.001, 0.0, -0.003])
    drift = estimate(scattered(turn, noise_px=0.3, wrong=0.3), GRID)
    assert np.abs(drift.turn_rad - turn).max() < 4 * drift.sigma_rad.max()
    assert (drift.turn_rad - turn)[[0, 2]] == pytest.approx(0, abs=2e-4)
    assert 0.65 < drift.fits.mean() < 0.8


def test_intervals_hold_the_truth() -> None:
    """Noise, many times over: the 95 % intervals hold the truth at their stated rate or better."""
    inside = []
    for seed in range(20):
        matches = scattered(np.zeros(3), n=300)
        matches[:, 3] += np.random.default_rng(seed).normal(0, 0.4, len(matches))
        drift = estimate(matches, GRID)
        inside.append(np.abs(drift.turn_rad) <= SURE * drift.sigma_rad)
    assert np.mean(inside) >= 0.9


def test_yaw_is_known_much_less_than_pitch_and_roll_and_never_corrected() -> None:
    drift = estimate(scattered(np.array([0.0, 0.01, 0.0]), noise_px=0.3), GRID)
    pitch, yaw, roll = drift.sigma_rad
    assert yaw > 3 * pitch and yaw > 3 * roll
    assert np.abs(cv2.Rodrigues(drift.correction)[0][1]) < 1e-12


def test_the_turn_of_the_right_eye_is_found(turned_room: tuple[StereoRig, StereoRig, Gathered]) -> None:
    old, now, gathered = turned_room
    health = check(gathered)
    assert health.verdict == "improve" and health.matches > 500
    off = np.abs(np.degrees(health.drift.turn_rad) - turn_between(old, now))
    assert (off <= SURE * np.degrees(health.drift.sigma_rad)).all()
    assert off[0] < 0.01 and off[2] < 0.03
    assert health.corrected.median_px < health.now.median_px / 3


def test_a_refined_rig_is_nearer_to_the_truth(turned_room: tuple[StereoRig, StereoRig, Gathered]) -> None:
    old, now, gathered = turned_room
    found = refine(old, gathered)
    assert found.after.rms_px < found.before.rms_px / 3
    pitch, _, roll = np.abs(turn_between(found.rig, now))
    assert pitch < 0.02 and roll < 0.04
    centre = [rig.R_right_left.T @ rig.T_right_left_m for rig in (old, found.rig)]
    assert centre[0] == pytest.approx(centre[1])
    assert "refined" in found.rig.name and found.rig.verdict == "usable"


def test_the_turned_rig_undoes_exactly_the_turn() -> None:
    now = true_rig(camera())
    old = old_rig(now, (0.3, -0.2, 0.5))
    whole = cv2.Rodrigues(np.radians(turn_between(old, now)))[0]
    again = turned_rig(old, whole)
    assert again.R_right_left == pytest.approx(now.R_right_left, abs=1e-9)
    assert again.T_right_left_m == pytest.approx(now.T_right_left_m, abs=1e-9)


def test_a_right_rig_is_good_and_not_refined() -> None:
    source = camera()
    gathered = gather(source, true_rig(source))
    health = check(gathered)
    assert health.verdict == "good" and health.now.rms_px < 0.2 and not health.swapped
    with pytest.raises(CheckFailed, match="nothing is written"):
        refine(true_rig(source), gathered)


def test_a_large_turn_asks_for_a_board() -> None:
    source = camera(frames=8)
    health = check(gather(source, old_rig(true_rig(source), (0.5, 0.0, 0.0))))
    assert health.verdict == "redo" and "yaw" in health.reason


def test_a_wrong_lens_is_not_taken_for_a_turn() -> None:
    source = camera(frames=12)
    rig = true_rig(source)
    lens = rig.right.dist.copy()
    lens[0] += 0.06
    health = check(gather(source, replace(rig, right=replace(rig.right, dist=lens))))
    assert health.verdict == "redo" and "does not explain" in health.reason


@pytest.mark.parametrize(("live", "level"), [(True, logging.WARNING), (False, logging.INFO)])
def test_a_calibration_for_another_size_is_said_to_be_scaled(live: bool, level: int, caplog: pytest.LogCaptureFixture) -> None:
    source = camera(frames=1)
    source.live = live
    with caplog.at_level(logging.INFO):
        gather(source, true_rig(source).scaled(1280, 960))
    said = [(r.levelno, r.message) for r in caplog.records if r.message.startswith("calibrated at 1280x960")]
    assert [number for number, _ in said] == [level] and "frames are 640x480" in said[0][1]


def test_few_matches_are_one_sentence() -> None:
    few = Gathered((scattered(np.zeros(3), n=MIN_MATCHES - 1),), summarise(np.zeros((0, 4)), GRID.size), GRID)
    with pytest.raises(CalibrationError, match="nothing can be told"):
        check(few)
    crowded = scattered(np.zeros(3), n=4000)
    crowded = crowded[(crowded[:, :2] < 80).all(axis=1)]
    with pytest.raises(CalibrationError, match="of the view"):
        check(replace(few, looks=(np.tile(crowded, (20, 1)),)))


def test_too_few_frames_are_not_refined(turned_room: tuple[StereoRig, StereoRig, Gathered]) -> None:
    old, _, gathered = turned_room
    with pytest.raises(CheckFailed, match="too few"):
        refine(old, replace(gathered, looks=gathered.looks[:3]))


def test_frames_that_disagree_are_not_refined(turned_room: tuple[StereoRig, StereoRig, Gathered]) -> None:
    """The eye moved between two halves of the recording: what fits one block is no good for the next."""
    old, _, gathered = turned_room
    there, back = (cv2.Rodrigues(np.array([s * 0.003, 0, 0]))[0] for s in (1, -1))
    looks = tuple(turned(look, gathered.grid, (there, back)[n % 2]) for n, look in enumerate(gathered.looks[:8]))
    with pytest.raises(CheckFailed, match="does not clearly help"):
        refine(old, replace(gathered, looks=looks))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "check", *arguments])
    return int(ended.value.code or 0)


def test_the_command_refines_into_a_new_file_that_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, figures = (tmp_path / name for name in ("old.yaml", "new.yaml", "check.json"))
    write_calibration(old_rig(true_rig(camera()), (0.05, 0.0, 0.15)), old)
    before = old.read_bytes()
    assert run(ROOM, "--calib", str(old), "--refine", str(new), "--json", str(figures)) == 0
    out = capsys.readouterr().out
    assert "improve:" in out and "roll" in out and f"--calib {new}" in out
    assert old.read_bytes() == before
    found = json.loads(figures.read_text())
    assert found["verdict"] == "improve" and found["not_corrected"] == ["yaw", "baseline"]
    assert found["heldout_vertical_px"]["after"]["rms"] < found["vertical_px"]["rms"] / 2
    assert isinstance(read_calibration(new), StereoRig)
    assert run(ROOM, "--calib", str(new), "--max-frames", "10") == 0
    assert "good:" in capsys.readouterr().out


def test_nothing_is_overwritten_and_nothing_applied_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rig.yaml"
    write_calibration(true_rig(camera()), file)
    before = file.read_bytes()
    assert run(ROOM, "--calib", str(file), "--refine", str(file)) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert run(f"{ROOM}&noise=1", "--calib", str(file), "--max-frames", "8") == 0
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("source", ["synthetic://room?frames=8&fps=3", f"{ROOM}&width=640"])
def test_swapped_eyes_are_named(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "--swap", "--max-frames", "8") == 3
    assert "exchanged" in capsys.readouterr().err


def test_the_next_command_keeps_the_exchange_or_takes_it_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images that come exchanged need --swap from then on; images that do not are helped by leaving it away."""
    source, names, files = camera(8), ("right", "left"), [tmp_path / f"{name}.yaml" for name in ("rig", "old", "new")]
    while (frame := source.read(1.0)) is not None:
        for name in names:
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{frame.index:03d}.png"), getattr(frame, name))
    right_first, left_first = (",".join(str(tmp_path / n) for n in order) for order in (names, names[::-1]))
    rig, old, new = files
    write_calibration(true_rig(source), rig)
    write_calibration(old_rig(true_rig(source), (0.05, 0.0, 0.15)), old)

    assert run(right_first, "--calib", str(rig), "--swap") == 0
    assert f"next: stereo-rt view {right_first} --calib {rig} --swap\n" in capsys.readouterr().out
    assert run(right_first, "--calib", str(old), "--swap", "--refine", str(new)) == 0
    assert f"next: stereo-rt calibrate check {right_first} --calib {new} --swap\n" in capsys.readouterr().out
    assert run(left_first, "--calib", str(rig), "--swap") == 3
    assert capsys.readouterr().err.endswith(f"next: stereo-rt calibrate check {left_first} --calib {rig}\n")
    assert run(right_first, "--calib", str(rig)) == 3
    assert capsys.readouterr().err.endswith(f"next: stereo-rt calibrate check {right_first} --calib {rig} --swap\n")


def test_rectified_images_are_measured_and_not_refined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "synthetic://room?frames=12&fps=3&vertical_px=1.2"
    assert run(source) == 0
    out = capsys.readouterr().out
    assert "improve:" in out and "1.2 px" in out and "come rectified" in out
    assert run(source, "--refine", str(tmp_path / "new.yaml")) == 1
    assert "nothing to refine" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.fixture
def blank(tmp_path: Path) -> str:
    """A pair of images without anything in them, as a source."""
    files = [tmp_path / f"{eye}.png" for eye in ("left", "right")]
    for file in files:
        cv2.imwrite(str(file), np.full((400, 640), 90, np.uint8))
    return ",".join(map(str, files))


def test_blank_images_say_nothing(blank: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_calibration(GRID, tmp_path / "rig.yaml")
    assert run(blank, "--calib", str(tmp_path / "rig.yaml")) == 1
    error = capsys.readouterr().err
    assert "only 0 points match" in error and error.count("\n") == 1


def test_a_source_without_calibration_or_frames(blank: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(blank) == 1
    assert "--calib FILE" in capsys.readouterr().err
    assert run(ROOM, "--skip", "30") == 1
    assert "smaller --skip" in capsys.readouterr().err


def test_the_oak_recording_is_found_1_2_px_off_and_refined(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "video" / "oak_people_counting"
    if not folder.is_dir():
        pytest.skip("the recording is not here")
    source, old, new = f"{folder}/left.mp4,{folder}/right.mp4", folder / "calib.json", tmp_path / "new.yaml"
    assert run(source, "--calib", str(old), "--max-frames", "40", "--refine", str(new)) == 0
    found = {}
    for rig in (old, new):
        file = tmp_path / "check.json"
        assert run(source, "--calib", str(rig), "--skip", "60", "--max-frames", "30", "--json", str(file)) == 0
        found[rig] = json.loads(file.read_text())["vertical_px"]
    assert found[old]["rms"] == pytest.approx(1.25, abs=0.2)
    assert all(found[new][figure] < found[old][figure] / 2 for figure in ("rms", "median"))
