"""tools/make_students.py at next to no size: one command from nothing to files that the program runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread  # noqa: E402, F401

from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.matchers import create_matcher  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402
from stereo_rt.training.calibration import calibrate  # noqa: E402
from stereo_rt.training.chance import mixed_seed  # noqa: E402
from stereo_rt.training.recipe import load_recipe  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ["--device", "cpu", "--batches", "1", "--only", "student_s_16x9", "--only", "student_s"]
SMALL += [f"--set={one}" for one in ("steps=2", "batch=1", "size=128x64", "scenes.pool=1", "scenes.fresh=1")]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("make_students")


def run(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_students.py", *arguments])
    tool.main()


def test_from_nothing_to_a_file_that_runs(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(tool, monkeypatch, str(tmp_path), *SMALL, "--minutes", "0")
    assert stopped.value.code == 0 and not (tmp_path / "student_s.onnx").exists()

    seeds: list[int] = []
    monkeypatch.setattr(tool, "calibrate", lambda net, stream, *r: seeds.append(stream.seed) or calibrate(net, stream, *r))
    run(tool, monkeypatch, str(tmp_path), *SMALL)
    assert seeds == [mixed_seed(2, 0)], "the training's seed is 1: the confidence is fitted on scenes that it never saw"
    said = capsys.readouterr().out
    assert "step 2 of 2" in said and "confidence: its logit times" in said

    plain, facts = checkpoint.load(tmp_path / "run" / checkpoint.AVERAGE)
    fitted, kept = checkpoint.load(tmp_path / "student.safetensors")
    changed = [name for name in plain if not torch.equal(plain[name], fitted[name])]
    assert sorted(changed) == ["certainty_bias", "certainty_gain"] and kept == facts

    for name, size in (("student_s", (480, 640)), ("student_s_16x9", (416, 736))):
        matcher = create_matcher(MatchConfig(model=str(tmp_path / f"{name}.onnx")))
        found = matcher(*np.random.default_rng(0).integers(0, 255, (2, *size, 3), np.uint8))
        assert (matcher.spec.height, matcher.spec.width) == found.disparity_px.shape == size
        assert np.isfinite(found.disparity_px).all()
    assert (tmp_path / "student_s_16x9.onnx").stat().st_size < 400_000 < (tmp_path / "student_s.onnx").stat().st_size


def test_a_further_recipe_goes_on(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path / "out"), "--device", "cpu", "--batches", "1", "--only", "student_s_16x9"]
    for name, size in (("first", "[128, 64]"), ("larger", "[192, 128]")):
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(f"network: student_s\nsteps: 1\nbatch: 1\nsize: {size}\nscenes: {{pool: 1, fresh: 1}}\n")
        arguments += ["--recipe", str(recipe)]
    run(tool, monkeypatch, *arguments)
    said = capsys.readouterr().out
    assert f"{tmp_path / 'out' / 'run'}: " in said and "tensors fit" in said, "with the weights of the first"
    runs = [tmp_path / "out" / name for name in ("run", "run2")]
    recipes = [load_recipe(str(folder / "recipe.yaml")) for folder in runs]
    assert [recipe.size for recipe in recipes] == [(128, 64), (192, 128)]
    assert [recipe.init for recipe in recipes] == [None, runs[0]]
    before, after = (checkpoint.load(folder / checkpoint.AVERAGE)[0] for folder in runs)
    fitted, facts = checkpoint.load(tmp_path / "out" / "student.safetensors")
    assert facts["samples"] == 2, "of both"
    assert sorted(name for name in fitted if not torch.equal(after[name], fitted[name])) == ["certainty_bias", "certainty_gain"]
    assert sum(not torch.equal(before[name], fitted[name]) for name in fitted) > len(fitted) / 2
    assert (tmp_path / "out" / "student_s_16x9.onnx").is_file()

    # Moved, the same command does the rest again and trains nothing.
    (tmp_path / "out").rename(tmp_path / "moved")
    run(tool, monkeypatch, str(tmp_path / "moved"), *arguments[1:])
    again, _ = checkpoint.load(tmp_path / "moved" / "student.safetensors")
    assert all(torch.equal(fitted[name], again[name]) for name in fitted)

    # A further stage of a first one that is gone would be taken for one of the new.
    shutil.rmtree(tmp_path / "moved" / "run")
    with pytest.raises(SystemExit, match=r"run2 goes on from .*run, which is not done"):
        run(tool, monkeypatch, str(tmp_path / "moved"), *arguments[1:])


def test_no_time_is_left_for_a_further_recipe(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [str(tmp_path), *SMALL, "--recipe", "student_s", "--recipe", "student_m"]
    monkeypatch.setattr(tool, "time", SimpleNamespace(monotonic=lambda: float("inf")))
    with pytest.raises(SystemExit) as stopped:
        run(tool, monkeypatch, *arguments)
    assert stopped.value.code == 0 and (tmp_path / "run" / checkpoint.AVERAGE).is_file() and not (tmp_path / "run2").exists()


def test_what_a_later_recipe_gets_wrong_is_said_at_once(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="rt_igev is no student"):
        run(tool, monkeypatch, str(tmp_path / "out"), "--recipe", "student_s", "--recipe", "rt_igev", *SMALL)
    assert not (tmp_path / "out").exists()


def test_a_wrong_name_is_one_sentence(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no shipped network named 'student_x'"):
        run(tool, monkeypatch, str(tmp_path / "out"), "--only", "student_x")
    assert not (tmp_path / "out").exists()
