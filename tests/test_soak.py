"""tools/soak.py: it looks at a real viewer, and what grows or falls is told."""

from __future__ import annotations

import csv
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

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
    monkeypatch.setenv("STEREO_RT_TOKEN", "a-secret-of-somebody")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sgbm.yaml").write_text("match: {backend: sgbm}\n")
    out = tmp_path / "soak.csv"
    source = "synthetic://room?live=1&width=160&height=120&fps=20"
    flags = ["--minutes", "0.4", "--every", "4", "-o", str(out), "--", "-c", "sgbm.yaml"]
    monkeypatch.setattr(sys, "argv", ["soak.py", source, *flags])
    assert tool.main() == 0, capsys.readouterr().err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) >= 6 and {row["state"] for row in rows} == {"ok"}
    assert int(rows[-1]["frames"]) > int(rows[0]["frames"]) > 0
    assert int(rows[-1]["recordings"]) >= 1
    assert all(float(row["memory_mib"]) > 50 and int(row["threads"]) > 3 and int(row["files"]) > 5 for row in rows)
    assert f"every look is in {out}" in capsys.readouterr().out


def test_a_viewer_that_ends_by_itself_is_told_with_what_was_seen(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "soak.csv"
    source = "synthetic://room?live=1&width=160&height=120&fps=20"
    flags = ["--minutes", "60", "--every", "1", "-o", str(out), "--", "--backend", "sgbm", "--max-frames", "60"]
    monkeypatch.setattr(sys, "argv", ["soak.py", source, *flags])
    assert tool.main() == 3
    assert "no look was to be had" in capsys.readouterr().err
    assert out.is_file()


def test_a_viewer_that_does_not_start_is_told(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"did not start: .*nowhere"):
        tool.Viewing("nowhere.mkv", (), tmp_path)


def test_what_grows_or_falls_fails(tool: ModuleType) -> None:
    steady = [tool.Look(10.0 * k, "ok", 300 * k, 30.0, 40.0, 0, 0, 200.0 + k % 2, 16, 10, k) for k in range(30)]
    assert tool.judged(steady) == []
    for name, step in {"memory_mib": 2.0, "threads": 1, "files": 1, "fps": -0.5}.items():
        leaking = [replace(look, **{name: getattr(look, name) + k * step}) for k, look in enumerate(steady)]
        (fault,) = tool.judged(leaking)
        assert fault.startswith(f"{name} went from")
    for changed, fault in {
        ("state", "stale"): "1 of 30 looks were not ok, the first after 70 s: stale",
        ("frames", 1800): "1 of 30 looks were of a loop that stood still, the first after 70 s: ok",
        ("warnings", 1): "1 of 30 looks were with more warnings than at first, the first after 70 s: ok",
    }.items():
        assert tool.judged([*steady[:7], replace(steady[7], **dict([changed])), *steady[8:]]) == [fault]
    assert tool.judged(steady[:5]) == ["5 looks tell nothing"]


def test_a_visit_that_ends_badly_is_told_and_the_next_one_comes(tool: ModuleType) -> None:
    over, visits, viewing = threading.Event(), list[int](), SimpleNamespace(faults=[])

    def passer_by(viewing: object, over: threading.Event, every_s: float) -> None:
        visits.append(1)
        if len(visits) == 2:
            over.set()
        raise ConnectionResetError("gone")

    tool.keep_coming(passer_by, viewing, over, 0.01)
    assert len(visits) == 2 and viewing.faults == ["the passer-by: gone"], "at the end nothing is wrong with it"
