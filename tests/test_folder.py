"""The output folder: file names, the manifest, continuing after a clean stop and after a kill, sharing it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.config import ViewConfig
from stereo_rt.errors import CalibrationError, OutputError
from stereo_rt.frames import DepthResult
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sinks import files
from stereo_rt.sinks.folder import FRAME_FORMATS, FolderSink, units
from stereo_rt.sinks.manifest import Manifest, read_manifest
from stereo_rt.sinks.ply import read_ply

RIG = RectifiedRig(64, 48, 60.0, 31.5, 23.5, 0.1)
HEAD = {"source": "a,b", "config": {"post": {"fill": False}, "run": {"max_frames": 3}}, "model": "m", "calibration": "c"}


def result_at(index: int) -> DepthResult:
    d = np.full((48, 64), 5 + index, np.float32)
    d[0, 0] = np.nan
    mask = np.ones(d.shape, bool)
    mask[:24] = False
    left = np.full((48, 64, 3), 99, np.uint8)
    return DepthResult(d, np.full(d.shape, 0.75, np.float32), mask, RIG, left, index, index * 33_000_000)


def write(folder: Path, indices: list[int], formats: tuple[str, ...] = ("pfm",), **manifest: object) -> Manifest:
    record = Manifest(folder, HEAD, **manifest)  # type: ignore[arg-type]
    sink = FolderSink(record, formats, fps=30.0, view=ViewConfig())
    for i in indices:
        sink.write(result_at(i))
    sink.close()
    return record


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_every_format_has_its_place_and_its_masks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, [0, 1], (*FRAME_FORMATS, "mp4"))
    places = {
        "disparity": "pfm",
        "confidence": "png",
        "depth_mm": "png",
        "disparity_png16": "png",
        "npz": "npz",
        "cloud": "ply",
    }
    expected = [f"{place}/{i:06d}.{suffix}" for place, suffix in places.items() for i in range(2)]
    assert names(out) == sorted([*expected, "disparity.mp4", "manifest.json"])
    d = result_at(1).disparity_px
    assert np.array_equal(files.read_pfm(out / "disparity/000001.pfm"), d, equal_nan=True)
    assert np.array_equal(files.read_png16(out / "disparity_png16/000001.png"), d, equal_nan=True)
    np.testing.assert_allclose(files.read_confidence(out / "confidence/000001.png"), 0.75, atol=1e-5)
    depth_m = files.read_depth_mm(out / "depth_mm/000001.png")
    assert np.isnan(depth_m[:24]).all()
    np.testing.assert_allclose(depth_m[24:], 60 * 0.1 / 6, atol=5e-4)
    arrays = files.read_npz(out / "npz/000001.npz")
    assert set(arrays) == {"disparity_px", "confidence", "depth_m"}
    assert np.array_equal(np.isnan(arrays["depth_m"]), ~result_at(1).mask)
    assert len(read_ply(out / "cloud/000001.ply").points_m) == 24 * 64
    video = cv2.VideoCapture(str(out / "disparity.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    tree = read_manifest(out / "manifest.json")
    assert tree["source"] == "a,b"
    first = tree["frames"][0]
    assert (first["index"], first["timestamp_ns"], first["density"]) == (0, 0, 0.5)
    assert first["rig"]["baseline_m"] == 0.1
    assert first["files"]["pfm"] == "disparity/000000.pfm"
    assert all((out / name).is_file() for name in first["files"].values())


def test_filled_pixels_have_a_mask_of_their_own_and_no_place_in_a_cloud(tmp_path: Path) -> None:
    filled = np.zeros((48, 64), bool)
    filled[40:] = True
    whole = result_at(0)
    sink = FolderSink(Manifest(tmp_path, HEAD), ("depth_mm", "npz", "ply"), fps=30.0, view=ViewConfig())
    sink.write(replace(whole, filled=filled))
    sink.close()
    assert names(tmp_path) == [
        "cloud/000000.ply", "depth_mm/000000.png", "filled/000000.png", "manifest.json", "npz/000000.npz",
    ]  # fmt: skip
    assert np.array_equal(files.read_uint16(tmp_path / "filled/000000.png") == 65535, filled)
    assert np.array_equal(files.read_npz(tmp_path / "npz/000000.npz")["filled"], filled)
    assert len(read_ply(tmp_path / "cloud/000000.ply").points_m) == (whole.valid & ~filled).sum()
    assert units(("depth_mm",), filled=True)["filled"]["files"] == "filled/*.png"


def test_a_filled_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        Manifest(tmp_path, HEAD)
    with pytest.raises(OutputError, match=r"no manifest\.json"):
        Manifest(tmp_path, HEAD, resume=True)
    with pytest.raises(OutputError, match="is a file"):
        Manifest(tmp_path / "mine.txt", HEAD, resume=True)
    assert names(tmp_path) == ["mine.txt"]


def test_nothing_is_written_before_the_first_frame(tmp_path: Path) -> None:
    record = Manifest(tmp_path / "out", HEAD)
    FolderSink(record, ("pfm",), fps=30.0, view=ViewConfig()).close()
    assert not (tmp_path / "out").exists()


def test_depth_without_calibration_is_refused(tmp_path: Path) -> None:
    sink = FolderSink(Manifest(tmp_path / "out", HEAD), ("pfm", "depth_mm", "ply"), fps=30.0, view=ViewConfig())
    with pytest.raises(CalibrationError, match="depth_mm and ply are in metres"):
        sink.write(replace(result_at(0), rig=RectifiedRig.uncalibrated(64, 48)))
    sink.close()
    assert not (tmp_path / "out").exists()


def test_resume_goes_on_and_redoes_what_lost_a_file(tmp_path: Path) -> None:
    write(tmp_path, [0, 1, 2])
    (tmp_path / "confidence/000001.png").unlink()
    assert Manifest(tmp_path, HEAD, resume=True).done == {0, 2}
    write(tmp_path, [1, 3], resume=True)
    assert [f["index"] for f in read_manifest(tmp_path / "manifest.json")["frames"]] == [0, 1, 2, 3]
    assert not list(tmp_path.glob("*.jsonl"))


def test_depth_that_a_file_cannot_hold_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = FolderSink(Manifest(tmp_path, HEAD), ("depth_mm",), fps=30.0, view=ViewConfig())
    far = np.full((48, 64), 0.05, np.float32)  # 60 * 0.1 / 0.05 = 120 m
    for i in range(2):
        sink.write(replace(result_at(i), disparity_px=far))
    sink.close()
    assert caplog.text.count("beyond 65.535 m") == 1 and f"{2 * 24 * 64} pixels" in caplog.text


def test_resume_refuses_other_settings_but_not_a_longer_run(tmp_path: Path) -> None:
    write(tmp_path, [0])
    longer = {**HEAD, "config": {"post": {"fill": False}, "run": {"max_frames": 9}}}
    assert Manifest(tmp_path, longer, resume=True).done == {0}
    other = {**HEAD, "config": {"post": {"fill": True}, "run": {"max_frames": 3}}}
    with pytest.raises(OutputError, match=r"config\.post\.fill \(False there, True here\)"):
        Manifest(tmp_path, other, resume=True)
    with pytest.raises(OutputError, match="another model"):
        Manifest(tmp_path, {**HEAD, "model": "n"}, resume=True)


def test_a_continued_video_is_a_part_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, [0, 1], ("mp4",))
    write(tmp_path, [2], ("mp4",), resume=True)
    frames = read_manifest(tmp_path / "manifest.json")["frames"]
    assert [f["files"]["mp4"] for f in frames] == ["disparity.mp4", "disparity.mp4", "disparity.000002.mp4"]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_folder import HEAD, FolderSink, Manifest, ViewConfig, result_at
sink = FolderSink(Manifest(Path({out!r}), HEAD), ("pfm", "mp4") if {video} else ("pfm",), fps=30.0, view=ViewConfig())
for i in range(3):
    sink.write(result_at(i))
Path({out!r}, f".half.{{os.getpid()}}.part.pfm").write_text("half a file")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("video", [False, True])
def test_a_killed_run_is_continued(tmp_path: Path, video: bool) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"), video=video)
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    journal = tmp_path / "out" / "manifest.0-of-1.jsonl"
    journal.write_bytes(journal.read_bytes() + b'\n{"index": 3, "files": {"pf')
    formats = ("pfm", "mp4") if video else ("pfm",)
    # The unfinished video is lost, so its frames count as not done.
    record = Manifest(tmp_path / "out", HEAD, resume=True)
    assert record.done == (set() if video else {0, 1, 2})
    write(tmp_path / "out", [i for i in range(5) if i not in record.done], formats, resume=True)
    assert [f["index"] for f in read_manifest(tmp_path / "out/manifest.json")["frames"]] == [0, 1, 2, 3, 4]
    assert not [n for n in names(tmp_path / "out") if ".part" in n or n.endswith(".jsonl")]


def test_what_a_killed_run_lost_is_not_counted_once_a_shorter_one_has_ended(tmp_path: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"), video=True)
    subprocess.run([sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    write(tmp_path / "out", [0], ("pfm", "mp4"), resume=True)
    assert Manifest(tmp_path / "out", HEAD, resume=True).done == {0}
    write(tmp_path / "out", [1, 2], ("pfm", "mp4"), resume=True)
    frames = read_manifest(tmp_path / "out/manifest.json")["frames"]
    assert [f["files"]["mp4"] for f in frames] == ["disparity.mp4", "disparity.000001.mp4", "disparity.000001.mp4"]


def test_shards_share_a_folder_and_their_records_merge(tmp_path: Path) -> None:
    shards = [FolderSink(Manifest(tmp_path, HEAD, shard=(i, 3)), ("pfm",), fps=30.0, view=ViewConfig()) for i in range(3)]
    for i in range(7):
        shards[i % 3].write(result_at(i))
    for shard in shards:
        shard.close()
    assert [f["index"] for f in read_manifest(tmp_path / "manifest.json")["frames"]] == list(range(7))
    assert not list(tmp_path.glob("*.jsonl"))


def test_two_runs_at_once_in_one_place_are_refused(tmp_path: Path) -> None:
    first = FolderSink(Manifest(tmp_path, HEAD), ("pfm",), fps=30.0, view=ViewConfig())
    first.write(result_at(0))
    second = FolderSink(Manifest(tmp_path, HEAD, resume=True), ("pfm",), fps=30.0, view=ViewConfig())
    with pytest.raises(OutputError, match="another run is writing"):
        second.write(result_at(1))
    second.close()
    first.write(result_at(1))
    first.close()
    assert len(json.loads((tmp_path / "manifest.json").read_text())["frames"]) == 2


def test_a_folder_removed_meanwhile_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sink = FolderSink(Manifest(out, HEAD), ("pfm",), fps=30.0, view=ViewConfig())
    sink.write(result_at(0))
    shutil.rmtree(out)
    with pytest.raises(OutputError, match="was removed"):
        sink.write(result_at(1))
    sink.close()


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = FolderSink(Manifest(tmp_path / "file" / "out", HEAD), ("pfm",), fps=30.0, view=ViewConfig())
    with pytest.raises(OutputError, match="cannot be used"):
        sink.write(result_at(0))
    sink.close()
