"""The monocular U-Net: it learns what scale and shift cannot tell, exports with a check, and what it fills is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from standins import make_standin  # noqa: E402
from tools_kit import load_tool  # noqa: E402
from training_kit import one_thread, write_pairs  # noqa: E402, F401

from stereo_rt.config import MatchConfig, validate  # noqa: E402
from stereo_rt.engine.origin import open_origin  # noqa: E402
from stereo_rt.engine.precision import to_mixed  # noqa: E402
from stereo_rt.errors import StereoError  # noqa: E402
from stereo_rt.mono import open_mono  # noqa: E402
from stereo_rt.nets import build  # noqa: E402
from stereo_rt.nets.mono_unet import STAGES, MonoUNet  # noqa: E402
from stereo_rt.nets.predictions import Predictions  # noqa: E402
from stereo_rt.session import mono_maker  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.losses import RELATIVE_DEVIATION_PX, RELATIVE_MEAN_PX, standardised, training_loss  # noqa: E402
from stereo_rt.training.recipe import LossRecipe, load_recipe  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = ["--steps", "2", "--batch", "2", "--set", "size=64x64"]


def run(*arguments: object) -> str:
    """What the command line prints; its error is raised."""
    from stereo_rt.cli.app import app, register

    if not app.registered_commands:
        register()
    told = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(told.exception, StereoError):
        raise told.exception
    return told.output


def batch_of(truth: torch.Tensor) -> Batch:
    image = torch.rand(len(truth), 3, *truth.shape[1:], generator=torch.Generator().manual_seed(0))
    return Batch(image, image, truth, torch.zeros_like(truth, dtype=torch.bool))


def test_the_encoder_has_the_size_of_mobilenet_v2_and_the_map_that_of_the_image() -> None:
    net = build("mono_unet")
    assert isinstance(net, MonoUNet)
    assert [sum(row[2] for row in rows) for rows in STAGES] == [1, 2, 3, 7, 4], "its 17 blocks"
    # MobileNetV2's 3.50 M less its classifier (1.28 M) and the 1280 channels before it (0.41 M) are 1.81 M.
    assert 1.75e6 < sum(p.numel() for p in (*net.stem.parameters(), *net.encoder.parameters())) < 1.85e6
    image = torch.rand(1, 3, 64, 96)
    net.eval()
    one, other = (net.predict(image, right) for right in (image, torch.zeros_like(image)))
    assert one.disparity_px.shape == (1, 1, 64, 96) and one.relative
    assert torch.equal(one.disparity_px, other.disparity_px), "the right image tells it nothing"


@pytest.mark.parametrize("regression", ["mse", "mse_ssim", "l1_ssim"])
def test_the_loss_is_the_same_for_every_scale_and_shift_of_either_map(regression: str) -> None:
    chance = torch.Generator().manual_seed(1)
    truth = 40 * torch.rand(2, 16, 24, generator=chance) + 2
    truth[:, :3] = torch.nan
    estimate = torch.rand(2, 1, 16, 24, generator=chance)
    recipe = LossRecipe(regression=regression)

    def loss(estimate: torch.Tensor, truth: torch.Tensor) -> float:
        return training_loss(Predictions(estimate, relative=True), batch_of(truth), recipe, 0.0)[0].item()

    first = loss(estimate, truth)
    assert loss(0.01 * estimate - 5, 3 * truth + 1) == pytest.approx(first, rel=1e-3)
    assert loss(-estimate, truth) != pytest.approx(first, rel=1e-2), "but not for the other sign"
    assert loss(7 * truth.nan_to_num(9)[:, None] + 2, truth) == pytest.approx(0, abs=1e-3)


def test_standardised_maps_have_the_mean_and_deviation_that_were_asked_for() -> None:
    values = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0)) * 30
    weight = (torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1)) > 0.3).float()
    out, w = standardised(values, weight).numpy(), weight.numpy()
    for each, share in zip(out, w, strict=True):
        assert np.average(each, weights=share) == pytest.approx(RELATIVE_MEAN_PX, abs=1e-3)
        assert np.sqrt(np.cov(each.ravel(), aweights=share.ravel(), ddof=0)) == pytest.approx(RELATIVE_DEVIATION_PX, rel=1e-3)


def test_it_learns_by_its_recipe() -> None:
    torch.manual_seed(0)
    net, truth = build("mono_unet"), torch.linspace(2, 30, 64).view(1, 64, 1).expand(2, 64, 64).clone()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    values = []
    for _ in range(6):
        batch = batch_of(truth)
        loss, terms = training_loss(net.predict(batch.left, batch.right), batch, load_recipe("mono_unet").loss, 0.0)  # type: ignore[operator]
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
        values.append(loss.item())
    assert min(values[-2:]) < 0.8 * values[0] and "full" in terms


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mono.onnx of a run of two steps, by the commands that a user types."""
    place = tmp_path_factory.mktemp("mono")
    pairs = write_pairs(place / "pairs", 2)
    run("train", "mono_unet", "--out", place / "run", "--device", "cpu", "--data", pairs, "--set", "data.share=1", *TINY)
    run("export", place / "run", "-o", place / "mono.onnx", "--size", "128x96")
    return place / "mono.onnx"


def test_train_and_export_make_a_network_that_answers_alike_in_torch_and_onnx(trained: Path) -> None:
    origin = open_origin(str(trained))
    assert origin.facts["network"] == "mono_unet" and origin.size == (128, 96)
    network = open_mono(str(trained), MatchConfig(device="cpu"))
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = origin.net(rgb)[0, 0].numpy()
    np.testing.assert_allclose(network(image), expected, atol=1e-3 * np.ptp(expected) + 1e-6)
    assert network(np.ascontiguousarray(image[:90, :100])).shape == (90, 100)
    network.close()


def test_half_precision_and_random_weights(tmp_path: Path) -> None:
    told = run("export", "mono_unet", "-o", tmp_path / "m.onnx", "--size", "64x64", "--random-weights", "--precision", "fp16")
    assert "FP32 to FP16" in told and (tmp_path / "m.onnx").stat().st_size < 6e6


def test_it_builds_for_tensorrt_rtx(trained: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from stereo_rt.engine.flavour import load
    from stereo_rt.engine.phases import Phases

    graph = to_mixed(onnx.load(trained)).SerializeToString()
    built = load("tensorrt_rtx").build(graph, "mono_unet", "fp16", ("8.6",), None, Phases())
    assert built.layers.fp16 > 50 and built.layers.single_matrix == ("/head/head.1/Conv",), "which makes the output"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("eval", "EMPTY", "--model", "FILE", "--backend", "torch"), "monocular network, which matches nothing"),
        (("eval", "EMPTY", "--model", "FILE", "--backend", "onnx"), "is not a stereo network"),
        (("build", "FILE"), "is not a stereo network"),
        (("train", "mono_unet", "--eval", "EMPTY", "--out", "RUN", *TINY), "mono_unet says no disparities"),
        (("view", "synthetic://room", "--fill", "mono"), "name it, such as --set post.mono=FILE.onnx"),
        (("view", "synthetic://room", "--fill", "mono", "--set", "post.mono=depth_anything"), "post.mono_clone"),
    ],
)
def test_what_a_monocular_network_cannot_do_is_one_sentence(
    arguments: tuple[str, ...], said: str, trained: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "meta.json").write_text(json.dumps({"disparity_encoding": {"file": "d", "scale": 1, "invalid": 0}}))
    names = {"EMPTY": tmp_path, "FILE": trained, "RUN": tmp_path / "run"}
    with pytest.raises(StereoError) as e:
        run(*(names.get(a, a) for a in arguments))
    assert said in str(e.value) and "\n" not in str(e.value)


def test_another_projects_network_fills_by_the_name_of_its_adapter(tmp_path: Path) -> None:
    clone, checkpoint = make_standin("depth_anything", tmp_path)
    named = {"mono": "depth_anything", "mono_clone": str(clone), "mono_checkpoint": str(checkpoint)}
    make = mono_maker(validate({"match": {"device": "cpu"}, "post": {"fill": "mono"} | named}))
    assert make is not None
    network = make()
    assert network.name == "depth_anything:depth_anything_v2_vits"
    assert network(np.zeros((48, 64, 3), np.uint8)).shape == (48, 64)
    network.close()


def test_what_a_prior_is_worth_is_measured_on_drawn_scenes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 8)
    file = tmp_path / "gain.json"
    arguments = ["--mono", trained, "--stand-in", 0, "--drawn", 2, "--size", 96, 64, "--matcher", "sgbm", "--json", file]
    load_tool("prior_gain").main([str(a) for a in arguments])
    found = json.loads(file.read_text())["sgbm"]["drawn"]
    assert (
        set(found["mean"]) == {"as matched", "rows", "mono", "stand-in 0"}
        and len(found["scenes"]) == 2
        and 0 < found["share"] < 1
    )
    assert found["mean"]["rows"]["density"] > 50
    assert found["mean"]["stand-in 0"]["epe"] < 0.3 * found["mean"]["rows"]["epe"], "a perfect map is worth having"
    assert "filled by" in capsys.readouterr().out
