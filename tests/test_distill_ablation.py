"""tools/distill_ablation.py at next to no size: a student by each term, judged alike; what is done is not done again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread, write_pairs  # noqa: E402, F401

from stereo_rt.nets import build  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_each_term_alone_and_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
    tool = load_tool("distill_ablation")
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "start.safetensors", build("student_n").state_dict(), {})
    flags = {
        "--network": "student_n",
        "--init": tmp_path / "start.safetensors",
        "--teacher": "student_s",
        "-o": tmp_path / "out",
    }
    flags |= {"--steps": 2, "--batch": 1, "--seeds": 1, "--judged": 1}
    arguments = [str(word) for pair in flags.items() for word in pair]
    labels = write_pairs(tmp_path / "labels", 5, (160, 96))
    monkeypatch.setattr(sys, "argv", ["distill_ablation.py", str(labels), *arguments, "--size", "128", "64"])
    tool.main()

    scores = {name: tmp_path / "out" / f"{name}-0" / "score.json" for name in tool.VARIANTS}
    found = {name: json.loads(file.read_text()) for name, file in scores.items()}
    assert len({score["teacher"]["epe"] for score in found.values()}) == len(tool.VARIANTS), "every term moves the weights"
    last = capsys.readouterr().out.rpartition("| terms")[2].splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in last[2:]] == list(tool.VARIANTS)
    assert f"| {found['all']['drawn']['bad2']:.2f} ± 0.00 |" in last[-1]

    written = {name: file.stat().st_mtime_ns for name, file in scores.items()}
    tool.main()
    assert {name: file.stat().st_mtime_ns for name, file in scores.items()} == written
