"""tools/card_scores.py: measured scores in the table of networks and between the marks of the cards, and nowhere else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")

from tools_kit import load_tool

from stereo_rt import paths

TABLE = {
    "net": {
        "file": "net.onnx",
        "sha256": "0",
        "card": "net.md",
        "input_size": "640x480",
        "scores": {"what": "two"},
    },
    "net_wide": {"of": "net", "file": "net_wide.onnx", "sha256": "1", "card": "wide.md", "input_size": "1280x384"},
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("card_scores")


@pytest.fixture
def engines(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "models.yaml").write_text("# what this is\n" + yaml.safe_dump(TABLE, sort_keys=False))
    for card in ("net", "wide"):
        (folder / f"{card}.md").write_text(f"# {card}\nbefore\n{tool.BEGIN}\nold\n{tool.END}\nafter\n")
    monkeypatch.setattr(paths, "engines", lambda: folder)
    return folder


def scene(name: str, bad: float, grid: list[int] | None) -> dict[str, Any]:
    errors = {"epe": bad / 10, "bad1": bad, "bad2": bad / 2, "bad3": bad / 4}
    confidence = {"ause": bad / 8, "auc": bad / 4, "roc_auc": 1 - bad / 100, "ece_target": 0.03, "ece_2px": 0.02}
    noc = {"bad1": bad / 3, "bad2": bad / 5} if name == "room" else None
    return {
        "set": name,
        "grid": grid,
        "all": errors,
        "noc": noc,
        "confidence": confidence,
        "density": 100.0,
        "latency_ms": 10 * bad,
    }


def measured(tool: ModuleType, room: float, road: float, wide: list[int] | None) -> dict[str, Any]:
    scenes = {"room": scene("room", room, wide and [640, 480]), "road": scene("road", road, wide)}
    claims = {"confidence": [0.1, None, 0.9], "right_target": [0.2, None, 0.8], "ece_target": 0.015, "ece_2px": 0.025}
    rows = list(scenes.values())
    sets = {name: tool.mean_row([row]) for name, row in scenes.items()}
    return {"scenes": scenes, "sets": sets, "mean": tool.mean_row(rows), "reliability": claims}


def run(tool: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, **results: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        (folder / f"{name}.json").write_text(json.dumps(result))
    monkeypatch.setattr(sys, "argv", ["card_scores.py", str(folder)])
    tool.main()


def test_scores_go_to_the_table_and_between_the_marks(
    tool: ModuleType, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = {"net": measured(tool, 20, 10, [1280, 384]), "sgbm": measured(tool, 30, 8, None)}
    run(tool, tmp_path / "scores", monkeypatch, **results)
    text = (engines / "models.yaml").read_text()
    assert text.startswith("# what this is\n")
    table = yaml.safe_load(text)
    assert table["net"]["scores"] == {
        "what": "two", "epe": 1.5, "bad1": 15.0, "bad2": 7.5, "bad3": 3.8, "ause": 1.88, "roc_auc": 0.85
    }  # fmt: skip
    assert table["net_wide"] == TABLE["net_wide"], "those of its original"
    card = (engines / "net.md").read_text()
    assert card.startswith("# net\nbefore\n") and card.endswith("\nafter\n") and "old" not in card
    lines = card.splitlines()
    assert "| net | **1.50** | **15.0** | **7.5** | **3.8** | **6.7** | **4.0** | **1.88** | **3.75** | **0.850** |" in lines
    assert "| SGBM, filled | 1.90 | 19.0 | 9.5 | 4.8 | 10.0 | 6.0 | 2.38 | 4.75 | 0.810 |" in lines
    assert "| bad1, net | **20.0** | 10.0 |" in lines and "| bad1, SGBM, filled | 30.0 | **8.0** |" in lines
    assert "| claimed | 0.10 | 0.90 |" in lines and "| right | 0.20 | 0.80 |" in lines
    wide = (engines / "wide.md").read_text()
    assert "| net | 1.00 | 10.0 |" in wide and "| SGBM, filled | **0.80** | **8.0** |" in wide and "| 100 |" in wide
    run(tool, tmp_path / "scores", monkeypatch)
    assert (engines / "net.md").read_text() == card and (engines / "models.yaml").read_text() == text, "again is the same"


def test_what_does_not_fit_is_one_sentence_and_changes_nothing(
    tool: ModuleType, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (engines / "models.yaml").read_text()
    with pytest.raises(SystemExit, match=r"other\.json is of no network"):
        run(tool, tmp_path / "scores", monkeypatch, other=measured(tool, 1, 1, None))
    (engines / "net.md").write_text("# net\n")
    with pytest.raises(SystemExit, match="has not got the marks"):
        run(tool, tmp_path / "more", monkeypatch, net=measured(tool, 1, 1, [1280, 384]))
    assert (engines / "models.yaml").read_text() == before
