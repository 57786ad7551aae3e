"""Capture without a screen: what a view adds, the gates, the folder, and the command on a recording and on a camera."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.calib.boards import parse_board, read_board
from stereo_rt.calib.capture import GATES, Capture, Judge, Look
from stereo_rt.calib.detect import Detection
from stereo_rt.calib.diversity import NOTHING, Kept, choose, stance
from stereo_rt.calib.guide import draw
from stereo_rt.calib.session import CaptureSession
from stereo_rt.calib.views import find_views
from stereo_rt.errors import ConfigError, OutputError
from stereo_rt.frames import StereoFrame
from stereo_rt.sources import open_source
from stereo_rt.sources.synthetic_board import BoardCamera

BOARD = parse_board("chessboard:9x6:0.025")
MOVING, RESTING = 10, 4  # frames of the camera below


@pytest.fixture(scope="module")
def camera() -> BoardCamera:
    return BoardCamera(BOARD, (480, 360), fps=8.0, frames=100)


def seen(camera: BoardCamera, index: int, scale: float = 1.0) -> tuple[Detection, Detection]:
    """The true corners of a frame as detections."""
    left, right = (Detection(np.arange(54), c * scale, camera.size, 0.4) for c in camera.corners_px(index))
    return left, right


def looks(camera: BoardCamera, *indices: int, kept: Kept = NOTHING) -> list[Look]:
    judge = Judge(BOARD)
    return [judge(camera.frame(i), kept) for i in indices]


# -- what a view adds ------------------------------------------------------------------------------------------------


def test_stances_tell_place_size_and_tilt_apart() -> None:
    x, y = BOARD.points_m[:, :2].T

    def at(dx: float, dy: float, scale: float = 1000.0, turned: float = 0.0, tipped: float = 0.0) -> np.ndarray:
        w = 1 + turned * x + tipped * y
        points = np.stack([scale * x / w + dx, scale * y / w + dy], axis=-1)
        return stance(BOARD, Detection(np.arange(54), points, (640, 480), 0.4))

    assert at(0, 0)[:2] == pytest.approx([0, 0], abs=1e-6)
    assert at(440, 355)[:2] == pytest.approx([1, 1], abs=1e-6)
    assert at(100, 100, 2000)[2] == pytest.approx(2 * at(100, 100)[2])
    assert at(100, 100)[3:] == pytest.approx([0, 0], abs=1e-6)
    assert abs(at(100, 100, turned=2)[3]) > 0.2 > abs(at(100, 100, turned=2)[4])
    assert abs(at(100, 100, tipped=2)[4]) > 0.2


def test_a_view_adds_something_once(camera: BoardCamera) -> None:
    pair = seen(camera, RESTING)
    assert NOTHING.novelty(BOARD, *pair) >= 1
    kept = NOTHING.plus(BOARD, *pair)
    assert kept.novelty(BOARD, *pair) == pytest.approx(0, abs=1e-6)
    assert kept.novelty(BOARD, *seen(camera, RESTING + 26)) > 1, "another place is new"
    assert 0 < kept.coverage[0] < 1 and not kept.enough
    assert kept.without_last().coverage == (0, 0)


def test_the_chosen_views_differ_and_the_rest_adds_nothing(camera: BoardCamera) -> None:
    pairs = [seen(camera, i) for i in range(0, 520, 4)]
    chosen = choose(BOARD, pairs, 40)
    assert 10 <= len(chosen) <= 40 and chosen == sorted(set(chosen))
    kept = NOTHING
    for n in chosen:
        kept = kept.plus(BOARD, *pairs[n])
    assert min(kept.bars.values()) > 0.9
    if len(chosen) < 40:
        assert all(kept.novelty(BOARD, *pair) < 1 for pair in pairs)
    assert len(choose(BOARD, pairs, 5)) == 5


# -- the gates -------------------------------------------------------------------------------------------------------


def test_a_board_at_rest_passes_and_a_moving_one_does_not(camera: BoardCamera) -> None:
    _, resting = looks(camera, RESTING - 1, RESTING)
    assert all(resting.gates.values()) and resting.hint == ""
    _, moving = looks(camera, MOVING - 1, MOVING)
    assert moving.gates["seen"] and not moving.gates["still"] and not moving.good
    assert moving.speed_px_s > 20 and "still" in moving.hint
    _, again = looks(camera, RESTING - 1, RESTING, kept=NOTHING.plus(BOARD, *seen(camera, RESTING)))
    assert again.good and not again.gates["new"] and "nothing new" in again.hint


def test_blur_skew_and_a_missing_eye_shut_their_gates(camera: BoardCamera) -> None:
    first, frame = camera.frame(RESTING - 1), camera.frame(RESTING)

    def last(changed: StereoFrame) -> Look:
        judge = Judge(BOARD)
        judge(first, NOTHING)
        return judge(changed, NOTHING)

    blurred = replace(frame, left=cv2.GaussianBlur(frame.left, (0, 0), 4.0))
    assert (look := last(blurred)).left is None or not look.gates["sharp"]
    hidden = last(replace(frame, right=np.zeros_like(frame.right)))
    assert not hidden.gates["seen"] and hidden.hint == "the right eye does not see the board"
    moving = camera.frame(MOVING)
    judge = Judge(BOARD)
    judge(camera.frame(MOVING - 1), NOTHING)
    assert not judge(replace(moving, skew_ns=20_000_000), NOTHING).gates["in step"], "20 ms while it moves"
    assert last(replace(frame, skew_ns=20_000_000)).gates["in step"], "while it rests they may differ"


def test_eyes_that_see_different_parts_of_the_board_get_a_hint(tmp_path: Path) -> None:
    """As a ChArUco allows, which each eye finds by its markers."""
    board = parse_board("charuco:11x8:0.02")
    camera = BoardCamera(board, (640, 480))
    frame = camera.frame(RESTING)
    left, right = frame.left.copy(), frame.right.copy()
    middle_left, middle_right = (int(np.median(corners[:, 0])) for corners in camera.corners_px(RESTING))
    left[:, middle_left:] = right[:, :middle_right] = 127
    look = Judge(board)(replace(frame, left=left, right=right), NOTHING)
    assert look.left is not None and look.right is not None and not look.gates["seen"]
    assert look.hint == "the eyes see different parts of the board: farther away, or more to the middle"
    session = CaptureSession(camera, board, tmp_path / "c", say=lambda text: None)
    session.look = look
    assert session.picture() is not None and session.describe()["hint"] == look.hint
    session.take()
    assert "different parts" in session.message and len(session.capture) == 0


# -- the folder ------------------------------------------------------------------------------------------------------


def test_pairs_are_kept_without_loss_and_given_up_again(camera: BoardCamera, tmp_path: Path) -> None:
    capture = Capture(tmp_path / "c", BOARD, camera.name)
    assert capture.undo() is None and not (tmp_path / "c").exists()
    first, second = looks(camera, RESTING, RESTING + 26)
    capture.take(first)
    capture.take(second)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "c/right/001.png"), cv2.IMREAD_UNCHANGED), second.frame.right)
    assert capture.undo() == "001"
    capture.take(second)
    assert sorted(p.name for p in (tmp_path / "c/left").iterdir()) == ["000.png", "001.png"]
    told = json.loads((tmp_path / "c/manifest.json").read_text())
    assert [p["index"] for p in told["pairs"]] == [RESTING, RESTING + 26]
    assert told["board"] == str(BOARD) and set(told["bars"]) == set(capture.kept.bars)
    assert read_board(tmp_path / "c/board.yaml") == BOARD
    views = find_views(str(tmp_path / "c/left"), str(tmp_path / "c/right"), BOARD)
    assert all(v.left is not None and v.right is not None for v in views) and len(views) == 2
    with pytest.raises(OutputError, match="choose another"):
        Capture(tmp_path / "c", BOARD, camera.name)


def test_the_picture_shows_the_points_and_the_bars(camera: BoardCamera, tmp_path: Path) -> None:
    capture = Capture(tmp_path / "c", BOARD, camera.name)
    _, look = looks(camera, RESTING - 1, RESTING)
    before = draw(look, capture, "")
    capture.take(look)
    after = draw(look, capture, "took pair 000")
    assert before.shape == after.shape == (480 + 150, 1280, 3)
    assert (before != after).mean() > 0.05, "covered cells are tinted, and bars grow"
    empty = draw(Look(look.frame, None, None, dict.fromkeys(GATES, False)), capture, "")
    assert (empty != after).any()


# -- the session and the command -------------------------------------------------------------------------------------


def test_a_session_takes_pairs_by_itself_and_on_command(tmp_path: Path) -> None:
    said: list[str] = []
    source = open_source("synthetic://board?frames=14&fps=8&width=480&height=360")
    session = CaptureSession(source, BOARD, tmp_path / "c", say=said.append)
    with pytest.raises(ConfigError, match="the commands are"):
        session.control({"command": "explode"})
    session.take()
    assert "no picture yet" in said[-1] and session.picture() is None
    session.run()
    assert session.finished and json.loads(json.dumps(session.describe()))["pairs"] == 1, "plain values, as the page needs"
    assert said[-1] == "took pair 000"
    session.control({"command": "take"})
    assert "not taken" in said[-1], "the board moves in the last frame"
    session.control({"command": "undo"})
    assert session.describe()["pairs"] == 0 and session.jpeg() is not None


def run(*words: str, where: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stereo_rt", "calibrate", "capture", *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=250)


def test_of_a_recording_the_most_diverse_pairs_are_kept(tmp_path: Path) -> None:
    recording = "synthetic://board?frames=60&fps=8&width=320&height=240"
    done = run(recording, "-o", "pairs", "--board", str(BOARD), "--views", "3", where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 pairs in pairs" in done.stdout
    assert "next: stereo-rt calibrate solve pairs/left pairs/right --board pairs/board.yaml -o pairs/rig.yaml" in done.stdout
    kept = json.loads((tmp_path / "pairs/manifest.json").read_text())["pairs"]
    camera = open_source(recording)
    assert isinstance(camera, BoardCamera)
    for entry in kept:
        stored = cv2.imread(str(tmp_path / "pairs/left" / entry["file"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, camera.frame(entry["index"]).left)


def test_a_recording_without_the_board_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    done = run("synthetic://room?frames=3&width=320&height=240", "-o", "pairs", "--board", str(BOARD), where=tmp_path)
    assert done.returncode == 1
    assert "none of 3 pairs is fit to calibrate with (3 not seen)" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "pairs").exists()
