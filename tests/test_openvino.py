"""OpenVINO: as ONNX Runtime answers, so it answers, on the devices that it names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_matchers import check_map, foreign_network, textured_pair

from stereo_rt import doctor
from stereo_rt.config import MatchConfig
from stereo_rt.errors import MissingExtra, ModelError
from stereo_rt.matchers import Matcher, create_matcher
from stereo_rt.matchers.base import NetworkTimer
from stereo_rt.matchers.openvino import compiled, device_name


@pytest.fixture(scope="module")
def matcher() -> Iterator[Matcher]:
    pytest.importorskip("openvino")
    with closing(create_matcher(MatchConfig(backend="openvino"))) as opened:
        yield opened


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1242, 375)])
def test_it_equals_onnx_runtime_on_every_grid(matcher: Matcher, size: tuple[int, int]) -> None:
    pair = textured_pair(size, 30)
    with closing(create_matcher(MatchConfig(backend="onnx", device="cpu"))) as reference:
        ours, theirs = matcher(*pair), reference(*pair)
        assert (matcher.spec.sha256, matcher.spec.others) == (reference.spec.sha256, reference.spec.others)
        assert matcher.spec.max_disparity_px == reference.spec.max_disparity_px
    check_map(ours, pair[0])
    assert np.abs(ours.disparity_px - theirs.disparity_px).mean() < 1e-3
    assert np.abs(ours.confidence - theirs.confidence).max() < 1e-2
    assert matcher.spec.backend == "openvino" and isinstance(matcher, NetworkTimer)


def test_in_8_bits_it_is_as_near_to_the_truth() -> None:
    pytest.importorskip("openvino")
    left, right = textured_pair((640, 480), 24)
    with closing(create_matcher(MatchConfig(backend="openvino", model="student_s_int8"))) as matcher:
        found = matcher(left, right).disparity_px[20:-20, 48:-20]
    assert (np.abs(found - 24) < 1).mean() > 0.99


def test_results_are_the_callers_own(matcher: Matcher) -> None:
    first = matcher(*textured_pair((640, 480), 24))
    kept = first.disparity_px.copy()
    matcher(*textured_pair((640, 480), 60, seed=1))
    np.testing.assert_array_equal(first.disparity_px, kept)


def test_somebody_elses_network_runs(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    foreign_network(tmp_path / "theirs.onnx", ("right", "left"), "out")
    with closing(create_matcher(MatchConfig(backend="openvino", model=str(tmp_path / "theirs.onnx")))) as matcher:
        out = matcher(np.full((64, 128, 3), 51, np.uint8), np.full((64, 128, 3), 102, np.uint8))
    np.testing.assert_allclose(out.disparity_px, 8.0, rtol=1e-5)


def test_what_it_cannot_take_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    file = tmp_path / "junk.onnx"
    for content in (b"", b"not a network"):
        file.write_bytes(content)
        for attempt in (
            lambda: create_matcher(MatchConfig(backend="openvino", model=str(file))),
            lambda: compiled(file, "cpu", 1),
        ):
            with pytest.raises(ModelError, match=r"junk\.onnx") as e:
                attempt()
            assert "\n" not in str(e.value) and "Exception from" not in str(e.value)


def test_devices_have_openvinos_names() -> None:
    seen = ["CPU", "GPU.0", "GPU.1", "NPU"]
    for device, name in {"auto": "CPU", "cpu": "CPU", "gpu": "GPU.0", "gpu:1": "GPU.1", "npu": "NPU"}.items():
        assert device_name(device, seen) == name
    assert device_name("gpu", ["CPU", "GPU"]) == device_name("gpu:0", ["CPU", "GPU"]) == "GPU"
    for device in ("gpu:1", "npu"):
        with pytest.raises(ModelError, match=f"'{device}' is not there; OpenVINO sees CPU, GPU; use --device cpu"):
            device_name(device, ["CPU", "GPU"])
    for device in ("cuda", "gpu:x", "cpu:1", "warp"):
        with pytest.raises(ModelError, match=f"'{device}' is not known to the openvino backend"):
            device_name(device, seen)


@pytest.mark.parametrize(("device", "hint"), [("cpu", "f32"), ("gpu", "f32"), ("npu", None)])
def test_fp32_is_asked_of_those_that_have_it(monkeypatch: pytest.MonkeyPatch, device: str, hint: str | None) -> None:
    """OpenVINO's NPU plugin throws for it (openvinotoolkit/openvino#29793)."""
    seen: dict[str, object] = {}

    class Core:
        available_devices = ("CPU", "GPU", "NPU")

        def read_model(self, path: Path) -> None:
            pass

        def compile_model(self, model: None, target: str, settings: dict[str, object]) -> None:
            seen.update(settings, target=target)

    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core))
    compiled(Path("any.onnx"), device, 1)
    assert (seen["target"], seen.get("INFERENCE_PRECISION_HINT")) == (device.upper(), hint)


def test_without_the_package_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"pip install 'stereo_rt\[openvino\]'"):
        create_matcher(MatchConfig(backend="openvino"))


def test_the_doctor_names_its_devices_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert not list(doctor.openvino())
    monkeypatch.setattr(doctor, "_version", lambda name: "2030.1")
    monkeypatch.setattr(doctor, "_in_child", lambda code: ["CPU", "GPU"])
    assert [f.detail for f in doctor.openvino()] == ["2030.1; devices CPU, GPU"]


def test_a_monocular_network_does_not_get_its_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs in ONNX Runtime, which knows no 'gpu'."""
    from stereo_rt.mono import onnx as mono

    asked: list[str] = []

    def open_session(path: Path, device: str, threads: int) -> None:
        asked.append(device)
        raise ModelError("enough")

    monkeypatch.setattr(mono, "open_session", open_session)
    monkeypatch.setattr(mono, "find_model", lambda model: SimpleNamespace(name=model, path=tmp_path))
    for match in (MatchConfig(backend="openvino", device="gpu"), MatchConfig(device="cuda:1")):
        with pytest.raises(ModelError, match="enough"):
            mono.OnnxMono("any", match)
    assert asked == ["auto", "cuda:1"]
