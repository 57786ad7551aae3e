"""`stereo-rt build` with the real TensorRT-RTX, which needs no GPU to build."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from engine_kit import read_until, start, tiny_network
from typer.testing import CliRunner

pytest.importorskip("onnx")
trt = pytest.importorskip("tensorrt_rtx")

from stereo_rt.cli import app as cli  # noqa: E402
from stereo_rt.cli.build_progress import BuildProgress  # noqa: E402
from stereo_rt.engine import build  # noqa: E402
from stereo_rt.engine.cache import EngineCache, Entry  # noqa: E402
from stereo_rt.engine.flavour import Flavour, load  # noqa: E402
from stereo_rt.engine.gate import Run, onnx_run  # noqa: E402
from stereo_rt.engine.gpu import Gpu, find_gpu  # noqa: E402
from stereo_rt.engine.phases import Phases  # noqa: E402
from stereo_rt.errors import CheckFailed, ModelError, OutputError, StereoError, UsageError  # noqa: E402
from stereo_rt.matchers.grid import grid_size  # noqa: E402
from stereo_rt.matchers.models import ModelFile, find_model, shipped_models  # noqa: E402

AMPERE, ADA, BLACKWELL = "8.6", "8.9", "12.0"
RTX3090 = Gpu("NVIDIA GeForce RTX 3090", AMPERE)
PATIENCE_S = 120
BUILT = [name for name, facts in shipped_models().items() if not facts.keys() & {"precision", "of"}]
BUILT += ["student_s_16x9", "student_s_wide"]


def run(*arguments: str) -> str:
    """What `stereo-rt build` prints; its error is raised."""
    if not cli.app.registered_commands:
        cli.register()
    result = CliRunner().invoke(cli.app, ["build", *arguments])
    if isinstance(result.exception, StereoError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for every test; processes that it starts use it too."""
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "engines"


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    return load("tensorrt_rtx")


@pytest.fixture
def tiny(tmp_path: Path) -> ModelFile:
    return find_model(str(tiny_network(tmp_path / "tiny.onnx")))


def files(folder: Path) -> list[str]:
    """What is kept there, but for the lock."""
    return sorted(file.name for file in folder.glob("*") if file.name != ".lock") if folder.is_dir() else []


@pytest.mark.parametrize("name", BUILT)
def test_every_shipped_network_builds_for_ampere_ada_and_blackwell(name: str, rtx: Flavour) -> None:
    entry = build.ensure(find_model(name), rtx, gpu=None, targets=(AMPERE, ADA, BLACKWELL))
    side = entry.sidecar
    assert entry.damage() is None and entry.engine.stat().st_size > 1e6
    assert not side.layers.plugins, "plain layers only: nothing has to be installed beside TensorRT"
    assert not side.layers.single_matrix, "convolutions and matrix products are all in FP16"
    assert side.layers.fp16 > 50 and any(island.startswith("REDUCE") for island in side.layers.islands)
    width, height = grid_size(shipped_models()[name]["input_size"])
    assert [(t.name, t.shape, t.dtype) for t in side.inputs] == [
        (eye, (1, height, width, 3), "uint8") for eye in ("left", "right")
    ]
    assert [(t.name, t.shape, t.dtype) for t in side.outputs] == [
        (out, (1, 1, height, width), "float32") for out in ("disparity", "confidence")
    ]


def test_an_fp32_engine_has_no_half_precision(rtx: Flavour, tiny: ModelFile) -> None:
    layers = build.ensure(tiny, rtx, gpu=None, precision="fp32").sidecar.layers
    assert layers.fp16 == 0 and len(layers.single_matrix) == 2


def test_an_fp32_engine_runs_though_one_in_fp16_was_there(rtx: Flavour, tiny: ModelFile, home: Path) -> None:
    """As the matcher's warning of values that are no numbers tells people to do."""
    network = str(tiny.path)
    for known in (False, True):  # the second time the one in fp32 is there already
        run(network, "--gpu", "sm86")
        assert build.find_engine(tiny, rtx, RTX3090).sidecar.key.precision == "fp16"
        said = run(network, "--gpu", "sm86", "--precision", "fp32")
        assert build.find_engine(tiny, rtx, RTX3090).sidecar.key.precision == "fp32"
        assert "removed" in said and ("already built" in said) is known and len(files(home)) == 2


def test_there_are_no_engines_in_8_bits(tiny: ModelFile) -> None:
    with pytest.raises(AssertionError, match=r"'int8' is not one of"):
        run(str(tiny.path), "--precision", "int8")


def test_the_command_builds_lists_inspects_and_prunes(tiny: ModelFile, home: Path) -> None:
    network = str(tiny.path)
    said = run(network, "--flavour", "tensorrt_rtx", "--gpu", "sm86,120")
    assert "building in fp16 with TensorRT-RTX" in said and "compute capability 8.6, 12.0" in said
    engine, sidecar = sorted(home.glob("tiny-*"))
    facts = json.loads(sidecar.read_text())
    assert facts["engine_sha256"] == hashlib.sha256(engine.read_bytes()).hexdigest()
    assert facts["key"]["onnx_sha256"] == tiny.sha256 and facts["key"]["targets"] == ["8.6", "12.0"]
    assert facts["parity"] == "not run" and facts["max_disparity_px"] == 64 and facts["build_s"] > 0
    assert "already built" in run(network, "--gpu", "8.6,sm120")
    assert "sm86 sm120" in run("--list") and "not run" in run("--list")
    inspected = run(network, "--inspect")
    assert "plugins: none" in inspected and "matrix layers in FP32: none" in inspected and "ELEMENTWISE" in inspected
    assert "removed 0 files" in run("--prune")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert "damaged" in run("--list")
    assert "removed 2 files" in run("--prune") and "no engines yet" in run("--list")


@pytest.mark.skipif(find_gpu() is not None, reason="says what is built where there is no GPU")
def test_without_a_gpu_the_engine_is_for_all_that_the_flavour_reaches(rtx: Flavour, tiny: ModelFile) -> None:
    assert "for GPUs of compute capability 8.0 and later" in run(str(tiny.path), "--flavour", "tensorrt_rtx")
    for gpu in (RTX3090, Gpu("NVIDIA GeForce RTX 5090", BLACKWELL)):
        assert build.find_engine(tiny, rtx, gpu).sidecar.key.targets == ("8.0+",)
    with pytest.raises(ModelError, match=r"8\.0 and later, and here is NVIDIA T4 \(compute capability 7\.5\)"):
        build.find_engine(tiny, rtx, Gpu("NVIDIA T4", "7.5"))
    with pytest.raises(ModelError, match="cannot load its engine"):
        rtx.open(build.find_engine(tiny, rtx, RTX3090).engine.read_bytes(), "tiny")


def test_wrong_commands_are_one_sentence(tiny: ModelFile) -> None:
    network = str(tiny.path)
    for arguments, words in (
        ((), "name a network"),
        (("--all",), "goes with --prune"),
        (("--list", "--prune"), "choose one"),
        ((network, "--gpu", "sm86,sm35"), "sm35: TensorRT-RTX .* can for sm75"),
        ((network, "--size", "640"), "not WIDTHxHEIGHT"),
    ):
        with pytest.raises(UsageError, match=words):
            run(*arguments)
    with pytest.raises(ModelError, match=r"no engine of .* yet"):
        run(network, "--inspect")


def test_an_operation_that_tensorrt_lacks_is_named(tmp_path: Path, home: Path) -> None:
    odd = tiny_network(tmp_path / "odd.onnx", operation="Bernoulli")
    with pytest.raises(ModelError, match=r"odd: TensorRT-RTX .*the operation Bernoulli is not supported.*--backend onnx"):
        run(str(odd))
    assert files(home) == []


def test_tensorrt_says_nothing_on_stdout(rtx: Flavour, tiny: ModelFile, capfd: pytest.CaptureFixture[str]) -> None:
    build.ensure(tiny, rtx, gpu=None)
    assert capfd.readouterr().out == ""


def test_another_input_size(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    said = run("student_s", "--size", "128x64", "--gpu", "sm86")
    network = next(home.glob("student_s_128x64_*.onnx"))
    assert "128x64" in said and f"--model {network}" in said
    assert "already built" in run("student_s", "--size", "128x64", "--gpu", "sm86")


# The parity gate needs a GPU for the engine. Here the graph that the engine was built from runs in its place, in
# ONNX Runtime: mixed precision is in the graph, so what FP16 does to the weights is seen all the same.


@contextmanager
def in_onnxruntime(model: ModelFile, entry: Entry) -> Iterator[Run]:
    yield onnx_run(build.prepare(model, entry.sidecar.key.precision, "tensorrt_rtx").graph)


def test_an_engine_that_passes_is_judged_once(rtx: Flavour, tiny: ModelFile) -> None:
    said: list[str] = []
    for _ in range(2):
        entry = build.ensure(tiny, rtx, gpu=RTX3090, open_engine=lambda e: in_onnxruntime(tiny, e), say=said.append)
        assert entry.sidecar.judged_on(RTX3090) and entry.sidecar.key.targets == (AMPERE,)
    assert [line.startswith("parity with ONNX Runtime") for line in said] == [False, True, False]


def test_fp16_that_fails_the_gate_gives_way_to_fp32(rtx: Flavour, tmp_path: Path, home: Path) -> None:
    # FP16 has no 1.00048: it becomes 1.0, and a disparity of 250 px is 0.1 px off.
    model = find_model(str(tiny_network(tmp_path / "fine.onnx", weight=1.00048)))
    said: list[str] = []
    entry = build.ensure(model, rtx, gpu=RTX3090, open_engine=lambda e: in_onnxruntime(model, e), say=said.append)
    assert entry.sidecar.key.precision == "fp32" and entry.sidecar.judged_on(RTX3090)
    assert any("building in fp32 instead" in line for line in said)
    assert [Path(name).suffix for name in files(home)] == [".engine", ".json"], "the fp16 engine is gone"
    assert build.find_engine(model, rtx, RTX3090) == entry


def test_when_fp32_fails_as_well_nothing_is_kept(rtx: Flavour, tiny: ModelFile, home: Path) -> None:
    @contextmanager
    def nonsense(entry: Entry) -> Iterator[Run]:
        yield lambda left, right: (np.full(left.shape[:2], np.nan, np.float32), np.ones(left.shape[:2], np.float32))

    with pytest.raises(CheckFailed, match=r"fp32 engine .* is not used; use --backend onnx"):
        build.ensure(tiny, rtx, gpu=RTX3090, open_engine=nonsense)
    assert files(home) == []


# Real processes: two at once, killed, stopped, without a place to write.


def test_two_builds_at_once_make_one_engine(tiny: ModelFile, home: Path) -> None:
    with EngineCache(home).lock(lambda: None):
        both = [start("build", str(tiny.path), "--flavour", "tensorrt_rtx") for _ in range(2)]
        for process in both:
            read_until(process, "another process is building")
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("already built" in text for text in said) == [False, True], said
    assert len(files(home)) == 2


def test_a_killed_build_leaves_nothing_that_is_used(home: Path, rtx: Flavour) -> None:
    process = start("build", "student_s", "--flavour", "tensorrt_rtx")
    read_until(process, "building in fp16")
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL and EngineCache(home).entries() == []
    entry = build.ensure(find_model("student_s"), rtx, gpu=None)
    assert entry.damage() is None and len(files(home)) == 2, "the lock is free, and nothing is left of the first"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_build_ends_cleanly(number: signal.Signals, code: int, home: Path) -> None:
    process = start("build", "student_s", "--flavour", "tensorrt_rtx")
    read_until(process, "building in fp16")
    process.send_signal(number)
    _, complaint = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code and "Traceback" not in complaint
    assert files(home) == []


def test_no_place_to_write_is_told_before_building(tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="engines cannot be kept there"):
        run(str(tiny.path))


def test_a_disk_that_fills_up_while_the_engine_is_written(home: Path) -> None:
    """A limit on the size of files stands in for the disk: writing the engine really ends half way."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000,) * 2)"
    code = f"{limit}; from stereo_rt.cli.app import main; main(['build', 'student_s', '--gpu', 'sm86'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1 and "free some space" in done.stderr and "Traceback" not in done.stderr
    assert files(home) == []


def test_without_a_terminal_a_line_tells_now_and_then_that_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    progress, phases = BuildProgress(quiet=False), Phases()
    for elapsed_s in range(100):
        progress.show(phases, float(elapsed_s), 240.0)
    progress.show(phases, 40.0, None)  # another build
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in said] == [f"still building: {s} s of about 240 s" for s in (30, 60, 90)]
    BuildProgress(quiet=True).show(phases, 99.0, None)
    assert not capsys.readouterr().err
