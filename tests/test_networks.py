"""The networks beside the student: each predicts, learns, exports, and builds for TensorRT-RTX; their parts by naive twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from training_kit import one_thread  # noqa: E402, F401

from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.engine import parity  # noqa: E402
from stereo_rt.engine.export import export_checked, export_onnx  # noqa: E402
from stereo_rt.engine.origin import made_up, open_origin  # noqa: E402
from stereo_rt.errors import ModelError  # noqa: E402
from stereo_rt.matchers import create_matcher  # noqa: E402
from stereo_rt.nets import OTHERS, build  # noqa: E402
from stereo_rt.nets.mobile_stereonet import MobileStereoNet  # noqa: E402
from stereo_rt.nets.predictions import Distribution  # noqa: E402
from stereo_rt.nets.rt_igev import ITERATIONS, around  # noqa: E402
from stereo_rt.nets.swin_cross import WINDOW, Across, Windows  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.distillation import Distillation  # noqa: E402
from stereo_rt.training.losses import REGRESSIONS, training_loss  # noqa: E402
from stereo_rt.training.recipe import DistillRecipe, LossRecipe, load_recipe  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
REGRESSING = {"stereo_unet", "swin_cross"}
FOREIGN = {"Bernoulli", "GridSample", "Loop", "If", "Scan", "ScatterND", "NonZero", "Einsum"}
"""Operations that some TensorRT lacks, or runs by shapes that it cannot know."""


def shifted_noise(disparity_px: int, size: tuple[int, int] = (96, 64)) -> Batch:
    """Two pairs of smooth noise, the same disparity everywhere."""
    width, height = size
    chance = torch.Generator().manual_seed(0)
    wide = torch.rand(2, 3, height, width + disparity_px, generator=chance)
    truth = torch.full((2, height, width), float(disparity_px))
    return Batch(wide[..., :width], wide[..., disparity_px:], truth, torch.zeros_like(truth, dtype=torch.bool))


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_predicted_fits_together(name: str) -> None:
    torch.manual_seed(0)
    net, batch = build(name), shifted_noise(6)
    found = net.predict(batch.left, batch.right)
    assert found.disparity_px.shape == (2, 1, 64, 96)
    assert found.certainty is not None and found.certainty.shape == (2, 1, 64, 96)
    assert bool(found.distributions) == net.has_distributions == (name not in REGRESSING)
    assert all(d.logits.shape == (2, 48, 16, 24) and d.bin_px == 4 for d in found.distributions)
    assert len(found.coarse_px) == (1 + ITERATIONS if name == "rt_igev" else 1) and len(found.features) == 2
    disparity, confidence = net(batch.left, batch.right)
    assert disparity.min() > -4 and disparity.max() < net.max_disparity_px and 0 < confidence.min() < confidence.max() < 1


def losses(name: str, recipe: LossRecipe, steps: int, disparity_px: int = 48) -> list[float]:
    torch.manual_seed(0)
    net, batch = build(name), shifted_noise(disparity_px)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    values = []
    for _ in range(steps):
        loss, _ = training_loss(net.predict(batch.left, batch.right), batch, recipe, 0.0)
        optimizer.zero_grad()
        loss.backward()
        assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
        optimizer.step()
        values.append(loss.item())
    return values


@pytest.mark.parametrize("name", OTHERS)
def test_every_network_learns_by_its_recipe(name: str) -> None:
    values = losses(name, load_recipe(name).loss, 12)
    assert min(values[-2:]) < 0.8 * values[0]


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_every_distance_teaches_a_network_without_distributions(regression: str) -> None:
    # About where the network begins: what is further off is clamped in smooth_l1, and teaches nothing.
    values = losses("stereo_unet", LossRecipe(regression=regression, confidence=0.0), 4, disparity_px=20)
    assert min(values[1:]) < 0.9 * values[0]


def test_a_network_without_distributions_is_distilled_by_its_disparity() -> None:
    class Labelled:
        def batch(self, step: int) -> Batch:
            return shifted_noise(24)

    torch.manual_seed(0)
    net = build("stereo_unet")
    loss, terms = Distillation(net, Labelled(), DistillRecipe(labels=("pairs",)))(net, net, 0)
    assert set(terms) == {"disparity", "ema"} and loss.requires_grad and terms["disparity"].item() > 0


def test_a_name_without_weights_says_how_to_make_them() -> None:
    with pytest.raises(ModelError, match=r"rt_igev is not shipped: train it with stereo-rt train rt_igev"):
        open_origin("rt_igev")


@pytest.mark.parametrize("name", OTHERS)
def test_exports_answer_alike_at_two_sizes_and_in_half_precision(name: str, tmp_path: Path) -> None:
    origin, file = made_up(name), tmp_path / "net.onnx"
    for grid in ((128, 64), (96, 160)):
        facts = {"input_size": "x".join(str(n) for n in grid), "max_disparity_px": "192"}
        export_onnx(origin.net, file, grid, origin.facts | facts)
        forms = parity.torch_estimator(origin.net), parity.onnx_estimator(file)
        assert parity.compare(*forms, parity.true_pairs(grid)[:1]).mean_px < 1e-3
        nodes = onnx.load(file).graph.node
        assert FOREIGN.isdisjoint(node.op_type for node in nodes) and {node.domain for node in nodes} == {""}
    back = open_origin(str(file))
    assert back.facts == origin.facts and back.facts["network"] == name and back.size == (96, 160)
    kept = back.net.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in origin.net.state_dict().items())

    frame = np.random.default_rng(0).integers(0, 256, (160, 96, 3), np.uint8)
    maps = []
    for backend in ("onnx", "torch"):
        matcher = create_matcher(MatchConfig.model_validate({"model": str(file), "backend": backend, "device": "cpu"}))
        maps.append(matcher(frame, frame))
        matcher.close()
    assert np.abs(maps[0].disparity_px - maps[1].disparity_px).mean() < 5e-3
    assert np.abs(maps[0].confidence - maps[1].confidence).mean() < 1e-3
    export_checked(back.net, file, (128, 64), back.facts, "fp16", trained=False)


@pytest.mark.parametrize("name", OTHERS)
def test_every_network_builds_for_tensorrt_rtx(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    from stereo_rt.engine import build as engine
    from stereo_rt.engine.flavour import load
    from stereo_rt.matchers.models import find_model

    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path / "home"))
    file, origin = tmp_path / "net.onnx", made_up(name)
    export_onnx(origin.net, file, (128, 64), origin.facts | {"input_size": "128x64", "max_disparity_px": "192"})
    entry = engine.ensure(find_model(str(file)), load("tensorrt_rtx"), gpu=None, targets=("8.6",))
    layers = entry.sidecar.layers
    assert entry.damage() is None and not layers.plugins
    assert not layers.single_matrix and layers.fp16 > 20, "convolutions and matrix products are all in FP16"


def test_the_mean_of_a_distribution_is_in_pixels() -> None:
    logits = torch.full((1, 5, 1, 1), -100.0)
    logits[0, 1] = logits[0, 2] = 0.0  # the bins of 3 and 2 times bin_px
    assert Distribution(logits, 4).mean_px().item() == pytest.approx(10)


def test_looking_around_an_estimate_equals_interpolation_along_the_bins() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(2, 12, 3, 4)).astype(np.float32)
    place = rng.uniform(-2, 14, size=(2, 1, 3, 4)).astype(np.float32)  # some beyond either end
    got = around(torch.from_numpy(scores), torch.from_numpy(place), 3).numpy()
    for b, y, x in np.ndindex(2, 3, 4):
        expected = np.interp(place[b, 0, y, x] + np.arange(3, -4, -1), np.arange(12), scores[b, ::-1, y, x])
        np.testing.assert_allclose(got[b, :, y, x], expected, atol=1e-5)


def test_the_interlaced_volume_compares_each_pixel_with_the_one_at_its_disparity() -> None:
    torch.manual_seed(0)
    net = MobileStereoNet()
    left, right = torch.randn(2, 12, 3, 70), torch.randn(2, 12, 3, 70)
    volume = net.interlaced(left, right)
    for d in (0, 5, net.bins - 1):
        pairs = torch.relu(left[..., d:] + right[..., : 70 - d])
        assert torch.allclose(volume[:, net.bins - 1 - d, :, d:], net.compare(pairs)[:, 0], atol=1e-5)


def looks_at(net: torch.nn.Module, maps: list[torch.Tensor], of: int, y: int, x: int) -> np.ndarray:
    """(h, w) bool: the cells of map number `of` that the answer at (y, x) depends on."""
    for each in maps:
        each.requires_grad_()
    answer = net.eval()(*maps)
    (answer[0] if isinstance(answer, tuple) else answer)[0, :, y, x].sum().backward()
    return (maps[of].grad[0].abs().sum(0) > 0).numpy()


@pytest.mark.parametrize("shifted", [False, True])
def test_attention_stays_within_the_windows(shifted: bool) -> None:
    torch.manual_seed(0)
    h, w, y, x, before = 9, 13, 7, 11, WINDOW // 2 if shifted else 0
    rows, columns = ((np.arange(n) + before) // WINDOW == (at + before) // WINDOW for n, at in ((h, y), (w, x)))
    seen = looks_at(Windows(16, shifted), [torch.randn(1, 16, h, w)], 0, y, x)
    np.testing.assert_array_equal(seen, rows[:, None] & columns)


def test_attention_across_sees_what_the_right_eye_can_see_of_the_row() -> None:
    torch.manual_seed(0)
    seen = looks_at(Across(16), [torch.randn(1, 16, 3, 9) for _ in range(2)], 1, 1, 5)
    np.testing.assert_array_equal(seen, np.outer(np.arange(3) == 1, np.arange(9) <= 5))
    _, looked = Across(16).eval()(torch.randn(1, 16, 3, 9), torch.randn(1, 16, 3, 9))
    assert looked.shape == (1, 4, 3, 9) and looked.min() >= 0 and bool((looked <= torch.arange(9)).all())
