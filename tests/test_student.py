"""The student in torch: its parts against naive twins, folding, and the way into an ONNX file and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.engine.export import export_onnx  # noqa: E402
from stereo_rt.engine.origin import open_origin  # noqa: E402
from stereo_rt.errors import ModelError  # noqa: E402
from stereo_rt.matchers import create_matcher  # noqa: E402
from stereo_rt.nets import STUDENTS, build  # noqa: E402
from stereo_rt.nets.correlation import channels, correlate, prepare  # noqa: E402
from stereo_rt.nets.cost import gmacs, parameters  # noqa: E402
from stereo_rt.nets.refinement import at_disparity  # noqa: E402
from stereo_rt.nets.student import SIZES, Student  # noqa: E402
from stereo_rt.nets.upsample import convex  # noqa: E402
from stereo_rt.nets.weights import load_network  # noqa: E402

PLAIN = """
    Abs Add And AveragePool Cast Clip Concat Conv DepthToSpace Div Exp Expand Flatten Floor GatherElements Greater
    GreaterOrEqual Less LessOrEqual MatMul Max MaxPool Min Mul Neg Or Pad Reciprocal ReduceMax ReduceMean ReduceMin
    ReduceSum Relu Reshape Resize Sigmoid Slice Softmax Split Sqrt Sub Transpose Unsqueeze Where
"""


def made_up(size: str, seed: int = 0) -> Student:
    """A student with random weights and batch-norm statistics."""
    torch.manual_seed(seed)
    net = Student(SIZES[size])
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval().requires_grad_(False)


def pair(width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    return image, torch.roll(image, -6, 3)


@pytest.mark.parametrize(("width", "bins"), [(80, 5), (80, 48), (64, 96), (9, 5)])
@pytest.mark.parametrize("pooled", [1, 2])
def test_blocks_and_pooling_do_not_change_a_correlation(width: int, bins: int, pooled: int) -> None:
    width *= pooled
    x = torch.randn(2, 6, 4, width, generator=torch.Generator().manual_seed(5))
    left, right = (v / torch.sqrt((v * v).mean(1, keepdim=True) + 1e-3) for v in x.chunk(2))
    moved = [torch.nn.functional.pad(right, (d, 0))[..., :width] for d in range(bins - 1, -1, -1)]
    expected = torch.cat([(left * m).mean(1, keepdim=True) for m in moved], 1).unflatten(3, (-1, pooled)).mean(4)
    assert torch.allclose(channels(correlate(x, bins, groups=1, pooled=pooled)), expected, atol=1e-5)


def test_correlation_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    bins, groups = 5, 2
    x = rng.normal(size=(2, 6, 3, 9)).astype(np.float32)
    got = channels(correlate(torch.from_numpy(x), bins, groups)).numpy()
    left, right = x.reshape(2, groups, 3, 3, 9)
    left, right = (v / np.sqrt((v * v).mean(1, keepdims=True) + 1e-3) for v in (left, right))
    for group in range(groups):
        for d in range(bins):
            channel = got[0, group * bins + bins - 1 - d]
            expected = np.zeros((3, 9), np.float32)
            expected[:, d:] = (left[group, :, :, d:] * right[group, :, :, : 9 - d]).mean(0)
            np.testing.assert_allclose(channel, expected, atol=1e-5)


def test_upsampling_is_a_convex_blend() -> None:
    coarse = torch.full((1, 1, 4, 5), 7.0)
    assert torch.allclose(convex(coarse, torch.randn(1, 144, 4, 5), 4), torch.full((1, 1, 16, 20), 7.0))
    step = torch.cat([torch.full((1, 1, 4, 3), 2.0), torch.full((1, 1, 4, 2), 30.0)], 3)
    fine = convex(step, torch.randn(1, 36, 4, 5), 2)
    assert fine.shape == (1, 1, 8, 10)
    assert fine.min() >= 2 - 1e-4 and fine.max() <= 30 + 1e-4
    assert torch.allclose(fine[..., :4], torch.tensor(2.0))


def test_a_blend_of_five_leaves_the_corners_out() -> None:
    corner = torch.zeros(1, 1, 3, 3)
    corner[..., 0, 0] = 9.0
    for neighbours, middle in ((9, 1.0), (5, 0.0)):
        fine = convex(corner, torch.zeros(1, neighbours * 4, 3, 3), 2)
        torch.testing.assert_close(fine[..., 2:4, 2:4], torch.full((1, 1, 2, 2), middle))


def test_the_input_is_colour_and_what_it_differs_from_around_in_units_of_that_difference() -> None:
    rng = np.random.default_rng(4)
    rgb = rng.random((1, 3, 12, 16), dtype=np.float32)
    got = prepare(torch.from_numpy(rgb)).numpy()
    np.testing.assert_allclose(got[:, :3], (rgb - 0.45) * 3, atol=1e-6)
    grey = np.tensordot((0.3, 0.59, 0.11), rgb[0], 1)

    def around(values: np.ndarray) -> np.ndarray:
        means = np.empty_like(values)
        for y, x in np.ndindex(6, 8):  # cells of 2 x 2, and up to two more of them to each side
            rows, columns = slice(2 * max(y - 2, 0), 2 * y + 6), slice(2 * max(x - 2, 0), 2 * x + 6)
            means[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = values[rows, columns].mean()
        return means

    detail = grey - around(grey)
    np.testing.assert_allclose(got[0, 3], detail / np.sqrt(around(detail**2) + 4e-4), atol=1e-4)


def test_exposure_leaves_the_contrast_as_it_is() -> None:
    rgb = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    bright, dark = (prepare(rgb * gain + offset)[:, 3] for gain, offset in ((1.0, 0.0), (0.4, 0.2)))
    torch.testing.assert_close(bright, dark, atol=0.12, rtol=0.05)


def test_looking_up_the_right_image_equals_interpolation_row_by_row() -> None:
    rng = np.random.default_rng(3)
    right = rng.normal(size=(2, 3, 4, 11)).astype(np.float32)
    disparity = rng.uniform(-3, 14, size=(2, 1, 4, 11)).astype(np.float32)  # some beyond either border
    got = at_disparity(torch.from_numpy(right), torch.from_numpy(disparity)).numpy()
    for b, c, y in np.ndindex(2, 3, 4):
        expected = np.interp(np.arange(11) - disparity[b, 0, y], np.arange(11), right[b, c, y])
        np.testing.assert_allclose(got[b, c, y], expected, atol=1e-5)


def test_the_window_ignores_a_second_peak() -> None:
    """Two surfaces in one cell: a full expectation would lie between them, this one is on the likelier."""
    bins = SIZES["s"].max_disparity_px // 2
    p = torch.zeros(1, bins)
    near, far = bins - 1 - 60, bins - 1 - 10  # channels of bins 60 and 10
    p[0, near], p[0, far] = 0.6, 0.4
    found = made_up("s").expectation(p)
    spread = 0.4 * (2 * 60 - 2 * 10) / 4
    assert [value.item() for value in found] == [pytest.approx(v) for v in (2 * 60, 0.6, 0.4, spread)]


@pytest.mark.parametrize("name", STUDENTS)
def test_every_size_predicts_and_learns(name: str) -> None:
    torch.manual_seed(0)
    net = build(name)
    assert isinstance(net, Student)
    found = net.predict(*(torch.cat([x, x]) for x in pair(96, 64)))
    assert found.disparity_px.shape == (2, 1, 64, 96)
    assert found.certainty is not None and found.certainty.shape == (2, 1, 64, 96)
    assert [c.shape[1:] for c in found.coarse_px] == [(1, 32, 48), (1, 16, 24)]
    assert [(d.logits.shape[1:], d.bin_px) for d in found.distributions] == [
        ((96, 16, 24), 2),
        ((96, 16, 24), 2),
        ((24, 8, 12), 8),
    ]
    terms = [found.disparity_px, found.certainty, *found.coarse_px, *(d.logits for d in found.distributions)]
    torch.stack([t.square().mean() for t in terms]).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_cost_counts_convolutions_and_products() -> None:
    net = torch.nn.Conv2d(3, 5, 3, padding=1)
    net.forward = lambda left, right: torch.nn.Conv2d.forward(net, left)  # type: ignore[assignment,method-assign]
    assert gmacs(net, (64, 32)) == pytest.approx(64 * 32 * 3 * 5 * 9 / 1e9)
    assert parameters(net) == 3 * 5 * 9 + 5


def test_the_sizes_keep_their_budgets() -> None:
    """Multiply-adds scale with the area but for the correlation, which is a fraction: a small grid is enough."""
    for size, budget in (("n", 4.2), ("s", 10), ("m", 25), ("l", 45)):
        width, height = SIZES[size].grid
        assert gmacs(Student(SIZES[size]).folded(), (320, 256)) * width * height / (320 * 256) <= budget


def test_scaling_the_certainty() -> None:
    net, images = made_up("s"), pair(96, 64)
    before = torch.logit(net(*images)[1].double())
    net.scale_certainty(2.0, -1.0)
    net.scale_certainty(0.5, 0.25)
    assert torch.allclose(torch.logit(net(*images)[1].double()), before - 0.25, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_folding_changes_nothing(size: str) -> None:
    net, images = made_up(size), pair(128, 64)
    before = net(*images)
    after = net.folded()(*images)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, atol=2e-3)


@pytest.mark.parametrize(("size", "grid"), [("s", (128, 64)), ("n", (64, 96))])
def test_export_keeps_names_and_values_at_any_size(size: str, grid: tuple[int, int], tmp_path: Path) -> None:
    net, file = made_up(size).folded(), tmp_path / "net.onnx"
    facts = {"name": "net", "student_size": size, "input_size": f"{grid[0]}x{grid[1]}", "max_disparity_px": "192"}
    export_onnx(net, file, grid, facts)

    model = onnx.load(file)
    assert {p.key: p.value for p in model.metadata_props} == facts
    assert [o.version for o in model.opset_import] == [17]
    assert {node.op_type for node in model.graph.node} <= set(PLAIN.split())
    back, _ = load_network(file)
    for name, value in net.state_dict().items():
        assert torch.equal(value, back.state_dict()[name]), name

    frame = (pair(*grid)[0][0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    maps = {}
    for backend in ("onnx", "torch"):
        matcher = create_matcher(MatchConfig.model_validate({"model": str(file), "backend": backend, "device": "cpu"}))
        assert (matcher.spec.width, matcher.spec.height, matcher.spec.max_disparity_px) == (*grid, 192)
        maps[backend] = matcher(frame, frame)
        matcher.close()
    assert np.abs(maps["onnx"].disparity_px - maps["torch"].disparity_px).mean() < 5e-3


def test_a_file_that_does_not_say_its_grid_is_read_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    export_onnx(made_up("n").folded(), file, (96, 64), {"student_size": "n"})
    assert load_network(file)[1] == {"student_size": "n", "input_size": "96x64"}
    assert open_origin(str(file)).size == (96, 64)


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        export_onnx(made_up("s").folded(), tmp_path / "net.onnx", (100, 64), {})
    assert not list(tmp_path.iterdir())


def test_the_torch_backend_wants_our_own_networks(tmp_path: Path) -> None:
    file = tmp_path / "junk.onnx"
    file.write_bytes(b"not a network at all")
    with pytest.raises(ModelError, match=r"not an ONNX file|not one of our own"):
        load_network(file)
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph), file)
    with pytest.raises(ModelError, match="not one of our own networks"):
        load_network(file)
