"""tools/first_study.py at next to no size, on a tree of InStereo2K's layout: everything is there, and nothing done twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread  # noqa: E402, F401

pytestmark = pytest.mark.usefixtures("one_thread")
DISPARITY_PX = 9
SCENES, LEARNED = 5, 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six walls of noise at one distance, the truth in hundredths of a pixel."""
    root = tmp_path_factory.mktemp("instereo2k")
    for n in range(6):
        scene = root / "train" / "part1" / f"{n:06d}"
        scene.mkdir(parents=True)
        wall = cv2.GaussianBlur(np.random.default_rng(n).integers(0, 255, (64, 160, 3), np.uint8), (0, 0), 1)
        for eye, at in (("left", 0), ("right", DISPARITY_PX)):
            cv2.imwrite(str(scene / f"{eye}.png"), wall[:, at : at + 128])
        cv2.imwrite(str(scene / "left_disp.png"), np.full((64, 128), 100 * DISPARITY_PX, np.uint16))
    return root


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("first_study")


def run(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, dataset: object, out: Path, *arguments: str) -> None:
    small = ["--scenes", str(SCENES), "--steps", "2", "--batch", "1", "--size", "64", "64", "--grid", "128", "64"]
    small += ["--teacher", "sgbm", "--students", "stereo_unet", "--device", "cpu", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", ["first_study.py", str(dataset), *small, *arguments])
    tool.main()


def test_the_whole_study_and_nothing_twice(
    tool: ModuleType, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    run(tool, monkeypatch, dataset, out, "--losses", "ssim")
    first = capsys.readouterr().out
    assert first.count("of the teacher's map is believed") == SCENES and "stereo_unet-ssim: step 2 of 2" in first

    scenes = json.loads((out / "metadata.json").read_text())["scenes"]
    assert [scene["part"] for scene in scenes.values()].count("train") == LEARNED and len(scenes) == SCENES
    for name, scene in scenes.items():
        label = np.load(out / "disparity" / "teacher" / f"{name}.npy")
        assert label.dtype == np.float32 and label.shape == (64, 128) and scene["truth_px"] == [9, 9]
        assert scene["disparity_px"] == [pytest.approx(np.nanmin(label), abs=1e-3), pytest.approx(np.nanmax(label), abs=1e-3)]
        assert abs(np.nanmedian(label) - DISPARITY_PX) < 0.5
        assert cv2.imread(str(out / "disparity" / "teacher" / f"{name}.png")).shape == (64, 128, 3)
        assert (out / "labels" / scene["part"] / name / "disparity.pfm").is_file()
    (test,) = (name for name, scene in scenes.items() if scene["part"] == "test")
    student = np.load(out / "disparity" / "stereo_unet-ssim" / f"{test}.npy")
    recipe = json.loads((out / "runs" / "stereo_unet-ssim" / "state.json").read_text())["recipe"]
    assert recipe["data"]["share"] == 1 and recipe["loss"]["regression"] == "ssim"

    rows = {row["name"]: row for row in json.loads((out / "table.json").read_text())["rows"]}
    assert rows["teacher"]["labels"] is None and rows["teacher"]["truth"]["mae"] < 0.5
    error = student - DISPARITY_PX
    assert rows["stereo_unet-ssim"]["truth"]["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert rows["stereo_unet-ssim"]["truth"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert rows["the labels' median"]["labels"]["mae"] < 0.5
    assert "| stereo_unet | ssim |" in first and "| 4.90 |" in first  # the published figure beside ours

    weights = out / "runs" / "stereo_unet-ssim" / "ema.safetensors"
    before = weights.stat().st_mtime_ns
    run(tool, monkeypatch, dataset, out, "--losses", "ssim", "l1")
    again = capsys.readouterr().out
    assert weights.stat().st_mtime_ns == before and "believed" not in again and "stereo_unet-ssim: step" not in again
    assert "stereo_unet-l1: step 2 of 2" in again and "| 31.8 |" in again


def test_scenes_are_drawn_by_the_seed_alone(tool: ModuleType) -> None:
    items = tool.open_dataset_or_camera("synthetic")
    names = [[item.name for item in tool.split(items, 10, seed)["train"]] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2] and len(names[0]) == 8
    assert len(set(names[0]) | {item.name for item in tool.split(items, 10, 0)["test"]}) == 10
    few = tool.split(items, 2, 0)
    assert (len(few["train"]), len(few["test"])) == (1, 1)
    one, other = (item.load() for item in items[:2])
    assert one.truth_px.shape == one.left.shape[:2] and not np.array_equal(one.left, other.left)


def test_refusals_are_one_sentence(tool: ModuleType, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "study"
    (tmp_path / "empty").mkdir()
    for arguments, why in (
        ((dataset, out, "--scenes", "7"), "--scenes 7: this dataset has 6"),
        ((tmp_path / "empty", out), "holds no labelled pairs"),
        ((dataset, out, "--teacher", "raft_stereo"), "git clone"),
        ((dataset, out, "--students", "student_x"), "did you mean"),
    ):
        with pytest.raises(SystemExit, match=why) as e:
            run(tool, monkeypatch, *arguments)
        assert "\n" not in str(e.value)
    assert not out.exists()
    run(tool, monkeypatch, dataset, out, "--students", "stereo_unet", "--losses", "l1")
    for change in (("--seed", "1"), ("--teacher", "student_s")):
        with pytest.raises(SystemExit, match=f"another choice of .*{change[0][2:]}"):
            run(tool, monkeypatch, dataset, out, *change)
    with pytest.raises(SystemExit, match="was begun with steps = 2, not 3"):
        run(tool, monkeypatch, dataset, out, "--losses", "l1", "--steps", "3")
