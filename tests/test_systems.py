"""docs/systems.md: every command of its table runs, at next to no size, on files made here."""

from __future__ import annotations

import json
import re
import shlex
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from standins import make_standin, timm  # noqa: F401
from tools_kit import load_tool
from training_kit import one_thread  # noqa: F401

from stereo_rt.cli.app import main
from stereo_rt.nets import MONO, OTHERS
from stereo_rt.sinks.files import write_pfm
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.training.adapters import ADAPTERS

PAGE = (Path(__file__).resolve().parent.parent / "docs/systems.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| system (study) |")[2].partition("\n\n")[0]
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("| ")]
COMMANDS = [code for row in ROWS for code in re.findall(r"`((?:stereo-rt|python|docker) [^`]+)`", row[1])]
RUN = [command for command in COMMANDS if not command.startswith("docker ")]
"""Containers need an engine that runs them; what goes into them is tested in test_package.py."""

SCENES = "--set scenes.pool=2 --set scenes.fresh=1"
TRAINED = f"--steps 2 --batch 1 --set size=64x64 --device cpu {SCENES}"
SMALL = {
    "stereo-rt train mono_unet": TRAINED,
    "stereo-rt train": TRAINED,
    "stereo-rt export": "--size 128x64",
    "stereo-rt pretrain": TRAINED,
    "stereo-rt distill": "--device cpu --steps 1 --batch 1 --min-kept 0 --recipe size=64x64 "
    "--recipe scenes.pool=2 --recipe scenes.fresh=1 --recipe distill.batch=1",
    "stereo-rt eval": "--device cpu",
    "stereo-rt confidence fit": "--scenes 6 --pixels 60 --folds 2 --backend sgbm",
    "stereo-rt view": "--headless --max-frames 1 --device cpu",
    "stereo-rt process": "--max-frames 1 --format png16 --device cpu",
    "network_table": "--steps 2 --batch 1 --size 64 64 --grid 128 64 --pool 2 --held-out 1 --device cpu stereo_unet",
    "pretraining_gain": f"--steps 2 --batch 1 --held-out 1 --grid 128 64 --device cpu --set size=64x64 {SCENES}",
    "first_study": "--scenes 5 --steps 2 --batch 1 --size 64 64 --grid 128 64 --device cpu --teacher sgbm "
    "--students stereo_unet --losses ssim",
    "get_dataset": "",
    "prior_gain": "--size 128 96 --matcher sgbm",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with ground truth, a tree of InStereo2K's layout as an archive, and other projects' clones."""
    root = tmp_path_factory.mktemp("systems")
    camera = SyntheticCamera(size=(160, 128), seed=0)
    frame, truth = camera.frame(0), camera.ground_truth(0)
    scene = root / "SCENES" / "room"
    scene.mkdir(parents=True)
    cv2.imwrite(str(scene / "left.png"), frame.left)
    cv2.imwrite(str(scene / "right.png"), frame.right)
    write_pfm(scene / "disparity.pfm", truth.disparity_px)
    encoding = {"file": "disparity.pfm", "scale": 1, "offset": 0, "invalid": "inf"}
    (scene / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    with zipfile.ZipFile(root / "ARCHIVE", "w") as archive:
        for n in range(5):
            wall = cv2.GaussianBlur(np.random.default_rng(n).integers(0, 255, (64, 160, 3), np.uint8), (0, 0), 1)
            images = {"left": wall[:, :128], "right": wall[:, 9:137], "left_disp": np.full((64, 128), 900, np.uint16)}
            for name, image in images.items():
                archive.writestr(f"train/part1/{n:06d}/{name}.png", cv2.imencode(".png", image)[1].tobytes())
    return root


@pytest.fixture
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands follow each other in one folder, as a reader would type them."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STEREO_RT_HOME", str(folder / "home"))
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
    monkeypatch.setattr("stereo_rt.training.pretrain.session.HELD_OUT", 2)
    return folder


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_thread", "timm")
@pytest.mark.parametrize("command", RUN)
def test_a_command_runs(command: str, at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "confidence fit" in command or (".onnx" in command and "confidence" in command):
        pytest.importorskip("skl2onnx")
    program, *words = shlex.split(f"{placed(command, at_home)} {small(command)}")
    if program == "stereo-rt":
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code
    else:
        monkeypatch.setattr(sys, "argv", words)
        load_tool(Path(words[0]).stem).main()


def placed(command: str, folder: Path) -> str:
    """The command with what the page leaves to the reader: a source, another project's code and its weights."""
    if "CLONE" in command:
        name = next(name for name in ADAPTERS if name in command)
        clone, weights = make_standin(name, folder / name)
        command = command.replace("CLONE", str(clone)).replace("WEIGHTS", str(weights))
    return command.replace("SOURCE", "SCENES/room/left.png,SCENES/room/right.png")


def small(command: str) -> str:
    """What makes it a matter of seconds."""
    return next(words for prefix, words in SMALL.items() if prefix in command)


def test_the_page_names_every_network_teacher_and_method_of_the_studies() -> None:
    said = " ".join(COMMANDS)
    networks = ("stereo_unet", "mobile_stereonet", "hybrid_attention", "rt_igev", "swin_cross", "mono_unet")
    stereo = ("raft_stereo", "crestereo", "defom_stereo", "selective_igev", "igev_plusplus", "foundation_stereo")
    teachers = (*stereo, "depth_anything")
    studied = ("mc_dropout", "test_time_augmentation", "photometric", "forest", "boosting", "neighbours")
    assert {*networks} == {*OTHERS, *MONO} and {*teachers} == {*ADAPTERS}
    for name in (*networks, *teachers, *studied):
        assert name in said, name


def test_every_row_has_its_figures() -> None:
    """A column that is empty says why, in words."""
    assert len(ROWS) > 15
    for row in ROWS:
        assert len(row) == 4 and all(cell.strip(" .…-") for cell in row), row[0]
