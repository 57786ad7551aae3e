"""Comparing two reports: what counts as slower, what cannot be compared, and the exit codes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.bench.compare import FINEST_MS, check_conditions, compare, read_report
from stereo_rt.bench.machine import machine
from stereo_rt.bench.report import SCHEMA
from stereo_rt.cli.bench import _share
from stereo_rt.engine.gpu import Gpu
from stereo_rt.errors import CheckFailed, UsageError


def report(factor: float = 1.0, machine: float = 1.0) -> dict[str, Any]:
    """factor: how much longer the program takes. machine: how much longer everything takes."""
    ms = {"min": 10.0 * factor * machine}
    run = {
        "matcher": "student_s",
        "backend": "onnx",
        "sha256": "ab" * 32,
        "grid": [640, 480],
        "live_rate_hz": 30.0,
        "network_ms": ms,
        "alone_ms": {"match": ms, "post": {"min": factor * machine}},
        "flat_out": {"best_fps": 90 / (factor * machine)},
    }
    return {
        "schema": SCHEMA,
        "machine": {"cpu": "some", "cores": 2, "gpu": None, "numpy": "2.0"},
        "source": "synthetic://room",
        "frame_size": [640, 480],
        "runs": [run],
        "overhead": {"cpu_ms": factor * machine},
        "reference_ms": {"one_core": {"min": 2.0 * machine}, "all_cores": {"min": 30.0 * machine}},
        "load": 0.5,
        "settings": {"match": {"model": "student_s"}, "post": {"edge_px": 1}, "calib": {"file": None}},
    }


@given(st.floats(0.3, 3), st.floats(0.3, 3), st.floats(0, 0.5))
def test_only_the_program_is_judged_not_the_machine(factor: float, machine: float, limit: float) -> None:
    found = compare(report(), report(factor, machine), limit)
    clear = 1e-6
    if factor > 1 + limit + clear and factor * machine > 1 + limit + clear and factor * machine - 1 > FINEST_MS + clear:
        assert {c.name for c in found.slower} == {c.name for c in found.changes}
    if factor < 1 + limit - clear or factor * machine < 1 + limit - clear:
        assert not found.slower


def test_one_figure_alone_is_found_and_tiny_times_are_not() -> None:
    after = report()
    after["runs"][0]["alone_ms"]["post"]["min"] = 1.2
    assert [c.name for c in compare(report(), after, 0.05).slower] == ["student_s on onnx: post alone"]
    before, after = report(), report()
    before["runs"][0]["alone_ms"]["post"]["min"], after["runs"][0]["alone_ms"]["post"]["min"] = 0.010, 0.025
    assert not compare(before, after, 0.05).slower


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("machine", "cpu"), "another", "cpu some before, another now"),
        (("machine", "gpu"), "H200", "gpu None before, H200 now"),
        (("source",), "take.mkv", "source synthetic://room before, take.mkv now"),
        (("runs", 0, "sha256"), "cd" * 32, "sha256 of student_s on onnx abababababab before, cdcdcdcdcdcd now"),
        (("runs", 0, "grid"), [320, 240], "grid of student_s"),
        (("runs", 0, "backend"), "tensorrt", "measured student_s on onnx before, student_s on tensorrt now"),
        (("runs", 0, "network_ms"), {}, "the parts that were measured differ"),
        (("settings", "post", "edge_px"), 0, "post.edge_px 1 before, 0 now"),
    ],
)
def test_unlike_things_are_not_compared(path: tuple[str | int, ...], value: Any, sentence: str) -> None:
    after = copy.deepcopy(report())
    inner: Any = after
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(CheckFailed) as e:
        compare(report(), after, 0.05)
    assert sentence in str(e.value) and "\n" not in str(e.value)


def test_conditions_are_checked_before_anything_is_measured() -> None:
    before = report() | {"machine": machine()}
    check_conditions(before, before["source"], before["settings"])
    with pytest.raises(CheckFailed, match="source synthetic://room before"):
        check_conditions(before, "take.mkv", before["settings"])


def test_other_versions_are_compared_and_said() -> None:
    after = report()
    after["machine"]["numpy"] = "2.1"
    after["machine"]["onnxruntime"] = "1.20"
    assert compare(report(), after, 0.05).versions == ("numpy 2.0 -> 2.1", "onnxruntime absent -> 1.20")


def test_a_machine_in_another_state_is_said() -> None:
    found = compare(report(), report(machine=2), 0.05)
    assert found.unsteady and not found.busy
    after = report() | {"load": 3.0}
    assert compare(report(), after, 0.05).busy


@pytest.mark.parametrize("content", ["", "[]", "{}", "7", '{"schema": 1}', "\0", f'{{"schema": {SCHEMA}}}'])
def test_what_is_no_report_is_refused_before_anything_runs(tmp_path: Path, content: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(content)
    with pytest.raises(UsageError, match="stereo-rt bench --json"):
        read_report(file)
    file.write_text(json.dumps(report()))
    assert read_report(file) == report()


@pytest.mark.parametrize("part", ["machine", "source", "settings", "frame_size", "runs", "reference_ms", "load", "overhead"])
def test_a_report_that_lacks_something_is_refused_before_anything_runs(tmp_path: Path, part: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps({key: value for key, value in report().items() if key != part}))
    with pytest.raises(UsageError, match="is not a report"):
        read_report(file)


def live(fps: float) -> dict[str, Any]:
    """As `bench --live` writes it: nothing but the loop on the camera."""
    parts = {"network_ms": {}, "alone_ms": {}, "flat_out": None, "live": {"best_fps": fps}}
    return report() | {"runs": [report()["runs"][0] | parts], "overhead": None}


def test_a_camera_that_got_slower_is_found() -> None:
    assert not compare(live(30), live(29), 0.05).slower
    assert [c.name for c in compare(live(30), live(5), 0.05).slower] == ["student_s on onnx: a frame live"]


def test_a_camera_behind_a_password_is_the_same_source() -> None:
    before = report() | {"machine": machine(), "source": "rtsp://10.0.0.2/stereo"}
    check_conditions(before, "rtsp://me:secret@10.0.0.2/stereo", before["settings"])


def test_the_gpu_that_measures_is_the_one_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {0: Gpu("RTX 3060", "8.6"), 1: Gpu("RTX 4090", "8.9")}
    monkeypatch.setattr("stereo_rt.bench.machine.find_gpu", lambda index=0: cards.get(index))
    for device, card in {"auto": 0, "cpu": 0, "gpu:1": 0, "cuda": 0, "cuda:1": 1}.items():
        assert machine(device)["gpu"] == str(cards[card])
    before = report() | {"machine": machine("cuda:1")}
    settings = before["settings"] | {"match": {"model": "student_s", "device": "cuda:1"}}
    check_conditions(before, before["source"], settings)
    assert machine("cuda:2")["gpu"] is None


def test_percentages() -> None:
    assert _share("5%") == _share(" 5") == 0.05
    for wrong in ("five", "-1%", "nan", "1000000%"):
        with pytest.raises(UsageError, match="percentage"):
            _share(wrong)
