"""`stereo-rt info`: the facts of every kind of file, and one sentence for what is none of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stereo_rt.calib.formats import write_calibration
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.cli.app import main
from stereo_rt.config import ViewConfig
from stereo_rt.describe import describe
from stereo_rt.errors import StereoError
from stereo_rt.frames import DepthResult
from stereo_rt.geometry import DISPARITY_SIGMA_PX, RectifiedRig
from stereo_rt.sinks.folder import FRAME_FORMATS, FolderSink, units
from stereo_rt.sinks.manifest import Manifest

RIG = RectifiedRig(64, 48, 60.0, 31.5, 23.5, 0.1)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a frame in every format: disparity 6 px (1 m) everywhere, the upper half masked."""
    folder = tmp_path_factory.mktemp("output") / "out"
    formats = (*FRAME_FORMATS, "mp4")
    head = {"source": "a,b", "units": units(formats), "model": {"name": "m"}, "calibration": {"file": "c"}}
    sink = FolderSink(Manifest(folder, head), formats, fps=20.0, view=ViewConfig())
    d = np.full((48, 64), 6, np.float32)
    mask = np.ones(d.shape, bool)
    mask[:24] = False
    left = np.zeros((48, 64, 3), np.uint8)
    for i in range(4):
        sink.write(DepthResult(d, np.full(d.shape, 0.5, np.float32), mask, RIG, left, i, i))
    sink.close()
    return folder


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("disparity/000000.pfm", {"size": [64, 48], "valid": 1.0, "median": 6.0, "unit": "px"}),
        ("disparity_png16/000001.png", {"kind": "disparity map (16-bit PNG)", "median": 6.0, "unit": "px"}),
        ("depth_mm/000001.png", {"kind": "depth map (16-bit PNG)", "valid": 0.5, "median": 1.0, "unit": "m"}),
        ("confidence/000001.png", {"kind": "confidence map (16-bit PNG)", "valid": 1.0, "max": 0.500008}),
        ("cloud/000000.ply", {"points": 24 * 64, "z_m": [1.0, 1.0]}),
        ("disparity.mp4", {"kind": "video", "fps": 20.0, "frames": 4, "duration_s": 0.2}),
        ("manifest.json", {"kind": "output of stereo-rt process", "frames": 4, "indices": [0, 3], "valid": 0.5}),
        (".", {"frames": 4, "source": "a,b"}),
    ],
)
def test_output_files(output: Path, name: str, facts: dict[str, Any]) -> None:
    found = describe(str(output / name))
    assert {k: found.get(k) for k in facts} == facts


def test_arrays(output: Path) -> None:
    found = describe(str(output / "npz/000000.npz"))
    assert found["depth_m"] == {"size": [64, 48], "valid": 0.5, "min": 1.0, "median": 1.0, "max": 1.0, "unit": "m"}
    assert found["disparity_px"]["unit"] == "px"


def test_a_16_bit_image_from_elsewhere_is_not_guessed_at(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 700]], np.uint16))
    found = describe(str(tmp_path / "a.png"))
    assert (found["max"], found["bits"]) == (700, 16)
    assert found["unit"].startswith("unknown")


def test_calibrations(tmp_path: Path) -> None:
    write_calibration(RIG, tmp_path / "rectified.yaml")
    found = describe(str(tmp_path / "rectified.yaml"))
    assert (found["kind"], found["size"], found["fx_px"]) == ("calibration of a rectified pair", [64, 48], 60.0)
    assert found["fov_deg"][0] == pytest.approx(2 * np.rad2deg(np.arctan(32 / 60)), abs=1e-3)
    sigma_px = DISPARITY_SIGMA_PX * 64 / 640  # which is stated for a grid 640 px wide
    assert found["depth_sigma_m_at_m"]["2"] == pytest.approx(2**2 * sigma_px / (60 * 0.1), rel=1e-4)
    eye = CameraModel(64, 48, np.array([[60, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), np.zeros(5))
    turn, _ = cv2.Rodrigues(np.array([0, np.deg2rad(2), 0]))
    rig = StereoRig(eye, eye, turn, np.array([[-0.1], [0], [0]]), verdict="usable")
    write_calibration(rig, tmp_path / "raw.yaml")
    found = describe(str(tmp_path / "raw.yaml"))
    assert (found["kind"], found["verdict"], found["baseline_m"]) == ("calibration of a raw pair", "usable", 0.1)
    assert found["turn_deg"] == pytest.approx(2, abs=1e-4)
    assert found["rectified"]["size"] == [64, 48]


def test_the_shipped_network_is_recognised(repo: Path) -> None:
    found = describe(str(repo / "engines/student_s.onnx"))
    assert found["shipped_as"] == "student_s"
    assert len(found["inputs"]) == 2
    assert found["metadata"]


def test_sources(tmp_path: Path) -> None:
    for eye in ("l", "r"):
        cv2.imwrite(str(tmp_path / f"{eye}.png"), np.zeros((20, 30, 3), np.uint8))
    found = describe(f"{tmp_path}/l.png,{tmp_path}/r.png")
    assert (found["kind"], found["size"], found["frames"]) == ("recorded source", [30, 20], 1)
    assert describe("synthetic://room?width=96&height=64")["calibration"] == "its own, baseline 0.12 m"


@pytest.mark.parametrize("suffix", [".pfm", ".npz", ".ply", ".png", ".mp4", ".onnx", ".json", ".yaml", ".txt", ".conf", ""])
@pytest.mark.parametrize("content", [b"", b"not what it says", bytes(range(256))])
def test_what_is_nothing_gets_one_sentence(
    tmp_path: Path, suffix: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(StereoError) as e:
        describe(str(path))
    assert str(e.value).startswith(str(path))
    assert "\n" not in str(e.value)
    if suffix != ".mp4" or importlib.util.find_spec("av"):  # OpenCV's FFmpeg grumbles on stderr by itself
        assert capfd.readouterr() == ("", "")


def test_the_command_says_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        main(["info", "nowhere.pfm"])
    assert e.value.code == 1
    assert capsys.readouterr().err == "stereo-rt: nowhere.pfm: there is no such file; check the path\n"


@pytest.mark.parametrize("text", ["nowhere.pfm", "a,b", "nonsense://x", "."])
def test_what_is_not_there_gets_one_sentence(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StereoError):
        describe(text)


def test_text_and_json_say_the_same(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for flag in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["info", *flag, str(output / "depth_mm/000000.png"), str(output)])
        said.append(capsys.readouterr().out)
    assert "valid   50.0%" in said[0]
    facts = json.loads(said[1])
    assert facts[0]["file"].endswith("depth_mm/000000.png")
    assert (facts[0]["valid"], facts[1]["frames"]) == (0.5, 4)
