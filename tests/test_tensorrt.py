"""The TensorRT matcher: which engine is taken and which is refused anywhere, and its answers where there is a GPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from networks import GRID, network  # noqa: E402

from stereo_rt import matchers  # noqa: E402
from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.engine import jetson, replay  # noqa: E402
from stereo_rt.engine.build import ensure  # noqa: E402
from stereo_rt.engine.cache import Entry  # noqa: E402
from stereo_rt.engine.cuda import device_index  # noqa: E402
from stereo_rt.engine.flavour import available, load  # noqa: E402
from stereo_rt.engine.gpu import Gpu, find_gpu  # noqa: E402
from stereo_rt.errors import CheckFailed, MissingExtra, ModelError  # noqa: E402
from stereo_rt.matchers import create_matcher, tensorrt  # noqa: E402
from stereo_rt.matchers.models import find_model  # noqa: E402

ADA = Gpu("NVIDIA GeForce RTX 4090", "8.9")
no_gpu = pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network's file, and an empty cache of engines."""
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path / "home"))
    onnx.save(network(), tmp_path / "mine.onnx")
    return tmp_path / "mine.onnx"


def built(file: Path, *targets: str) -> Entry:
    """A real engine, by TensorRT-RTX, for the compute capabilities named."""
    pytest.importorskip("tensorrt_rtx")
    return ensure(find_model(str(file)), load("tensorrt_rtx"), gpu=None, targets=targets)


def asked(file: Path, **settings: str) -> MatchConfig:
    return MatchConfig.model_validate({"model": str(file), "backend": "tensorrt"} | settings)


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided where that GPU is; it is never reached."""
    for place in ("stereo_rt.matchers.tensorrt.find_gpu", "stereo_rt.engine.gpu.find_gpu"):
        monkeypatch.setattr(place, lambda index=0: ADA if index == 0 else None)


def test_devices() -> None:
    assert [device_index(name) for name in ("auto", "cuda", "cuda:0", "cuda:3")] == [0, 0, 0, 3]
    for name in ("cpu", "cuda:x", "auto:1", "mps", ""):
        with pytest.raises(ModelError, match=f"device '{name}' is not known to the tensorrt backend"):
            device_index(name)


@no_gpu
def test_without_a_gpu_it_is_one_sentence(file: Path) -> None:
    with pytest.raises(ModelError, match=r"no NVIDIA GPU cuda:0 here, which the tensorrt backend needs; use --backend onnx"):
        create_matcher(asked(file))


def test_the_engine_is_built_by_nobody_but_build(file: Path, ada: None) -> None:
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ModelError, match=r"there is no engine of mine yet.*stereo-rt build .*mine\.onnx"):
        create_matcher(asked(file))
    assert not list((file.parent / "home").rglob("*.engine"))


def test_an_engine_of_another_gpu_is_refused_before_it_is_loaded(file: Path, ada: None) -> None:
    entry = built(file, "8.6")
    entry.engine.write_bytes(b"TensorRT would crash on it")
    with pytest.raises(ModelError, match=r"built for .*8\.6.*, and here is NVIDIA GeForce RTX 4090.*stereo-rt build"):
        create_matcher(asked(file))


def test_a_damaged_engine_is_refused_before_it_is_loaded(file: Path, ada: None) -> None:
    entry = built(file, "8.9")
    entry.engine.write_bytes(entry.engine.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"is damaged.*stereo-rt build"):
        create_matcher(asked(file))


def test_an_engine_of_the_network_before_it_changed_is_refused(file: Path, ada: None) -> None:
    built(file, "8.9")
    onnx.save(network(opset=16), file)
    with pytest.raises(ModelError, match=r"was built from the network .*, which is now .*stereo-rt build"):
        create_matcher(asked(file))


@pytest.mark.skipif(find_spec("pycuda") is not None, reason="PyCUDA is installed")
def test_without_pycuda_it_is_one_sentence(file: Path, ada: None) -> None:
    built(file, "8.9")
    with pytest.raises(ModelError, match=r"needs PyCUDA, which is not installed.*pip install pycuda"):
        create_matcher(asked(file))


def test_without_tensorrt_it_is_one_sentence(file: Path, ada: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "available", lambda: ())
    with pytest.raises(MissingExtra, match=r"pip install 'stereo_rt\[tensorrt\]'"):
        create_matcher(asked(file))


def test_on_a_jetson_tensorrt_is_the_systems(
    file: Path, ada: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jetson, "is_jetson", lambda root=None: True)
    monkeypatch.setattr(tensorrt, "available", lambda: ())
    monkeypatch.setattr("stereo_rt.engine.flavour.available", lambda: ())
    with pytest.raises(ModelError, match=r"the tensorrt backend needs .* --system-site-packages") as e:
        create_matcher(asked(file))
    with caplog.at_level(logging.INFO, matchers.__name__):
        create_matcher(asked(file, backend="auto")).close()
    assert "--system-site-packages" in caplog.text and "stereo_rt[" not in caplog.text + str(e.value)


class Loaded:
    """An engine that gives no numbers."""

    def __init__(self, entry: Entry, device: int = 0) -> None:
        self.entry, size = entry, (GRID[1], GRID[0])
        self.images = [np.empty((*size, 3), np.uint8) for _ in range(2)]
        self.maps = [np.full(size, value, np.float32) for value in (np.nan, 0)]

    def upload_left(self) -> None:
        pass

    infer = close = upload_left


def test_an_engine_that_somebody_chose_is_the_one_that_runs(file: Path, ada: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = built(file, "8.9")
    monkeypatch.setattr(tensorrt, "usable_engine", lambda model, gpu: pytest.fail("looked for another"))
    monkeypatch.setattr(tensorrt, "LoadedEngine", Loaded)
    matcher = tensorrt.TensorRTMatcher(asked(file), trained=False, entry=ours)
    assert matcher.engine_key == ours.sidecar.key.digest


def test_the_warning_of_no_numbers_names_a_command_that_works(
    file: Path, ada: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built(file, "8.9")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tensorrt, "find_gpu", lambda index=0: Gpu(ADA.name, ADA.compute_capability, index))
    monkeypatch.setattr(tensorrt, "LoadedEngine", Loaded)
    image = np.zeros((GRID[1], GRID[0], 3), np.uint8)
    tensorrt.TensorRTMatcher(asked(file, device="cuda:1"), trained=False)(image, image)
    command = f"CUDA_VISIBLE_DEVICES=1 stereo-rt build {file} --flavour tensorrt_rtx --precision fp32"
    assert f"({command} makes" in caplog.messages[-1]


@no_gpu
def test_auto_takes_onnx_runtime_where_there_is_no_gpu(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, matchers.__name__):
        chosen = create_matcher(asked(file, backend="auto"))
    assert chosen.spec.backend == "onnx"
    assert caplog.messages == ["ONNX Runtime matches, not TensorRT: there is no NVIDIA GPU here"]
    chosen.close()


def test_auto_says_why_it_does_not_take_tensorrt(
    file: Path, ada: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(matchers, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, matchers.__name__):
        create_matcher(asked(file, backend="auto", device="cpu")).close()
        create_matcher(asked(file, backend="auto")).close()
        monkeypatch.setattr(matchers, "find_spec", lambda name: object())
        create_matcher(asked(file, backend="auto")).close()
    assert "the device is the CPU" in caplog.messages[0]
    assert "PyCUDA is not installed, and NVIDIA GeForce RTX 4090 could use it" in caplog.messages[1]
    assert "stereo-rt build" in caplog.messages[2] and caplog.records[2].levelno == logging.WARNING


@pytest.mark.skipif(find_gpu() is not None, reason="there is a driver here")
def test_cuda_graphs_without_a_driver_are_one_error() -> None:
    with pytest.raises(replay.CudaError, match=r"driver is missing or too old \(libcuda"):
        replay.CudaGraph(0, lambda: None)


# -- where there is a GPU --------------------------------------------------------------------------------------------


@pytest.fixture
def engine(file: Path, gpu: Gpu) -> Entry:
    """Built for the GPU here, in whichever flavour is installed; not judged yet."""
    names = available()
    if not names:
        pytest.skip("TensorRT is not installed")
    return ensure(find_model(str(file)), load(names[0]), gpu=gpu)


@pytest.fixture
def matcher(engine: Entry, file: Path) -> Iterator[tensorrt.TensorRTMatcher]:
    made = tensorrt.TensorRTMatcher(asked(file))
    yield made
    made.close()


def noise(seed: int, shape: tuple[int, ...] = (GRID[1], GRID[0], 3)) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.random.default_rng(seed).integers(1, 256, (2, *shape), np.uint8)
    return left, right


@pytest.mark.parametrize("shape", [(16, 24, 3), (16, 24), (40, 50, 3), (7, 9)])
def test_answers_are_those_of_onnx_runtime(matcher: tensorrt.TensorRTMatcher, file: Path, shape: tuple[int, ...]) -> None:
    reference = create_matcher(asked(file, backend="onnx"))
    for seed in range(3):
        pair = noise(seed, shape)
        ours, theirs = matcher(*pair), reference(*pair)
        np.testing.assert_allclose(ours.disparity_px, theirs.disparity_px, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-3)
    assert matcher.spec.sha256 == reference.spec.sha256 and matcher.spec.backend == "tensorrt"
    reference.close()


def test_results_on_a_gpu_are_the_callers_own(matcher: tensorrt.TensorRTMatcher) -> None:
    first = matcher(*noise(0))
    kept = first.disparity_px.copy()
    matcher(*noise(1))
    np.testing.assert_array_equal(first.disparity_px, kept)


def test_a_cuda_graph_changes_nothing(matcher: tensorrt.TensorRTMatcher, engine: Entry) -> None:
    from stereo_rt.engine.running import LoadedEngine

    plain = LoadedEngine(engine, cuda_graph=False)
    for seed in range(3):
        expected = matcher(*noise(seed))
        np.testing.assert_array_equal(plain(*noise(seed))[0], expected.disparity_px)
    plain.close()
    assert min(matcher.network_ms(5)) > 0


def test_the_first_run_is_judged_and_remembered(engine: Entry, file: Path) -> None:
    from stereo_rt.engine.sidecar import read_sidecar

    assert engine.sidecar.parity is None
    tensorrt.TensorRTMatcher(asked(file)).close()
    kept = read_sidecar(engine.engine.with_suffix(".json"))
    assert kept is not None and kept.parity is not None and kept.parity.holds


def test_an_engine_that_fails_the_gate_is_not_used(
    engine: Entry, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stereo_rt.engine.gate.MAX_MEDIAN_PX", -1.0)
    with pytest.raises(CheckFailed, match="differs too much from ONNX Runtime"):
        create_matcher(asked(file))
    chosen = create_matcher(asked(file, backend="auto"))
    assert chosen.spec.backend == "onnx" and "ONNX Runtime is used instead" in caplog.messages[-1]
    chosen.close()


def test_one_thread_creates_calls_and_closes(matcher: tensorrt.TensorRTMatcher) -> None:
    errors: list[Exception] = []

    def elsewhere() -> None:
        for use in (lambda: matcher(*noise(0)), matcher.close):
            try:
                use()
            except ModelError as e:
                errors.append(e)

    thread = threading.Thread(target=elsewhere, name="viewer")
    thread.start()
    thread.join()
    assert len(errors) == 2 and all("used from 'viewer'" in str(e) for e in errors)
    assert np.isfinite(matcher(*noise(0)).disparity_px).all()


def test_engines_on_one_thread_close_in_any_order(engine: Entry, file: Path) -> None:
    first, second = tensorrt.TensorRTMatcher(asked(file)), tensorrt.TensorRTMatcher(asked(file))
    expected = first(*noise(0)).disparity_px
    first.close()
    np.testing.assert_array_equal(second(*noise(0)).disparity_px, expected)
    second.close()


def test_it_lives_beside_torch_and_leaves_nothing(engine: Entry, file: Path) -> None:
    """Memory that the GPU has free is the same after many lives; torch works before, between and after."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA here")
    ones = torch.ones(1000, device="cuda")
    free = []
    for _ in range(6):
        made = tensorrt.TensorRTMatcher(asked(file))
        made(*noise(0))
        assert float((ones + 1).sum()) == 2000
        made.close()
        assert float((ones + 1).sum()) == 2000
        free.append(torch.cuda.mem_get_info()[0])
    assert free[-1] > free[1] - 20e6
