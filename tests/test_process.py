"""`stereo-rt process` from the command line: what it writes, continuing, sharing out, stopping, refusing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import alive, wait_for

from stereo_rt import offline
from stereo_rt.calib.formats import write_calibration
from stereo_rt.cli.app import main
from stereo_rt.config import validate
from stereo_rt.errors import SourceTimeout
from stereo_rt.frames import StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sinks import files
from stereo_rt.sinks.manifest import read_manifest
from stereo_rt.sources.memory import MemorySource

SHIFT_PX = 8
FRAMES = 6
RIG = RectifiedRig(160, 120, 150.0, 79.5, 59.5, 0.08)

Run = Callable[..., int]


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textured wall, SHIFT_PX away, that moves sideways: left/ and right/ folders of images, and its calib.yaml."""
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(7)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (120, 260, 3), np.uint8), (0, 0), 1.2)
    for i in range(FRAMES):
        x = 10 + 4 * i
        for eye, at in (("left", x), ("right", x + SHIFT_PX)):
            (folder / eye).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / eye / f"{i:04d}.png"), np.ascontiguousarray(wall[:, at : at + 160]))
    write_calibration(RIG, folder / "calib.yaml")
    return folder


@pytest.fixture
def run(recording: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `process` on the recording with the quick matcher; returns the exit code."""

    def run(*args: object, calib: bool = True, source: str | None = None) -> int:
        source = source or f"{recording}/left,{recording}/right"
        rig = ["--calib", str(recording / "calib.yaml")] if calib else []
        with pytest.raises(SystemExit) as e:
            main(["process", source, "--backend", "sgbm", *rig, *map(str, args)])
        return int(e.value.code or 0)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every result file but the manifest."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".json"}


def test_the_whole_recording_becomes_files(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("-o", out, "--format", "pfm,depth_mm,ply,mp4") == 0
    assert capsys.readouterr().out.startswith(f"{FRAMES} frames in ")
    disparity_px = files.read_pfm(out / "disparity/000003.pfm")
    assert np.nanmedian(disparity_px) == pytest.approx(SHIFT_PX, abs=0.1)
    assert np.nanmedian(files.read_depth_mm(out / "depth_mm/000003.png")) == pytest.approx(150 * 0.08 / SHIFT_PX, rel=0.02)
    tree = read_manifest(out / "manifest.json")
    assert [f["index"] for f in tree["frames"]] == list(range(FRAMES))
    stamps = [f["timestamp_ns"] for f in tree["frames"]]
    assert stamps == sorted(set(stamps))
    assert validate(tree["config"]).match.backend == "sgbm"
    assert len(tree["calibration"]["sha256"]) == 64
    assert tree["units"]["depth_mm"]["scale"] == 0.001
    assert cv2.VideoCapture(str(out / "disparity.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES


def test_a_resumed_run_equals_an_uninterrupted_one(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", tmp_path / "whole") == 0
    assert run("-o", tmp_path / "parts", "--max-frames", 2) == 0
    assert run("-o", tmp_path / "parts", "--resume") == 0
    assert f"{FRAMES - 2} frames (2 were there before)" in capsys.readouterr().out
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert run("-o", tmp_path / "parts", "--resume") == 0
    assert "no new frames" in capsys.readouterr().out
    assert run("-o", tmp_path / "parts", "--resume", "--min-conf", 0.9) == 1
    assert "config.post.min_confidence" in capsys.readouterr().err
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_jobs_and_shards_equal_one_run(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", tmp_path / "one") == 0
    assert run("-o", tmp_path / "jobs", "--jobs", 2) == 0
    assert capsys.readouterr().out.count(f"{FRAMES} frames in") == 2
    assert run("-o", tmp_path / "shards", "--shard", "1/2") == 0
    assert run("-o", tmp_path / "shards", "--shard", "0/2") == 0
    for folder in ("jobs", "shards"):
        assert contents(tmp_path / folder) == contents(tmp_path / "one")
        assert len(read_manifest(tmp_path / folder / "manifest.json")["frames"]) == FRAMES


def test_a_failure_in_a_job_is_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", tmp_path / "out", "--jobs", 2, calib=False) == 1
    assert "comes without a calibration" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_calibration_there_is_disparity_only(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", tmp_path / "px", "--rectified", "--format", "pfm,mp4", calib=False) == 0
    assert np.nanmedian(files.read_pfm(tmp_path / "px/disparity/000000.pfm")) == pytest.approx(SHIFT_PX, abs=0.1)
    assert run("-o", tmp_path / "mm", "--rectified", "--format", "depth_mm", calib=False) == 1
    assert "need a calibration" in capsys.readouterr().err
    assert not (tmp_path / "mm").exists()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--format", "pfm,foo"], 2, "output.formats"),
        (["--format", "mcap", "--jobs", "2"], 2, "leave mcap out"),
        (["--format", "mp4", "--jobs", "2"], 2, "leave mp4 out"),
        (["--set", "post.temporal=0.5", "--jobs", "2"], 2, "temporal"),
        (["--set", "post.temporal=0.5", "--resume"], 2, "temporal"),
        (["--jobs", "2", "--shard", "0/2"], 2, "use one of them"),
        (["--shard", "2/2"], 2, "such as 0/4"),
        (["--shard", "x"], 2, "such as 0/4"),
        (["--calib", "nowhere.yaml"], 1, "nowhere.yaml"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, words: str
) -> None:
    assert run("-o", tmp_path / "out", *args) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_of_a_camera_the_frames_that_come_through_are_counted_and_its_password_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)

    class DropsTwoOfThree(MemorySource):
        def read(self, timeout_s: float) -> StereoFrame | None:
            frame = super().read(timeout_s)
            return frame and replace(frame, index=3 * frame.index)

    camera = DropsTwoOfThree([StereoFrame(image, image, 0, 0)], live=True, fps=1000, calibration=RIG)
    monkeypatch.setattr(offline, "open_source", lambda uri, capture: camera)
    cfg = validate({"match": {"backend": "sgbm"}, "run": {"max_frames": 5}, "output": {"formats": ["pfm"]}})
    done = offline.process("rtsp://me:secret@cam/l,rtsp://me:secret@cam/r", cfg, tmp_path / "out")
    assert done.written == 5
    manifest = tmp_path / "out" / "manifest.json"
    assert max(f["index"] for f in read_manifest(manifest)["frames"]) >= 12  # the fifth of the camera's own numbers
    assert "secret" not in manifest.read_text() and "cam/l" in manifest.read_text()


def test_who_reads_can_stop_while_frames_are_passed_over() -> None:
    image = np.zeros((8, 8), np.uint8)

    def wanted(index: int) -> bool:
        time.sleep(0.005)
        return index >= 20

    source = offline.Selection(MemorySource([StereoFrame(image, image, 0, 0)]), wanted)
    with pytest.raises(SourceTimeout, match="passing over frame"):
        source.read(0.02)
    frame = source.read(60)
    assert frame is not None and frame.index == 20


def test_a_folder_with_other_things_is_not_touched(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for args in ([], ["--resume"], ["--jobs", "2"]):
        assert run("-o", tmp_path, *args) == 1
        assert str(tmp_path) in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_sigterm_finishes_the_files_and_resume_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "stereo_rt", "process", "synthetic://room?width=160&height=120&frames=0&cycle=3"]
    command += ["--backend", "sgbm", "-o", str(out), "--format", "pfm,mp4"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    journal = out / "manifest.0-of-1.jsonl"
    wait_for(
        lambda: alive(running) and journal.exists() and journal.read_bytes().count(b"\n") > 3, "some frames in the journal"
    )
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "--resume" in error
    frames = read_manifest(out / "manifest.json")["frames"]
    assert len(frames) > 3
    video = cv2.VideoCapture(str(out / "disparity.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == len(frames)
    assert not [p for p in out.rglob("*") if ".part" in p.name or p.suffix == ".jsonl"]
    end = len(frames) + 2
    done = subprocess.run([*command, "--resume", "--max-frames", str(end)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"2 frames ({len(frames)} were there before)" in done.stdout
    assert [f["index"] for f in read_manifest(out / "manifest.json")["frames"]] == list(range(end))


@pytest.mark.parametrize("layout", ["sbs", "tb"])
def test_a_video_of_both_eyes_keeps_its_rate(run: Run, recording: Path, tmp_path: Path, layout: str) -> None:
    axis = 1 if layout == "sbs" else 0
    video = cv2.VideoWriter(
        str(tmp_path / "both.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (320, 120) if layout == "sbs" else (160, 240)
    )
    for i in range(FRAMES):
        eyes = [cv2.imread(str(recording / eye / f"{i:04d}.png")) for eye in ("left", "right")]
        video.write(np.concatenate(eyes, axis=axis))
    video.release()
    out = tmp_path / "out"
    assert run("-o", out, "--format", "png16,mp4", source=f"{tmp_path}/both.mp4?layout={layout}") == 0
    assert np.nanmedian(files.read_png16(out / "disparity_png16/000002.png")) == pytest.approx(SHIFT_PX, abs=0.3)
    assert cv2.VideoCapture(str(out / "disparity.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
