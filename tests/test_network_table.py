"""tools/network_table.py at next to no size: two networks, their rows and curves, and nothing done twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread, write_pairs  # noqa: E402, F401

TRAINED = ("stereo_unet", "mobile_stereonet")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path / "home"))
    return load_tool("network_table")


def run(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    small = ("--steps", "2", "--batch", "1", "--size", "96", "64", "--grid", "96", "64", "--pool", "1", "--held-out", "1")
    monkeypatch.setattr(sys, "argv", ["network_table.py", *TRAINED, *small, "--device", "cpu", *arguments])
    tool.main()


def test_a_table_that_is_made_in_two_goes_and_keeps_its_budget(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, pairs = tmp_path / "table", write_pairs(tmp_path / "pairs", 1)
    run(tool, monkeypatch, "-o", str(out))
    said = capsys.readouterr().out
    assert all(f"{name}: step 2 of 2" in said for name in TRAINED)
    weights = {name: (out / name / "ema.safetensors").stat().st_mtime_ns for name in TRAINED}
    run(tool, monkeypatch, "-o", str(out), "--dataset", str(pairs))
    assert "step 2 of 2" not in capsys.readouterr().out
    assert {name: (out / name / "ema.safetensors").stat().st_mtime_ns for name in TRAINED} == weights

    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [row["network"] for row in rows] == list(TRAINED)
    for row in rows:
        assert row["parameters"] > 5e5 and row["gmacs"] > 0 and row["latency"]["ratio"] > 0
        assert row["drawn"]["epe"] > 0 and row["dataset"]["bad2"] >= 0
        assert row["tensorrt_rtx"].startswith(("builds", "not installed"))
    lines = (out / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == [f"| {name}" for name in TRAINED]
    words = [e.text for e in ElementTree.parse(out / "curves.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert set(TRAINED) <= set(words)

    with pytest.raises(SystemExit, match="was begun with seed = 0, not 1"):
        run(tool, monkeypatch, "-o", str(out), "--seed", "1")
