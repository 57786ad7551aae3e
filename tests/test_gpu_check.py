"""tools/gpu_check.py, as far as it goes without a GPU: what fails is in the report, and the rest is there too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from tools_kit import load_tool

from stereo_rt.engine.gpu import Gpu
from stereo_rt.engine.replay import CudaError
from stereo_rt.errors import ModelError

ADA = Gpu("NVIDIA GeForce RTX 4090", "8.9")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """With a GPU and both flavours, none of which is reached."""
    module = load_tool("gpu_check")
    for name, value in {
        "find_gpu": lambda: ADA,
        "available": lambda: ("tensorrt", "tensorrt_rtx"),
        "load": lambda name: name,
        "machine": dict,
        "Bench": lambda name, frames: SimpleNamespace(name=name),
        "engine": lambda *_: {"precision": "fp16"},
        "torch_twin": lambda *_: {"loop_fps": 1.0},
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


def fails(error: BaseException) -> Any:
    def failing(*_: object) -> None:
        raise error

    return failing


def checked(tool: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *networks: str) -> list[dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "-o", str(folder), *networks])
    tool.main()
    return written(folder)


def written(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("*.json")
    networks: list[dict[str, Any]] = json.loads(file.read_text())["networks"]
    return networks


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (CudaError("cuGraphLaunch: CUDA_ERROR"), "CudaError: cuGraphLaunch: CUDA_ERROR"),
        (ModelError("one sentence"), "one sentence"),
    ],
)
def test_a_part_that_fails_leaves_the_others(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    monkeypatch.setattr(tool, "engine", fails(error))
    (found,) = checked(tool, tmp_path, monkeypatch, "student_s")
    assert found["engine"] == {"failed": words} and found["torch_fp32"] == {"loop_fps": 1.0}
    monkeypatch.setattr(tool, "Bench", fails(error))
    (found,) = checked(tool, tmp_path, monkeypatch, "student_s")
    assert found["failed"] == words


def test_what_was_checked_before_it_was_stopped_is_written(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bench(name: str, frames: int) -> SimpleNamespace:
        if name == "student_m":
            raise KeyboardInterrupt
        return SimpleNamespace(name=name)

    monkeypatch.setattr(tool, "Bench", bench)
    with pytest.raises(KeyboardInterrupt):
        checked(tool, tmp_path, monkeypatch, "student_s", "student_m")
    assert [network["network"] for network in written(tmp_path)] == ["student_s"]


def test_the_engine_that_is_timed_is_the_one_that_was_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not the first flavour's that happens to be in the cache."""
    tool = load_tool("gpu_check")
    key = SimpleNamespace(onnx_sha256="", digest="", precision="fp16", size=(64, 32))
    side = SimpleNamespace(key=key, build_s=1.0, layers=SimpleNamespace(fp16=1, fp32=1), parity=None)
    (tmp_path / "x.engine").write_bytes(b"plan")
    entry = SimpleNamespace(engine=tmp_path / "x.engine", sidecar=side)
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(tool, "ensure", lambda *_, **__: entry)
    monkeypatch.setattr(tool, "LoadedEngine", lambda *_, **__: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr("stereo_rt.matchers.tensorrt.TensorRTMatcher", lambda match, **given: made.append(given))
    bench = SimpleNamespace(network_ms=lambda loaded: {}, match=lambda *_: None, matcher=lambda make: {"made": make()})
    tool.engine("student_s", "tensorrt_rtx", ADA, True, bench)
    assert made == [{"trained": True, "entry": entry}]
