"""Pretraining: what is hidden, what counts, what the control can know, and runs that are cut off, compared and built upon."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

import torch.nn.functional as F  # noqa: E402
from tools_kit import load_tool  # noqa: E402
from torch import Tensor  # noqa: E402
from training_kit import one_thread, write_pairs  # noqa: E402, F401

from stereo_rt.cli import app as cli  # noqa: E402
from stereo_rt.engine.origin import open_origin  # noqa: E402
from stereo_rt.errors import ModelError, StereoError  # noqa: E402
from stereo_rt.nets import build  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.chance import generator  # noqa: E402
from stereo_rt.training.pretrain.network import build_rebuilder  # noqa: E402
from stereo_rt.training.pretrain.puzzle import NOISE, at_pixels, draw_mask, errors, pictured, pose, targets  # noqa: E402
from stereo_rt.training.recipe import PretrainRecipe, load_recipe, shipped_recipes  # noqa: E402
from stereo_rt.training.table import read_rows  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
asked = st.builds(
    PretrainRecipe,
    ratio=st.floats(0.05, 0.95),
    patch_px=st.sampled_from([4, 8]),
    normalised=st.booleans(),
    left_only=st.booleans(),
)
seeds = st.integers(0, 2**31 - 1)
cli.register()


def noise(seed: int, size: tuple[int, int] = (32, 16), pairs: int = 2) -> Batch:
    chance = generator(seed)
    left, right = (torch.rand(pairs, 3, size[1], size[0], generator=chance) for _ in range(2))
    unknown = torch.full((pairs, size[1], size[0]), torch.nan)
    return Batch(left, right, unknown, torch.zeros_like(unknown, dtype=torch.bool))


@given(seeds, st.integers(1, 3), st.integers(1, 6), st.integers(2, 6), st.floats(0.01, 0.99))
def test_each_image_loses_the_same_share_of_its_patches(seed: int, pairs: int, rows: int, columns: int, ratio: float) -> None:
    mask = draw_mask(generator(seed), (pairs, rows, columns), ratio)
    hidden = mask.flatten(1).sum(1)
    assert len(set(hidden.tolist())) == 1 and 0 < int(hidden[0]) < rows * columns
    assert abs(int(hidden[0]) - ratio * rows * columns) <= 1
    assert torch.equal(mask, draw_mask(generator(seed), (pairs, rows, columns), ratio))
    pixels = at_pixels(mask, 3)
    assert pixels.shape == (pairs, 1, 3 * rows, 3 * columns) and torch.equal(pixels[:, 0, ::3, ::3], mask)


@given(seeds, asked)
def test_the_error_is_that_of_the_hidden_pixels_alone(seed: int, asked: PretrainRecipe) -> None:
    batch, said = noise(seed), noise(seed + 1).left
    hidden = pose(batch, asked, generator(seed)).hidden
    found = errors(said, batch.left, hidden, asked)
    elsewhere = noise(seed + 2).right
    assert torch.equal(
        found, errors(torch.where(hidden, said, elsewhere), torch.where(hidden, batch.left, elsewhere), hidden, asked)
    )
    assert found.tolist() == pytest.approx(plain_errors(said.numpy(), batch.left.numpy(), hidden.numpy(), asked), rel=1e-4)
    offset, scale = targets(batch.left, asked)
    perfect = (batch.left - offset) / scale
    assert errors(perfect, batch.left, hidden, asked).tolist() == [0, 0]
    assert torch.allclose(pictured(perfect, batch.left, asked), batch.left, atol=1e-5)


def plain_errors(said: np.ndarray, truth: np.ndarray, hidden: np.ndarray, asked: PretrainRecipe) -> list[float]:
    """Patch by patch."""
    side, found = asked.patch_px, []
    for image in range(len(truth)):
        squares = []
        for y in range(0, truth.shape[2], side):
            for x in range(0, truth.shape[3], side):
                window = (image, slice(None), slice(y, y + side), slice(x, x + side))
                if hidden[image, 0, y, x]:
                    patch = truth[window].astype(float)
                    if asked.normalised:
                        patch = (patch - patch.mean()) / np.sqrt(patch.var() + NOISE**2)
                    squares.append((said[window] - patch) ** 2)
        found.append(float(np.mean(squares)))
    return found


@settings(max_examples=5)
@given(seeds, st.booleans())
def test_what_is_hidden_cannot_be_seen_nor_the_right_image_by_the_control(seed: int, left_only: bool) -> None:
    asked = PretrainRecipe(ratio=0.75, left_only=left_only)
    batch, other = noise(seed, (64, 64)), noise(seed + 1, (64, 64))
    torch.manual_seed(seed)
    net = build_rebuilder("swin_cross").eval()

    def rebuilt(left: Tensor, right: Tensor) -> Tensor:
        puzzle = pose(Batch(left, right, batch.disparity_px, batch.occluded), asked, generator(seed))
        with torch.inference_mode():
            return net(puzzle.left, puzzle.right)

    hidden = pose(batch, asked, generator(seed)).hidden
    first = rebuilt(batch.left, batch.right)
    assert first.shape == batch.left.shape
    assert torch.equal(first, rebuilt(torch.where(hidden, other.left, batch.left), batch.right))
    assert not torch.equal(first, rebuilt(torch.where(hidden, batch.left, other.left), batch.right))
    assert torch.equal(first, rebuilt(batch.left, other.right)) is left_only


def shifted() -> Batch:
    """Blobs of colour, 8 px further left in the right eye."""
    texture = F.interpolate(torch.rand(2, 3, 8, 10, generator=generator(0)), (64, 80), mode="bilinear")
    unknown = torch.full((2, 64, 64), torch.nan)
    return Batch(texture[..., :64], texture[..., 8:72], unknown, torch.isfinite(unknown))


def test_it_learns_and_what_it_rebuilds_comes_from_the_right_image_too() -> None:
    asked, batch = PretrainRecipe(), shifted()
    torch.manual_seed(0)
    net = build_rebuilder("swin_cross")
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    puzzle = pose(batch, asked, generator(1))

    def wrong(right: Tensor) -> Tensor:
        return errors(net(puzzle.left, right), batch.left, puzzle.hidden, asked).mean()

    seen = []
    for _ in range(60):
        loss = wrong(puzzle.right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.25 * seen[0]
    assert float(wrong(puzzle.right.roll(32, 3)).detach()) > 1.25 * seen[-1], "another right image misleads it"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Pairs, a pretraining in one go, and a comparison of which each run was cut off once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
        patch.setattr("stereo_rt.training.pretrain.session.HELD_OUT", 2)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp("pretrain")
        write_pairs(folder / "pairs")
        on_pairs(folder, "whole")
        cut = [on_pairs(folder, "both", "--compare", "--minutes", "0").output]
        cut.append(on_pairs(folder, "both", "--compare", "--resume").output)
        torch.set_num_threads(before)
    (folder / "said.txt").write_text("\n".join(cut))
    return folder


def pretrain(*arguments: str, fails: bool = False) -> Result:
    result = CliRunner().invoke(cli.app, ["pretrain", *arguments])
    if not fails and result.exception:
        raise result.exception
    return result


def on_pairs(folder: Path, out: str, *more: str) -> Result:
    few = ("--steps", "3", "--batch", "2", "--device", "cpu", "--set", "size=64x64", "--set", "pretrain.ratio=0.75")
    small = (*few, "--data", str(folder / "pairs"), "--set", "data.share=1", "--set", "scenes.max_disparity_px=16")
    return pretrain("swin_cross", "-o", str(folder / out), *small, *more)


def weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / checkpoint.CHECKPOINT)[0]


def test_a_run_in_pieces_ends_like_a_whole_one_and_the_control_apart(place: Path) -> None:
    whole, pieces, control = (weights(place / name) for name in ("whole", "both/stereo", "both/left_only"))
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)
    assert whole.keys() == control.keys() and not all(torch.equal(whole[name], control[name]) for name in whole)
    said = (place / "said.txt").read_text()
    assert "saved at step 1 of 3, the time is up" in said and "fine-tune it with: stereo-rt train swin_cross --init" in said


def test_the_comparison_says_what_the_runs_say(place: Path) -> None:
    summary = json.loads((place / "both" / "compare.json").read_text())
    last = {mode: read_rows(place / "both" / mode / "eval.csv")[-1] for mode in ("stereo", "left_only")}
    for mode, row in last.items():
        assert summary["runs"][mode]["error"] == row["error"] > 0 and row["step"] == 3
    assert "misplaced" in last["stereo"] and "misplaced" not in last["left_only"]
    assert summary["gain"] == pytest.approx(last["left_only"]["error"] - last["stereo"]["error"], abs=2e-5)
    assert summary["gain_standard_error"] > 0 and 0 <= summary["pairs_better_in_stereo"] <= summary["pairs"] == 2
    words = [e.text for e in ElementTree.parse(place / "both" / "compare.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"stereo", "left only", "stereo, misplaced"} <= set(words)
    sheet = cv2.imread(str(place / "both" / "compare.png"))
    assert sheet.shape[1] > 5 * 320 and len(np.unique(sheet)) > 50
    assert (place / "both" / "stereo" / "curves.png").stat().st_size > 1000


def test_training_goes_on_from_it(place: Path, tmp_path: Path) -> None:
    few = ("--steps", "1", "--batch", "2", "--device", "cpu", "--set", "size=64x64", "--set", "optimizer.rate=1e-9")
    on = (*few, "--data", str(place / "pairs"), "--set", "data.share=1", "--init", str(place / "whole"), "--out", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["train", "swin_cross", *on])
    assert result.exit_code == 0, result.output
    net = build("swin_cross")
    carried = [name for name in net.state_dict() if name.startswith(("trunk.", "decoder."))]
    assert f"{place / 'whole'}: {len(carried)} of {len(net.state_dict())} tensors fit" in result.output
    before, after = (checkpoint.load(folder / checkpoint.AVERAGE)[0] for folder in (place / "whole", tmp_path))
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in carried if name.endswith("conv.weight"))
    with pytest.raises(ModelError, match="knows no disparities yet; train on with: stereo-rt train swin_cross --init"):
        open_origin(str(place / "whole"))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
    return load_tool("pretraining_gain")


def test_what_it_buys_is_a_table(
    place: Path, tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("size=64x64", "scenes.pool=1", "scenes.fresh=0", "scenes.max_disparity_px=16")
    given = [str(place / "both" / "stereo"), "-o", str(tmp_path), "--steps", "2", "--batch", "1", "--held-out", "1"]
    given += ["--grid", "96", "64", "--dataset", str(place / "pairs"), "--device", "cpu"]
    given += [word for each in small for word in ("--set", each)]
    monkeypatch.setattr("sys.argv", ["pretraining_gain.py", *given])
    tool.main()
    said = capsys.readouterr().out
    assert "scratch, seed 0: step 2 of 2" in said and "stereo, seed 0: step 2 of 2" in said and "tensors fit" in said
    rows = json.loads((tmp_path / "gain.json").read_text())["rows"]
    assert list(rows) == ["scratch", "stereo"]
    assert all(runs[0]["drawn"]["epe"] > 0 and runs[0]["dataset"]["bad2"] >= 0 for runs in rows.values())
    lines = (tmp_path / "gain.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| scratch", "| stereo"] and "bad-2, dataset" in lines[2]
    words = [e.text for e in ElementTree.parse(tmp_path / "gain.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"scratch", "stereo"} <= set(words)
    tool.main()
    assert "step 2 of 2" not in capsys.readouterr().out, "what is done is not done again"


def test_the_shipped_recipes_hide_most_of_the_image() -> None:
    for name in shipped_recipes("pretrain"):
        recipe = load_recipe(name, command="pretrain")
        assert recipe.pretrain and recipe.network == name and recipe.pretrain.ratio >= 0.85 and not recipe.pretrain.left_only


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("swin_cros",), "did you mean 'swin_cross'"),
        (("swin_cross", "--left-only", "--compare"), "leave --left-only out"),
        (("swin_cross", "--resume"), "holds no run to go on with"),
        (("swin_cross", "--set", "network=student_n"), "student_n has no trunk to pretrain"),
        (("swin_cross", "--set", "size=100x64"), "choose a side that divides both"),
        (("swin_cross", "--set", "size=80x64"), "choose multiples of 32"),
        (("swin_cross", "--set", "pretrain.ratio=1"), "pretrain.ratio"),
        (("swin_cross", "--set", "init=some.onnx"), "begins at random and has no teacher"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: tuple[str, ...], why: str, tmp_path: Path) -> None:
    result = pretrain(*arguments, "-o", str(tmp_path / "run"), "--device", "cpu", fails=True)
    assert isinstance(result.exception, StereoError) and why in str(result.exception)
    assert "\n" not in str(result.exception) and not list(tmp_path.iterdir())


def test_training_and_pretraining_do_not_mix(place: Path, tmp_path: Path) -> None:
    for arguments, why in (
        (("swin_cross", "--out", str(place / "whole"), "--resume"), "was begun with"),
        ((str(place / "whole" / "recipe.yaml"), "--out", str(tmp_path / "run")), "run it with stereo-rt pretrain"),
    ):
        result = CliRunner().invoke(cli.app, ["train", *arguments, "--device", "cpu"])
        assert isinstance(result.exception, StereoError) and why in str(result.exception)
    assert not list(tmp_path.iterdir())
