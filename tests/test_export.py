"""`stereo-rt export`: where networks come from, mixed precision, and the check that nothing was lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from stereo_rt.cli import app as cli  # noqa: E402
from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.engine import parity  # noqa: E402
from stereo_rt.engine.export import export_checked, export_onnx  # noqa: E402
from stereo_rt.engine.origin import made_up, open_origin  # noqa: E402
from stereo_rt.engine.precision import CARRY, MATRIX, half_nodes, to_mixed  # noqa: E402
from stereo_rt.engine.wrapped import wrapped  # noqa: E402
from stereo_rt.errors import CheckFailed, ModelError, StereoError, UsageError  # noqa: E402
from stereo_rt.matchers import create_matcher  # noqa: E402
from stereo_rt.nets.student import SIZES, Student  # noqa: E402
from stereo_rt.nets.weights import load_network  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402

GRID = (128, 64)
FACTS = {"name", "student_size", "version", "recipe", "input_size", "max_disparity_px", "normalisation", "precision"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shipped() -> Student:
    return open_origin("student_s").net


@pytest.fixture(scope="module")
def single(shipped: Student, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    file = tmp_path_factory.mktemp("single") / "net.onnx"
    export_onnx(shipped, file, GRID, {})
    return onnx.load(file)


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor, by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True).graph
    described = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output, *graph.value_info)}
    return described | {t.name: t.data_type for t in graph.initializer}


def run(*arguments: str) -> str:
    """What the command line prints; its error is raised."""
    if not cli.app.registered_commands:
        cli.register()
    result = CliRunner().invoke(cli.app, ["export", *arguments])
    if isinstance(result.exception, StereoError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def graph_of(nodes: list[onnx.NodeProto], **weights: np.ndarray) -> onnx.ModelProto:
    """x (1, 2, 4, 4) -> y of the same shape, float32."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 4]) for name in "xy")
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], stored), opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model, full_check=True)
    return model


def test_the_rule_on_a_graph_by_hand() -> None:
    """before -> Conv -> Relu -> Transpose twice -> Mul: only what lies between the convolution and the product is half."""
    kernel, two = np.ones((2, 2, 1, 1), np.float32), np.float32(2)
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 1, 3, 2]),  # read by the convolution alone
        helper.make_node("Conv", ["b", "kernel"], ["c"]),
        helper.make_node("Clip", ["c", "", "two"], ["d"]),  # carries what is half
        helper.make_node("Add", ["d", "a"], ["e"]),  # half and single, read by single: single
        helper.make_node("Mul", ["e", "two"], ["y"]),
    ]
    model = graph_of(nodes, kernel=kernel, two=two)
    assert half_nodes(model) == {1, 2, 3}
    mixed = to_mixed(model)
    found = types(mixed)
    halves = {name for name, kind in found.items() if kind == TensorProto.FLOAT16}
    assert {"b", "c", "d", "kernel"} <= halves
    assert halves.isdisjoint({"x", "a", "e", "y", "two"}), "a weight that single precision reads stays as it is"
    casts = [(node.input[0], found[node.output[0]]) for node in mixed.graph.node if node.op_type == "Cast"]
    assert sorted(casts) == [("a", TensorProto.FLOAT16), ("d", TensorProto.FLOAT)]


def test_a_convolution_that_makes_an_output_stays_single() -> None:
    model = graph_of([helper.make_node("Conv", ["x", "kernel"], ["y"])], kernel=np.ones((2, 2, 1, 1), np.float32))
    assert not half_nodes(model)
    assert to_mixed(model) == model


def test_a_weight_that_half_precision_cannot_hold_is_one_sentence() -> None:
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["a"]), helper.make_node("Exp", ["a"], ["y"])]
    with pytest.raises(ModelError, match="'kernel' are beyond what FP16 holds"):
        to_mixed(graph_of(nodes, kernel=np.full((2, 2, 1, 1), 1e5, np.float32)))


def test_islands_of_a_student(single: onnx.ModelProto) -> None:
    mixed = to_mixed(single)
    onnx.checker.check_model(mixed, full_check=True)
    found = types(mixed)
    assert {found[name] for name in ("left", "right", "disparity", "confidence")} == {TensorProto.FLOAT}
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    for node in mixed.graph.node:
        reads = {found[name] for name in node.input if name and found[name] in floats}
        if node.op_type in MATRIX:
            assert reads == {found[node.output[0]]} == {TensorProto.FLOAT16}, node.name
        elif node.op_type not in CARRY | {"Cast"}:
            assert reads <= {TensorProto.FLOAT}, f"{node.name} is an island"
    weights = {t.name: t.data_type for t in mixed.graph.initializer if t.name.endswith(".weight")}
    assert weights and set(weights.values()) == {TensorProto.FLOAT16}


@pytest.mark.parametrize("size", ["n", "m"])
def test_mixed_precision_of_any_size_runs_and_stays_close(size: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Student(SIZES[size]).folded().requires_grad_(False)
    files = tmp_path / "single.onnx", tmp_path / "mixed.onnx"
    export_onnx(net, files[0], (128, 64), {})
    onnx.save(to_mixed(onnx.load(files[0])), files[1])
    assert files[1].stat().st_size < 0.6 * files[0].stat().st_size
    pair = parity.true_pairs((128, 64))[0]
    (before, sure), (after, still) = (parity.onnx_estimator(file)(pair.left, pair.right) for file in files)
    # A network that knows nothing has many near ties, where a rounding decides; the median pixel has none.
    assert np.median(np.abs(after - before)) < 0.02 and np.abs(still - sure).mean() < 0.01


def test_in_8_bits_nothing_settles(tmp_path: Path) -> None:
    net, made = made_up("student_n").net, {}
    for precision in ("fp32", "int8", "fp32"):
        export_checked(net, tmp_path / "net.onnx", (96, 64), {"student_size": "n"}, precision, trained=False)
        made.setdefault(precision, []).append({node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node})
    assert "Min" not in made["int8"][0]
    assert all("Min" in kinds for kinds in made["fp32"])


def test_parity_by_hand() -> None:
    image = np.zeros((1, 3, 2, 2), np.float32)
    pair = parity.TruePair(image, image, np.array([[10, 10], [10, np.nan]], np.float32))
    sure = np.ones((2, 2), np.float32)
    first = np.array([[10, 10.9], [12, 5]], np.float32)

    def says(disparity_px: np.ndarray) -> parity.Estimator:
        return lambda left, right: (disparity_px.astype(np.float32), sure)

    same = parity.compare(says(first), says(first), [pair])
    assert same == parity.Parity(0.0, 0.0, 0.0, True) and same.holds
    moved = parity.compare(says(first), says(first + 0.2), [pair])
    assert moved.mean_px == pytest.approx(0.2, abs=1e-5) and moved.epe_change_px == pytest.approx(0.2, abs=1e-5)
    assert moved.bad1_change == pytest.approx(100 / 3, abs=1e-3) and not moved.holds
    lost = parity.compare(says(first), says(np.where(first > 11, np.nan, first)), [pair])
    assert not lost.finite and not lost.holds


def test_the_pairs_of_the_check_span_the_range() -> None:
    pairs = parity.true_pairs((640, 480))
    assert min(np.nanmin(p.truth_px) for p in pairs) < 8 and max(np.nanmax(p.truth_px) for p in pairs) > 150
    assert all(0 <= p.left.min() < p.left.max() <= 1 for p in pairs)


def test_a_mixed_file_has_its_facts_and_goes_back_into_torch(tmp_path: Path, shipped: Student) -> None:
    file = tmp_path / "half.onnx"
    shown = run("student_s", "-o", str(file), "--size", f"{GRID[0]}x{GRID[1]}", "--precision", "fp16")
    assert "torch to ONNX: EPE" in shown and "FP32 to FP16: EPE" in shown and f"{GRID[0]}x{GRID[1]}, fp16" in shown
    model = onnx.load(file)
    facts = {p.key: p.value for p in model.metadata_props}
    assert set(facts) == FACTS and facts["precision"] == "fp16" and facts["input_size"] == f"{GRID[0]}x{GRID[1]}"
    assert [o.version for o in model.opset_import] == [17]
    back, _ = load_network(file)
    for name, value in shipped.state_dict().items():
        assert torch.allclose(back.state_dict()[name], value, rtol=1e-3, atol=1e-6), name
    pairs = parity.true_pairs(GRID)
    assert parity.compare(parity.onnx_estimator(file), parity.torch_estimator(back), pairs).holds


def test_an_int8_file_computes_its_convolutions_in_8_bits_and_is_for_onnx_runtime_alone(tmp_path: Path) -> None:
    file = tmp_path / "eight.onnx"
    shown = run("student_s", "-o", str(file), "--size", "320x256", "--precision", "int8")
    assert "FP32 to INT8: EPE" in shown and "320x256, int8, 2." in shown
    model = onnx.load(file)
    facts = {p.key: p.value for p in model.metadata_props}
    assert set(facts) == FACTS and facts["precision"] == "int8"
    weights = {t.name: t.data_type for t in model.graph.initializer}
    scaled = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 40
    for node in convolutions:
        assert weights[scaled[node.input[1]]] == TensorProto.INT8 and node.input[0] in scaled
    arithmetic = {node.op_type for node in model.graph.node if any(name in scaled for name in node.input)} - {"Conv"}
    assert arithmetic, "the rest reads single precision"
    with closing(create_matcher(MatchConfig(model=str(file)))) as matcher:
        pair = parity.true_pairs((320, 256))[1]
        left, right = ((255 * eye[0, ::-1].transpose(1, 2, 0)).round().astype(np.uint8) for eye in (pair.left, pair.right))
        error = np.abs(matcher(left, right).disparity_px - pair.truth_px)
        assert np.nanmedian(error) < 0.5
    with pytest.raises(ModelError, match=r"8-bit weights.*use the network it was made of: student_s"):
        load_network(file)
    with pytest.raises(ModelError, match="eight computes in 8 bits, for CPUs; build the network"):
        wrapped(model, "fp16", "eight")


def test_coarser_numbers_may_make_errors_smaller_but_hardly_larger() -> None:
    better, worse = parity.Parity(0.5, -0.2, -1.0, True), parity.Parity(0.5, 0.06, 0.0, True)
    assert better.within(parity.NO_WORSE) and not better.within(parity.SAME)
    assert not worse.within(parity.NO_WORSE) and not parity.Parity(0.5, 0.0, 0.6, True).within(parity.NO_WORSE)
    assert not parity.Parity(0, 0, 0, False).within(parity.NO_WORSE)


def test_a_file_that_answers_differently_replaces_nothing(tmp_path: Path, shipped: Student) -> None:
    class Fickle(torch.nn.Module):
        """Decides by its input in a way that the trace of a black pair cannot know."""

        multiple_px, max_disparity_px = shipped.multiple_px, shipped.max_disparity_px

        def __init__(self) -> None:
            super().__init__()
            self.net = shipped

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            disparity, confidence = self.net(left, right)
            return (disparity + 1 if left.any() else disparity), confidence

    file = tmp_path / "net.onnx"
    file.write_bytes(b"the one before")
    with pytest.raises(CheckFailed, match="not written, as torch to ONNX changes too much") as failed:
        export_checked(Fickle(), file, GRID, {})
    assert failed.value.exit_code == 3
    assert file.read_bytes() == b"the one before" and [f.name for f in tmp_path.iterdir()] == ["net.onnx"]


def test_a_network_is_made_for_the_grid_of_its_row() -> None:
    assert made_up("student_n").size == (640, 480) and made_up("student_m").size == (1024, 768)


def test_random_weights_to_measure_speed(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    run("student_n", "-o", str(file), "--size", "64x64", "--random-weights", "--precision", "fp16")
    _, facts = load_network(file)
    assert facts["student_size"] == "n" and facts["recipe"].startswith("random weights")
    with pytest.raises(ModelError, match="did you mean 'student_n'"):
        run("studen_n", "-o", str(file), "--random-weights")


def test_a_file_of_weights_wants_to_know_its_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "mine.safetensors"
    checkpoint.save(file, Student(SIZES["n"]).state_dict(), {})
    assert open_origin(str(file), "n").facts["student_size"] == "n"
    with pytest.raises(ModelError, match=r"add --student-size, one of .*n"):
        open_origin(str(file))
    with pytest.raises(ModelError, match="do not fit student_m"):
        open_origin(str(file), "m")
    file.write_bytes(b"{}")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        open_origin(str(file))
    with pytest.raises(ModelError, match=r"ema.safetensors: does not exist; pass a network's name"):
        open_origin(str(tmp_path))


def test_a_training_run_gives_its_averaged_weights(tmp_path: Path) -> None:
    folder = tmp_path / "night"
    torch.manual_seed(0)
    net = Student(SIZES["n"])
    checkpoint.save(folder / checkpoint.AVERAGE, net.state_dict(), {"network": "student_n", "samples": 700, "seed": 3})
    origin = open_origin(str(folder))
    recipe = "stereo-rt train: student_n, 700 samples, seed 3"
    assert origin.facts == {"name": "night", "version": "1", "recipe": recipe, "student_size": "n"}
    expected = net.folded().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in origin.net.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        (["student_s", "-o", "net.txt"], UsageError, "must end in .onnx"),
        (["student_s", "-o", "net.onnx", "--size", "100x64"], UsageError, "multiples of 32, at least 64"),
        (["student_s", "-o", "net.onnx", "--size", "big"], UsageError, "not WIDTHxHEIGHT"),
        (["nothing", "-o", "net.onnx"], ModelError, "no network named 'nothing'"),
        (["gone.onnx", "-o", "net.onnx"], ModelError, "cannot be read"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    arguments: list[str], error: type[StereoError], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=why):
        run(*arguments)
    assert not list(tmp_path.iterdir())
