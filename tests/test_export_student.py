"""tools/export_student.py: weights become files of the table of shipped networks, all of them or none."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread  # noqa: E402, F401

from stereo_rt import paths  # noqa: E402
from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.digest import sha256_of  # noqa: E402
from stereo_rt.errors import CheckFailed  # noqa: E402
from stereo_rt.matchers import create_matcher  # noqa: E402
from stereo_rt.nets import build  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
BEFORE = {"net": {"file": "net.onnx", "sha256": "0", "version": 4, "recipe": "the old one", "card": "net.md", "licence": "MIT"}}


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Ships to a folder of its own, on two small grids."""
    module = load_tool("export_student")
    engines = tmp_path / "engines"
    engines.mkdir()
    (engines / "models.yaml").write_text("# a comment\n" + yaml.safe_dump(BEFORE))
    (engines / "net.onnx").write_bytes(b"old")
    monkeypatch.setattr(paths, "engines", lambda: engines)
    monkeypatch.setattr(module, "SHAPES", ("wide",))
    monkeypatch.setattr(module, "SIZES", {"n": replace(module.SIZES["n"], others=((256, 128),))})
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "w.safetensors", build("student_n").state_dict(), {})
    arguments = [str(tmp_path / "w.safetensors"), "net", "--student-size", "n", "--size", "192x128"]
    monkeypatch.setattr(sys, "argv", ["export_student.py", *arguments])
    return module


def test_files_and_table_go_together(tool: ModuleType, tmp_path: Path) -> None:
    tool.main()
    text = (tmp_path / "engines/models.yaml").read_text()
    table = yaml.safe_load(text)
    assert text.startswith("# a comment\n") and list(table) == ["net", "net_wide"]
    assert table["net"] | {"version": 5, "licence": "MIT", "recipe": "the old one", "input_size": "192x128"} == table["net"]
    assert table["net_wide"]["of"] == "net" and table["net_wide"]["input_size"] == "256x128"
    assert "version" not in table["net_wide"], "as its original's"
    for name, (width, height) in {"net": (192, 128), "net_wide": (256, 128)}.items():
        file = tmp_path / "engines" / f"{name}.onnx"
        assert table[name]["sha256"] == sha256_of(file)
        matcher = create_matcher(MatchConfig(model=str(file), backend="onnx"))
        found = matcher(*np.random.default_rng(0).integers(0, 255, (2, height, width, 3), np.uint8))
        assert (matcher.spec.width, matcher.spec.height) == (width, height) and np.isfinite(found.disparity_px).all()
        matcher.close()
    assert sorted(p.name for p in (tmp_path / "engines").iterdir()) == ["models.yaml", "net.onnx", "net_wide.onnx"]


def test_a_file_that_fails_replaces_nothing(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(net: object, target: Path, *rest: object, **more: object) -> None:
        if target.stem == "net_wide":
            raise CheckFailed("it answers otherwise")
        target.write_bytes(b"new")

    monkeypatch.setattr(tool, "export_checked", refuse)
    before = {p.name: p.read_bytes() for p in (tmp_path / "engines").iterdir()}
    with pytest.raises(SystemExit, match="it answers otherwise"):
        tool.main()
    assert {p.name: p.read_bytes() for p in (tmp_path / "engines").iterdir()} == before
