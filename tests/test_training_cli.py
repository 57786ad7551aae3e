"""`stereo-rt train`: a shipped recipe made small, on pairs from disk and on drawn scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from training_kit import one_thread, write_pairs  # noqa: E402, F401

from stereo_rt.cli import app as cli  # noqa: E402
from stereo_rt.datasets import open_dataset  # noqa: E402
from stereo_rt.engine.export import export_onnx  # noqa: E402
from stereo_rt.engine.origin import open_origin  # noqa: E402
from stereo_rt.errors import ConfigError, StereoError  # noqa: E402
from stereo_rt.evaluation.report import evaluate  # noqa: E402
from stereo_rt.matchers.torch import NetMatcher  # noqa: E402
from stereo_rt.nets import build  # noqa: E402
from stereo_rt.nets.layers import ConvNorm  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.dataset_stream import DatasetStream  # noqa: E402
from stereo_rt.training.initial import TRAINED_RMS, initialise  # noqa: E402
from stereo_rt.training.table import read_rows  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("student_s", "--device", "cpu", "--batch", "2", "--set", "network=student_n", "--set", "size=96x64")
cli.register()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def train(*arguments: str, fails: bool = False) -> Result:
    result = CliRunner().invoke(cli.app, ["train", *arguments])
    if not fails and result.exception:
        raise result.exception
    return result


def on_pairs(pairs: Path, out: Path, *more: str) -> Result:
    return train(*SMALL, "--data", str(pairs), "--set", "data.share=1", "--steps", "4", "--out", str(out), *more)


def test_from_nothing_to_a_scored_network_that_exports(pairs: Path, tmp_path: Path) -> None:
    said = on_pairs(pairs, tmp_path / "run", "--eval", str(pairs), "--eval-every", "3", "--save-every", "2").output
    assert f"export it with: stereo-rt export {tmp_path / 'run'}" in said and "step 4 of 4" in said
    scores = read_rows(tmp_path / "run" / "eval.csv")
    assert [(row["step"], row["samples"]) for row in scores] == [(3, 6), (4, 8)]
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    assert state["recipe"]["data"] == {"folders": [str(pairs)], "share": 1.0} and state["samples"] == 8
    origin = open_origin(str(tmp_path / "run"))
    mean = evaluate(NetMatcher(origin.net, origin.size, torch.device("cpu"), "n"), open_dataset(pairs))["mean"]
    assert mean["all"]["epe"] == pytest.approx(scores[-1]["epe"], rel=1e-2)


def test_the_time_is_kept_and_the_command_with_resume_goes_on(pairs: Path, tmp_path: Path) -> None:
    first = on_pairs(pairs, tmp_path / "run", "--minutes", "0").output
    assert "saved at step 1 of 4, the time is up; go on with the same command and --resume" in first
    assert "done" in on_pairs(pairs, tmp_path / "run", "--resume").output
    on_pairs(pairs, tmp_path / "whole")
    one, other = (checkpoint.load(tmp_path / name / checkpoint.CHECKPOINT)[0] for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_command_makes_it_of_drawn_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 16)
    few = ("--steps", "2", "--set", "scenes.pool=2", "--set", "scenes.fresh=1")
    train(*SMALL, *few, "--out", str(tmp_path / "run"), "--preview", str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").stat().st_size > 10_000 and not (tmp_path / "run").exists()
    train(*SMALL, *few, "--out", str(tmp_path / "run"))
    assert checkpoint.load(tmp_path / "run" / checkpoint.CHECKPOINT)[1]["step"] == 2


def test_a_preview_shows_no_size_that_training_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="crops of 16x16 do not fit student_n"):
        train(*SMALL, "--set", "size=16x16", "--preview", str(tmp_path / "sheet.png"))
    assert not (tmp_path / "sheet.png").exists()


def test_a_run_may_begin_with_another(pairs: Path, tmp_path: Path) -> None:
    on_pairs(pairs, tmp_path / "one")
    said = on_pairs(pairs, tmp_path / "two", "--init", str(tmp_path / "one"), "--set", "optimizer.rate=1e-9").output
    assert "tensors fit" in said
    one, two = (checkpoint.load(tmp_path / name / checkpoint.AVERAGE)[0] for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one if name.endswith("weight"))
    other = on_pairs(pairs, tmp_path / "three", "--init", str(tmp_path / "one"), "--set", "network=student_s").output
    fit, of = (int(word) for word in other.split(": ")[1].split(" tensors")[0].split(" of "))
    assert 0 < fit < of, "another size takes what fits"


@dataclass(frozen=True)
class Always:
    """A stream of one batch."""

    one: Batch

    def batch(self, step: int) -> Batch:
        return self.one


def test_an_exported_network_begins_as_what_it_was(pairs: Path, tmp_path: Path) -> None:
    """Its batch norms are folded away; they come back such that the network says the same, in training too, of what their
    statistics were taken from."""
    torch.manual_seed(1)
    net = build("student_n")
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.uniform_(module.bias, 0.0, 0.3)
    stream = DatasetStream(open_dataset(pairs), (96, 64), 4)
    views = (stream.batch(0).left, stream.batch(0).right)
    with torch.no_grad():
        for _ in range(30):
            net.train()(*views)  # type: ignore[operator]
    export_onnx(net.folded(), tmp_path / "n.onnx", (96, 64), {"student_size": "n"})
    torch.manual_seed(2)
    begun = build("student_n")
    for each in (net, begun):  # in a narrow window, random weights jump from bin to bin
        each.size = replace(each.size, window_bins=4)  # type: ignore[union-attr,arg-type,type-var]
    fit, of = initialise(begun, tmp_path / "n.onnx", Always(stream.batch(0)))
    assert 0.8 * of < fit <= of
    with torch.no_grad():
        expected, found = net.eval()(*views)[0], begun.eval()(*views)[0]
        assert float((found - expected).abs().max()) < 0.01
        trained = begun.train()(*views)[0]
        assert float((trained - expected).abs().max()) < 0.01
    for module in (m for m in begun.modules() if isinstance(m, ConvNorm)):  # steps of an optimizer are as large as they were
        size = module.conv.weight.square().mean((1, 2, 3)).sqrt() * module.conv.weight[0].numel() ** 0.5
        assert torch.allclose(size, torch.tensor(TRAINED_RMS), rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("student_x",), "did you mean"),
        (("student_s", "--resume"), "holds no run to go on with"),
        (("student_s", "--eval-every", "5"), "add --eval DATASET"),
        (("student_s", "--device", "abacus"), "device 'abacus' does not work"),
        (("student_s", "--set", "network=student_z"), "no trainable network named 'student_z'"),
        (("student_s", "--data", "gone", "--set", "data.share=1"), "gone: is no folder"),
        (("student_s", "--set", "optimiser.rate=1"), "did you mean 'optimizer"),
        (("student_m", "--set", "scenes.pool=2"), "the pool of 2 cannot hold 4 fresh scenes"),
        (("student_s", "--set", "scenes.scales=[2,1]"), "scales go from the smallest to the largest"),
        (("student_s", "--set", "size=100x64"), "choose multiples of 32"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(*arguments, fails=True)
    assert isinstance(result.exception, StereoError) and why in str(result.exception)
    assert "\n" not in str(result.exception) and not list(tmp_path.iterdir())


def test_initial_weights_that_do_not_exist_or_fit(pairs: Path, tmp_path: Path) -> None:
    small = (*SMALL, "--data", str(pairs), "--set", "data.share=1", "--out", str(tmp_path / "run"))
    for source, why in (("gone", "does not exist"), (str(pairs), "cannot be read as weights")):
        result = train(*small, "--init", source, fails=True)
        assert isinstance(result.exception, StereoError) and why in str(result.exception)
        assert not list(tmp_path.iterdir())
