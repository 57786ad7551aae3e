"""tools/soak.py: it looks at a real viewer, and what grows or falls is told."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tools_kit import load_tool

pytest.importorskip("starlette")
if not Path("/proc/self/fd").is_dir():
    pytest.skip("memory and files are read from /proc", allow_module_level=True)


@pytest.fixture
def tool() -> ModuleType:
    return load_tool("soak")


def test_a_viewer_with_visitors_and_recordings(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "LIMITS", {"files": tool.LIMITS["files"]})  # what a busy machine does not change
    out = tmp_path / "soak.csv"
    source = "synthetic://room?live=1&width=160&height=120&fps=20"
    monkeypatch.setattr(
        sys, "argv", ["soak.py", source, "--minutes", "0.2", "--every", "1.5", "-o", str(out), "--", "--backend", "sgbm"]
    )
    assert tool.main() == 0, capsys.readouterr().err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) >= 6 and {row["state"] for row in rows} == {"ok"}
    assert int(rows[-1]["recordings"]) >= 1
    assert all(float(row["memory_mib"]) > 50 and int(row["threads"]) > 3 and int(row["files"]) > 5 for row in rows)
    assert f"every look is in {out}" in capsys.readouterr().out


def test_a_viewer_that_does_not_start_is_told(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"did not start: .*nowhere"):
        tool.Viewing("nowhere.mkv", (), tmp_path)


def test_what_grows_or_falls_fails(tool: ModuleType) -> None:
    steady = [tool.Look(10.0 * k, "ok", 30.0, 40.0, 0, 200.0 + k % 2, 16, 10, k) for k in range(30)]
    assert tool.judged(steady) == []
    for name, step in {"memory_mib": 2.0, "threads": 1, "files": 1, "fps": -0.5}.items():
        leaking = [replace(look, **{name: getattr(look, name) + k * step}) for k, look in enumerate(steady)]
        (fault,) = tool.judged(leaking)
        assert fault.startswith(f"{name} went from")
    steady[7] = replace(steady[7], state="stale")
    assert tool.judged(steady) == ["1 of 30 looks were not ok, the first after 70 s: stale"]
