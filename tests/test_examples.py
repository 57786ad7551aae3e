"""The examples of docs/examples run as their first lines say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.sources.synthetic import SyntheticCamera


def _run(repo: Path, folder: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(repo / "docs/examples" / name), *arguments]
    run = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_pair(repo: Path, tmp_path: Path) -> None:
    frame = SyntheticCamera(size=(320, 240), seed=1).frame(0)
    for name, image in (("left.png", frame.left), ("right.png", frame.right)):
        cv2.imwrite(str(tmp_path / name), image)
    said = _run(repo, tmp_path, "pair.py", "left.png", "right.png")
    assert re.search(r"student_s: sure of \d+% of the pixels", said)
    assert np.load(tmp_path / "disparity_px.npy").shape == np.load(tmp_path / "confidence.npy").shape == (240, 320)
    assert cv2.imread(str(tmp_path / "disparity.png")).shape == (240, 320, 3)


@pytest.mark.parametrize("methods", [(), ("learned", "mc_dropout:2")], ids=["default", "inside the network"])
def test_confidence(repo: Path, tmp_path: Path, methods: tuple[str, ...]) -> None:
    if methods:
        pytest.importorskip("torch")
    every, *kept = map(float, re.findall(r"([\d.]+)%", _run(repo, tmp_path, "confidence.py", *methods)))
    assert len(kept) == len(methods or "four")
    assert max(kept) < every, "every method keeps better pixels than it drops"


def test_nearest(repo: Path, tmp_path: Path) -> None:
    assert re.search(r"^frame \d: \d\.\d\d m$", _run(repo, tmp_path, "nearest.py"), re.MULTILINE)


def test_each_example_says_how_to_run_it_and_is_tested(repo: Path) -> None:
    for file in (repo / "docs/examples").glob("*.py"):
        assert f"python docs/examples/{file.name}" in file.read_text(), file
        assert f'"{file.name}"' in Path(__file__).read_text(), file
