"""The cache of engines: nothing half-written or damaged is ever used, and a mismatch is told before anything is loaded."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from engine_kit import KEY, SIDECAR, tiny_network
from typer.testing import CliRunner

from stereo_rt.cli import app as cli
from stereo_rt.cli import engines
from stereo_rt.engine import build, flavour, jetson, shelf
from stereo_rt.engine.cache import EngineCache, Entry, default_root
from stereo_rt.engine.flavour import FLAVOURS, Flavour, available, load
from stereo_rt.engine.gate import Parity, onnx_run
from stereo_rt.engine.gpu import Gpu
from stereo_rt.errors import CheckFailed, MissingExtra, ModelError, OutputError, UsageError
from stereo_rt.matchers.models import ModelFile, find_model

H200 = Gpu("NVIDIA H200", "9.0")
PLAN = bytes(range(256)) * 40
NEVER_LOADED = Flavour("tensorrt", "10.3.0", None, None)
"""Its module is None: whoever reaches for TensorRT fails."""


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def put(cache: EngineCache, **changes: object) -> Entry:
    return cache.store(PLAN, replace(SIDECAR, key=replace(KEY, **changes)))


def test_what_is_stored_is_found_again_and_the_engine_file_is_pure(cache: EngineCache) -> None:
    stored = put(cache)
    assert cache.find(KEY) == stored and stored.engine.read_bytes() == PLAN
    assert cache.entries() == [stored]
    assert cache.find(replace(KEY, version="10.3.1")) is None


def cut(entry: Entry) -> None:
    entry.engine.write_bytes(PLAN[:-1])


def flip(entry: Entry) -> None:
    entry.engine.write_bytes(PLAN[:100] + b"?" + PLAN[101:])


def no_engine(entry: Entry) -> None:
    entry.engine.unlink()


def no_sidecar(entry: Entry) -> None:  # as a build leaves it that was killed between the two
    entry.engine.with_suffix(".json").unlink()


def half_a_sidecar(entry: Entry) -> None:
    file = entry.engine.with_suffix(".json")
    file.write_bytes(file.read_bytes()[:-40])


def foreign_sidecar(entry: Entry) -> None:
    entry.engine.with_suffix(".json").write_text('{"model": "tiny"}')


def an_unknown_precision(entry: Entry) -> None:  # as earlier versions wrote: an engine in FP32, called int8
    file = entry.engine.with_suffix(".json")
    file.write_text(file.read_text().replace('"precision": "fp16"', '"precision": "int8"'))


@pytest.mark.parametrize("harm", [an_unknown_precision, cut, flip, no_engine, no_sidecar, half_a_sidecar, foreign_sidecar])
def test_what_is_damaged_is_not_used_and_is_pruned(cache: EngineCache, harm: Callable[[Entry], None]) -> None:
    whole, harmed = put(cache), put(cache, targets=("8.7",), gpu="Orin")
    harm(harmed)
    assert cache.find(harmed.sidecar.key) is None and cache.find(KEY) == whole
    files, size = shelf.prune(cache)
    assert files == (1 if harm in (no_engine, no_sidecar) else 2) and size > 0
    assert cache.entries() == [whole] and len(list(cache.root.glob("[!.]*"))) == 2
    again = put(cache, targets=("8.7",), gpu="Orin")
    assert cache.find(again.sidecar.key) == again


def test_pruning_keeps_what_may_be_of_use_and_all_removes_it(cache: EngineCache) -> None:
    assert shelf.prune(cache) == (0, 0)
    entry = put(cache)
    kept = [entry.engine.with_suffix(".jit"), cache.timing_file(entry.sidecar.key), cache.root / "tiny_64x32.onnx"]
    spent = [cache.timing_file(replace(KEY, version="8.6.2")), cache.root / "gone.jit"]
    for file in kept + spent:
        file.write_bytes(b"0" * 10)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    (cache.root / f".tiny.{int(ended.stdout)}.part.engine").write_bytes(b"0" * 10)
    assert shelf.prune(cache) == (3, 30)
    assert all(file.exists() for file in kept) and not any(file.exists() for file in spent)
    files, _ = shelf.prune(cache, everything=True)
    assert files == 5 and not list(cache.root.glob("[!.]*"))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(OutputError, match=r"cannot be kept there.*STEREO_RT_HOME"), cache.lock(lambda: None):
        pass
    with pytest.raises(OutputError):
        put(cache)
    assert cache.entries() == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the write really ends half way."""
    code = (
        "from stereo_rt.engine.cache import EngineCache; from stereo_rt.errors import OutputError; import sys\n"
        "sys.path.insert(0, sys.argv[2]); from engine_kit import SIDECAR; from pathlib import Path\n"
        "cache = EngineCache(Path(sys.argv[1]))\n"
        "try:\n    cache.store(bytes(100_000), SIDECAR)\n"
        "except OutputError as e:\n    print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "engines"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert "free some space" in done.stdout, done.stderr
    assert list((tmp_path / "engines").iterdir()) == []


def test_expected_time_is_of_the_same_network_where_known(cache: EngineCache) -> None:
    assert cache.expected_s(KEY) is None
    put(cache)
    other = replace(KEY, onnx_sha256="c" * 64)
    assert cache.expected_s(other) == 7.0, "another network on the same GPU is better than nothing"
    cache.store(PLAN, replace(SIDECAR, key=other, build_s=50.0))
    assert cache.expected_s(other) == 50.0
    assert cache.expected_s(replace(KEY, gpu="Orin")) is None


def test_where_engines_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repo: Path) -> None:
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path))
    assert default_root() == tmp_path / "engines"
    monkeypatch.delenv("STEREO_RT_HOME")
    assert default_root() == repo / "engines" / "cache"
    (tmp_path / "_artefacts").mkdir()
    monkeypatch.setattr("stereo_rt.paths.PACKAGE", tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_root() == tmp_path / "data" / "stereo_rt" / "engines", "an installed wheel keeps nothing in itself"


def test_what_is_not_installed_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="no flavour 'openvino'"):
        load("openvino")
    if "tensorrt" not in available():
        with pytest.raises(MissingExtra, match=r"stereo_rt\[tensorrt\]"):
            load("tensorrt")


def test_without_any_flavour_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FLAVOURS:
        monkeypatch.setitem(sys.modules, name, None)  # as Python marks what cannot be imported
    if not cli.app.registered_commands:
        cli.register()
    result = CliRunner().invoke(cli.app, ["build", "student_s"])
    assert isinstance(result.exception, ModelError) and not result.output
    assert all(f"stereo_rt[{extra}]" in str(result.exception) for extra in ("rtx", "tensorrt"))


@pytest.fixture
def on_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetson, "is_jetson", lambda root=None: True)


def test_on_a_jetson_nobody_is_told_to_fetch_a_tensorrt_for_servers(on_a_jetson: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(flavour, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"TensorRT needs .* --system-site-packages") as e:
        flavour.load.__wrapped__("tensorrt")
    assert "stereo_rt[" not in str(e.value)


def test_full_tensorrt_needs_the_gpu_itself() -> None:
    class Trt:
        """Only the absence of ComputeCapability is asked of it."""

    full = Flavour("tensorrt", "10.3.0", Trt, None)
    assert full.targets_for(H200) == ("9.0",)
    with pytest.raises(ModelError, match=r"there is none here.*tensorrt_rtx"):
        full.targets_for(None)
    with pytest.raises(UsageError, match="builds on the GPU that will run"):
        full.parse_targets("sm86")


# A network and what is found for it.


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    pytest.importorskip("onnx")
    return find_model(str(tiny_network(tmp_path / "tiny.onnx")))


def test_a_precision_that_no_engine_has_is_refused(model: ModelFile) -> None:
    for precision in ("int8", "fp8", ""):
        with pytest.raises(ModelError, match=f"tiny: an engine computes in fp16 or fp32, not in {precision}"):
            build.prepare(model, precision, "tensorrt")


def test_without_onnx_it_is_one_sentence(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"stereo_rt\[rtx\]"):
        build.prepare(model, "fp16", "tensorrt_rtx")
    monkeypatch.setattr(jetson, "is_jetson", lambda root=None: True)
    with pytest.raises(ModelError, match=r"on a Jetson: pip install onnx$"):
        build.prepare(model, "fp16", "tensorrt")


def fitting(model: ModelFile, precision: str = "fp16") -> dict[str, str]:
    return {
        "onnx_sha256": model.sha256,
        "graph_sha256": build.prepare(model, precision, "tensorrt").sha256,
        "precision": precision,
    }


def test_the_engine_that_fits_is_found_fp16_first(cache: EngineCache, model: ModelFile) -> None:
    single = put(cache, **fitting(model, "fp32"))
    assert build.find_engine(model, NEVER_LOADED, H200, cache=cache) == single
    half = put(cache, **fitting(model))
    put(cache, **fitting(model) | {"gpu": "Orin", "targets": ("8.7",)})
    assert build.find_engine(model, NEVER_LOADED, H200, cache=cache) == half
    assert build.find_engine(model, NEVER_LOADED, H200, "fp32", cache) == single


def test_an_engine_in_fp32_takes_the_place_of_what_would_be_found_before_it(cache: EngineCache, model: ModelFile) -> None:
    half, single = put(cache, **fitting(model)), put(cache, **fitting(model, "fp32"))
    elsewhere = {"gpu": "Orin", "targets": ("8.7",)}
    others = [put(cache, **fitting(model) | changes) for changes in (elsewhere, {"version": "8.6.2"})]
    others.append(put(cache, onnx_sha256="c" * 64))
    assert build.find_engine(model, NEVER_LOADED, H200, cache=cache) == half
    assert shelf.give_way(cache, single, H200) == [half] and not half.engine.exists()
    assert build.find_engine(model, NEVER_LOADED, H200, cache=cache) == single
    assert {e.engine for e in cache.entries()} == {e.engine for e in (single, *others)}
    assert shelf.give_way(cache, put(cache, **fitting(model, "fp32") | elsewhere), H200) == others[:1], "built ahead of time"


def test_an_engine_for_many_gpus_gives_way_on_the_one_that_is_here(cache: EngineCache) -> None:
    rtx = {"flavour": "tensorrt_rtx", "version": "1.7", "gpu": None}
    half, single = put(cache, **rtx, targets=("8.0+",)), put(cache, **rtx, targets=("9.0",), precision="fp32")
    assert shelf.give_way(cache, single, None) == [] and shelf.give_way(cache, single, H200) == [half]


class Runtime:
    """Loads engines as TensorRT does; those of `broken` fail."""

    def __init__(self, broken: bytes) -> None:
        self.broken, self.opened = broken, 0

    def open(self, plan: bytes, name: str) -> SimpleNamespace:
        self.opened += 1
        if plan == self.broken:
            raise ModelError(f"{name}: cannot load its engine")
        return SimpleNamespace(num_layers=7, device_memory_size=2_000_000)


def test_what_is_listed_as_usable_is_what_is_found_and_loaded(
    cache: EngineCache, model: ModelFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kept(plan: bytes = PLAN, precision: str = "fp16", **changes: object) -> Entry:
        key = replace(KEY, **fitting(model, precision) | changes)
        return cache.store(plan, replace(SIDECAR, model=str(model.path), key=key))

    runtime = Runtime(broken=b"broken")
    monkeypatch.setattr(shelf, "available", lambda: ("tensorrt",))
    monkeypatch.setattr(shelf, "load", lambda name: NEVER_LOADED)
    monkeypatch.setattr(flavour, "load", lambda name: runtime)
    gone = [kept(version="8.6.2"), kept(graph_sha256="c" * 64)]
    kept(gpu="Orin", targets=("8.7",))
    kept(runtime.broken)
    assert {row.entry.engine: row.why_not for row in shelf.look(cache, H200)}[gone[1].engine].startswith(
        "it was built by another version of stereo_rt"
    )
    kept(precision="fp32")
    engines.inspect(cache, str(model.path), H200)
    said = capsys.readouterr().out
    assert runtime.opened == 2, "only those that are of this version, GPU and graph"
    assert "not loaded: " in said and "7 fused layers" in said and said.count("not usable here: ") == 3
    shelf.prune(cache)
    assert not any(entry.engine.exists() for entry in gone) and len(cache.entries()) == 3


def test_the_command_for_another_gpu_than_the_first_builds_for_it(
    cache: EngineCache, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    put(cache, **fitting(model) | {"gpu": "NVIDIA GeForce RTX 3060", "targets": ("8.6",)})
    with pytest.raises(ModelError, match=r"3060.* and here is .*; build it with: CUDA_VISIBLE_DEVICES=1 stereo-rt build "):
        build.find_engine(model, NEVER_LOADED, replace(H200, index=1), cache=cache)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu": "Orin", "targets": ("8.7",)}, r"built for Orin \(compute capability 8.7\), and here is NVIDIA H200"),
        ({"version": "8.6.2"}, r"built by TensorRT 8.6.2, and here is TensorRT 10.3.0"),
        ({"graph_sha256": "c" * 64}, "another version of stereo_rt"),
        ({"flavour": "tensorrt_rtx", "version": "1.7"}, r"built by TensorRT-RTX 1.7, and here is TensorRT 10.3.0"),
    ],
)
def test_a_mismatch_is_told_before_loading(cache: EngineCache, model: ModelFile, changes: dict[str, str], words: str) -> None:
    put(cache, **fitting(model) | changes)
    with pytest.raises(ModelError, match=words) as e:
        build.find_engine(model, NEVER_LOADED, H200, cache=cache)
    assert str(e.value).endswith(f"build it with: stereo-rt build {model.path} --flavour tensorrt")


def test_an_engine_of_another_file_is_told(cache: EngineCache, model: ModelFile) -> None:
    key = replace(KEY, **fitting(model) | {"onnx_sha256": "c" * 64})
    cache.store(PLAN, replace(SIDECAR, model=str(model.path), key=key))
    with pytest.raises(ModelError, match=f"network cccccccccccc..., which is now {model.sha256[:12]}"):
        build.find_engine(model, NEVER_LOADED, H200, cache=cache)


def test_the_wrong_precision_a_damaged_engine_and_none_are_told(cache: EngineCache, model: ModelFile) -> None:
    with pytest.raises(ModelError, match=r"no engine of tiny yet; build it with: .* --flavour tensorrt$"):
        build.find_engine(model, NEVER_LOADED, H200, cache=cache)
    entry = put(cache, **fitting(model))
    with pytest.raises(ModelError, match=r"in fp16, and fp32 is asked for.* --precision fp32$"):
        build.find_engine(model, NEVER_LOADED, H200, "fp32", cache)
    cut(entry)
    with pytest.raises(ModelError, match=r"is damaged: its checksum"):
        build.find_engine(model, NEVER_LOADED, H200, cache=cache)


def test_the_gate_writes_its_figures_down(cache: EngineCache, model: ModelFile) -> None:
    entry = put(cache, **fitting(model))
    run = onnx_run(build.prepare(model, "fp16", "tensorrt").graph)
    judged = build.judge(entry, model, run, H200, cache)
    assert judged.sidecar.parity == Parity(H200.name, 0.0, pytest.approx(0, abs=0.1), pytest.approx(0, abs=0.01), 0.0)
    assert cache.find(entry.sidecar.key) == judged and judged.sidecar.judged_on(H200)
    assert not judged.sidecar.judged_on(Gpu("NVIDIA H100", "9.0"))


def test_an_engine_that_fails_the_gate_is_removed(cache: EngineCache, model: ModelFile) -> None:
    entry = put(cache, **fitting(model))
    entry.engine.with_suffix(".jit").write_bytes(b"kernels that belong to it")
    right = onnx_run(build.prepare(model, "fp16", "tensorrt").graph)

    def wavy(left: np.ndarray, right_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        disparity, confidence = right(left, right_)
        return disparity + np.sin(np.arange(64, dtype=np.float32)), confidence

    with pytest.raises(CheckFailed, match=r"median 0\.\d+ px.*is not used; build it with: .* --precision fp32"):
        build.judge(entry, model, wavy, H200, cache)
    assert not list(cache.root.glob("[!.]*"))
