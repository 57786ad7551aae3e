"""Parts of the engine builder that need no TensorRT: the key, the parity gate, progress."""

from __future__ import annotations

import ctypes
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from engine_kit import GRID, KEY, read_until, start_python
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.engine import cuda, gate, jetson, replay
from stereo_rt.engine import gpu as gpu_module
from stereo_rt.engine.gpu import Gpu, find_gpu
from stereo_rt.engine.key import Key, Wanted
from stereo_rt.engine.phases import Phases
from stereo_rt.errors import ModelError

OTHER = {
    "onnx_sha256": "c" * 64,
    "graph_sha256": "d" * 64,
    "precision": "fp32",
    "size": (128, 64),
    "flavour": "tensorrt_rtx",
    "version": "10.3.1",
    "gpu": "Orin",
    "targets": ("8.7",),
    "options": (),
}


@pytest.mark.parametrize("field", [f.name for f in fields(Key)])
def test_every_part_of_a_key_moves_its_address(field: str) -> None:
    assert replace(KEY, **{field: OTHER[field]}).digest != KEY.digest
    assert replace(KEY).digest == KEY.digest


@pytest.mark.parametrize(
    ("gpu", "targets", "capability", "runs"),
    [
        ("NVIDIA H200", ("9.0",), "9.0", True),
        ("NVIDIA H100", ("9.0",), "9.0", False),
        (None, ("8.6", "12.0"), "12.0", True),
        (None, ("8.6", "12.0"), "8.9", False),
        (None, ("8.0+",), "12.1", True),
        (None, ("8.0+",), "8.0", True),
        (None, ("8.0+",), "7.5", False),
    ],
)
def test_which_gpu_runs_an_engine(gpu: str | None, targets: tuple[str, ...], capability: str, runs: bool) -> None:
    assert replace(KEY, gpu=gpu, targets=targets).runs_on(Gpu("NVIDIA H200", capability)) is runs


def test_differences_name_both_sides() -> None:
    wanted = Wanted("c" * 64, "tensorrt", "8.6.2", Gpu("Orin", "8.7"), "fp32", "d" * 64)
    found = wanted.differences(KEY)
    for text, both in zip(
        found,
        [
            ("aaaaaaaaaaaa", "cccccccccccc"),
            ("TensorRT 10.3.0", "TensorRT 8.6.2"),
            ("H200", "Orin"),
            ("fp16", "fp32"),
            ("another", ""),
        ],
        strict=True,
    ):
        assert all(side in text for side in both), text
    assert not Wanted("a" * 64, "tensorrt", "10.3.0", Gpu("NVIDIA H200", "9.0")).differences(KEY)


class Driver:
    """NVIDIA's, as far as find_gpu asks it. integrated: CU_DEVICE_ATTRIBUTE_INTEGRATED."""

    def __init__(self, name: bytes, integrated: int) -> None:
        self._name, self._values = name, {18: integrated, 75: 8, 76: 7}

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGet(self, device: object, index: int) -> int:
        device._obj.value = index  # type: ignore[attr-defined]
        return 0 if index < 2 else 101

    def cuDeviceGetName(self, name: ctypes.Array[ctypes.c_char], size: int, device: ctypes.c_int) -> int:
        name.value = self._name
        return 0

    def cuDeviceGetAttribute(self, value: object, attribute: int, device: ctypes.c_int) -> int:
        value._obj.value = self._values[attribute]  # type: ignore[attr-defined]
        return 0


@pytest.fixture
def a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this computer's device tree is; its board's name goes into it."""
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    monkeypatch.setattr(gpu_module, "board", lambda: jetson.board(tmp_path))
    return model


def test_jetson_modules_that_the_driver_calls_alike_are_told_apart(a_board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(b"Orin", 1))
    assert find_gpu() == Gpu("Orin", "8.7"), "nothing tells the board"
    found = []
    for module in ("AGX Orin Developer Kit", "Orin Nano Developer Kit"):
        a_board.write_bytes(f"NVIDIA Jetson {module}\0".encode())
        found.append(find_gpu())
    agx, nano = found
    assert agx == Gpu("Orin, NVIDIA Jetson AGX Orin Developer Kit", "8.7")
    assert nano is not None and not replace(KEY, gpu=agx.name, targets=("8.7",)).runs_on(nano)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(b"NVIDIA RTX 4000", 0))
    assert find_gpu() == Gpu("NVIDIA RTX 4000", "8.7"), "a card is the same in every computer"


def test_a_command_takes_another_gpu_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(b"NVIDIA RTX 4000", 0))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first, second = find_gpu(0), find_gpu(1)
    assert first and second and (first.alone, second.alone) == ("", "CUDA_VISIBLE_DEVICES=1 ") and find_gpu(2) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert second.alone == "CUDA_VISIBLE_DEVICES=3 ", "cuda:1 of those that are visible"


def test_a_context_that_does_not_end_well_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        count = staticmethod(lambda: 1)

        def __init__(self, index: int) -> None:
            pass

        def retain_primary_context(self) -> Device:
            return self

        def detach(self) -> None:
            pass

    driver = ModuleType("pycuda.driver")
    driver.__dict__.update(Device=Device, init=lambda: None, Error=type("Error", (Exception,), {}), MemoryError=MemoryError)
    package = ModuleType("pycuda")
    package.driver = driver  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    contexts = iter((1, 2))
    monkeypatch.setattr(replay, "current_context", lambda: next(contexts))

    def pop() -> None:
        raise replay.CudaError("cuCtxPopCurrent_v2: CUDA_ERROR_LAUNCH_FAILED")

    monkeypatch.setattr(replay, "pop_context", pop)
    with pytest.raises(ModelError, match=r"not released well \(cuCtxPopCurrent_v2: CUDA_ERROR_LAUNCH_FAILED\)"):
        cuda.PrimaryContext(0).close()


def plain(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return left.mean(axis=2, dtype=np.float32), right[..., 0].astype(np.float32) / 255


def test_the_gate_passes_what_is_equal_and_no_more_than_its_limits() -> None:
    same = gate.measure(plain, plain, GRID, "GPU")
    assert same == gate.Parity("GPU", 0, 0, 0, 0) and same.holds

    def shifted(px: float, confidence: float = 0.0) -> gate.Parity:
        def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            disparity, sure = plain(left, right)
            return disparity + np.float32(px), sure + np.float32(confidence)

        return gate.measure(plain, run, GRID, "GPU")

    assert shifted(0.9 * gate.MAX_MEDIAN_PX).holds
    assert not shifted(1.1 * gate.MAX_MEDIAN_PX).holds
    assert not shifted(0, 1.1 * gate.MAX_CONFIDENCE_P99).holds


def test_the_gate_sees_rare_but_large_differences() -> None:
    def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        disparity, sure = plain(left, right)
        disparity.ravel()[::50] += 5
        return disparity, sure

    found = gate.measure(plain, run, GRID, "GPU")
    assert found.median_px == 0 and found.p99_px == pytest.approx(5) and not found.holds


def test_the_gate_counts_values_that_are_not_numbers() -> None:
    def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        disparity, sure = plain(left, right)
        disparity[0, :32] = np.nan
        return disparity, sure

    found = gate.measure(plain, run, GRID, "GPU")
    assert found.missing == pytest.approx(100 * 32 / (64 * 32)) and not found.holds and "not numbers" in str(found)
    assert gate.measure(run, run, GRID, "GPU").holds, "where FP32 has no number either, nothing is lost"

    def nothing(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full(left.shape[:2], np.nan, np.float32), np.zeros(left.shape[:2], np.float32)

    assert not gate.measure(plain, nothing, GRID, "GPU").holds and not gate.measure(nothing, nothing, GRID, "GPU").holds


def test_the_gate_copies_what_an_engine_overwrites() -> None:
    buffers = np.empty(GRID[::-1], np.float32), np.empty(GRID[::-1], np.float32)

    def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        for buffer, values in zip(buffers, plain(left, right), strict=True):
            buffer[:] = values
        return buffers

    assert gate.measure(plain, run, GRID, "GPU").holds


def test_the_gate_feeds_the_pixels_that_were_rendered() -> None:
    from stereo_rt.sources.synthetic import SyntheticCamera

    seen = []

    def run(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append((left, right))
        return plain(left, right)

    gate.measure(plain, run, GRID, "GPU")
    frame = SyntheticCamera(size=GRID, seed=0, baseline_m=0.06).frame(0)
    np.testing.assert_array_equal(seen[0][0], frame.left)
    np.testing.assert_array_equal(seen[0][1], frame.right)


def test_nested_phases_make_one_fraction() -> None:
    phases = Phases()
    assert phases.fraction == 0 and phases.current == ""
    phases.start("all", None, 4)
    phases.step("all", 0)
    assert phases.fraction == 0.25
    phases.start("part", "all", 2)
    phases.step("part", 0)
    assert phases.fraction == 0.375 and phases.current == "part"
    phases.finish("part")
    phases.step("all", 1)
    assert phases.fraction == 0.5 and phases.current == "all"


@pytest.mark.parametrize(("stoppable", "signals"), [(False, 1), (True, 2)])
def test_a_builder_that_does_not_stop_is_left_at_once(stoppable: bool, signals: int) -> None:
    """TensorRT 8 cannot be stopped; and nobody waits for one that could but does not, once Ctrl-C came twice."""
    code = (
        "import sys, threading; from stereo_rt.engine.build import _interruptible; from stereo_rt.engine.phases import Phases\n"
        "phases, forever = Phases(), threading.Event()\n"
        "phases.stop = lambda: print('asked to stop', flush=True)\n"
        f"_interruptible(forever.wait, phases, {stoppable}, lambda: print('building', flush=True))\n"
    )
    process = start_python("-c", code)
    for words in ("building", "asked to stop")[:signals]:
        read_until(process, words)
        process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130 and not complaint


names = st.sampled_from("abcd")
events = st.one_of(
    st.tuples(st.just("start"), names, st.none() | names, st.integers(0, 4)),
    st.tuples(st.just("step"), names, st.integers(0, 4)),
    st.tuples(st.just("finish"), names),
)


@given(st.lists(events, max_size=30))
def test_progress_never_goes_back_whatever_is_reported(reports: list[tuple]) -> None:
    phases, before = Phases(), 0.0
    for what, *arguments in reports:
        getattr(phases, what)(*arguments)
        after = phases.fraction
        assert before <= after <= 1
        before = after
