"""The parts of training that are plain functions: learning rate, average, mixture, recipes, tables, plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from training_kit import TinyNet  # noqa: E402

from stereo_rt.errors import ConfigError  # noqa: E402
from stereo_rt.nets import build  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.chance import generator, mixed_seed  # noqa: E402
from stereo_rt.training.ema import Ema  # noqa: E402
from stereo_rt.training.mixture import MixedStream  # noqa: E402
from stereo_rt.training.plot import HEIGHT, WIDTH, Line, Panel, draw  # noqa: E402
from stereo_rt.training.recipe import ScheduleRecipe, differences, load_recipe, shipped_recipes, to_yaml  # noqa: E402
from stereo_rt.training.schedule import rate_factor  # noqa: E402
from stereo_rt.training.table import Table, read_rows  # noqa: E402


@given(st.integers(1, 3000), st.floats(0, 0.3), st.floats(0.3, 0.95), st.floats(0, 0.2))
def test_the_rate_rises_holds_and_falls(steps: int, warm_up: float, hold: float, floor: float) -> None:
    schedule = ScheduleRecipe(warm_up=warm_up, hold_until=hold, floor=floor)
    rates = np.array([rate_factor(step, steps, schedule) for step in range(steps)])
    at = np.arange(steps)
    assert (rates >= 0).all() and (rates <= 1 + 1e-12).all()
    assert (rates[:-1] > 0).all(), "no step is in vain"
    assert (np.diff(rates[at <= warm_up * steps - 1]) > 0).all()
    assert np.allclose(rates[(at + 1 >= warm_up * steps) & (at <= hold * steps)], 1)
    assert (np.diff(rates[at >= max(hold, warm_up) * steps]) <= 1e-12).all()
    assert rate_factor(steps, steps, schedule) == pytest.approx(floor)


def test_the_average_is_its_plain_twin() -> None:
    torch.manual_seed(0)
    net = TinyNet()
    ema = Ema(net, 0.9)
    expected = {name: value.double().numpy().copy() for name, value in net.state_dict().items()}
    for step in range(20):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        net.norm.num_batches_tracked += 1
        ema.update(step)
        keep = min(0.9, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            now = value.double().numpy()
            expected[name] = now if name.endswith("tracked") else keep * expected[name] + (1 - keep) * now
    assert all(np.allclose(value, expected[name], atol=1e-5) for name, value in ema.net.state_dict().items())
    assert not ema.net.training and not any(p.requires_grad for p in ema.net.parameters())


class Counter:
    """Says which step it was asked for, in place of a batch."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, step: int) -> Batch:
        self.asked.append(step)
        empty = torch.empty(0)
        return Batch(empty, empty, empty, empty)


@given(st.lists(st.floats(0.05, 5), min_size=1, max_size=4), st.integers(1, 300))
def test_a_mixture_keeps_its_proportions_and_leaves_out_no_step(weights: list[float], steps: int) -> None:
    streams = [Counter() for _ in weights]
    mixed = MixedStream(streams, weights)
    for step in range(steps):
        mixed.batch(step)
    assert all(stream.asked == list(range(len(stream.asked))) for stream in streams)
    for stream, weight in zip(streams, weights, strict=True):
        assert abs(len(stream.asked) - steps * weight / sum(weights)) <= len(weights) + steps * 1e-2
    again = Counter()
    MixedStream([again, *streams[1:]], weights).batch(steps - 1)
    assert again.asked == streams[0].asked[-1:] or not again.asked, "a step is a function of its number"


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        MixedStream([Counter(), Counter()], weights)


def test_seeds_are_told_apart_by_each_of_their_numbers() -> None:
    names = [(0, 1), (1, 0), (1, 1), (2, 1), (1, 2), (1 << 31, 1)]
    assert len({mixed_seed(*n) for n in names}) == len(names)
    draws = {float(torch.rand((), generator=generator(*n))) for n in names}
    assert len(draws) == len(names)


def test_every_shipped_recipe_is_of_the_network_it_is_named_after() -> None:
    assert {"student_s", "student_m", "student_l"} <= set(shipped_recipes())
    seeds = set()
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert recipe.network == name
        width, height = recipe.size
        net = build(name)
        assert width % net.multiple_px == height % net.multiple_px == 0
        seeds.add(recipe.seed)
    assert len(seeds) == len(shipped_recipes())


def test_a_recipe_reads_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = load_recipe(
        "student_s", ["optimizer.rate=1e-4", "size=128x64"], {"data.folders": ["kitti:there"], "init": "x.onnx"}
    )
    (tmp_path / "r.yaml").write_text(to_yaml(recipe))
    again = load_recipe(str(tmp_path / "r.yaml"))
    assert again == recipe and not list(differences(again, recipe))
    other = load_recipe(str(tmp_path / "r.yaml"), ["optimizer.rate=2e-4"])
    assert list(differences(recipe, other)) == [("optimizer.rate", 1e-4, 2e-4)]


@pytest.mark.parametrize(
    ("name", "assignment", "why"),
    [
        ("student_x", "seed=1", "no recipe named 'student_x'; did you mean 'student_"),
        ("zzz", "seed=1", "there are .*student_s"),
        ("gone.yaml", "seed=1", "cannot be read"),
        ("student_s", "optimizer.rat=1", "did you mean 'optimizer.rate'"),
        ("student_s", "zzz=1", "does not exist; there are network, "),
        ("student_s", "steps=0", "'steps' is wrong"),
        ("student_s", "loss.regression=l2", "l1_ssim"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(name: str, assignment: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        load_recipe(name, [assignment])
    assert "\n" not in str(caught.value)


def test_a_table_survives_a_cut_and_forgets_what_will_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    table = Table(file, 0)
    for step in range(1, 6):
        table.add({"step": step, "loss": 1 / step})
    assert read_rows(file) == table.rows or np.allclose(
        [r["loss"] for r in read_rows(file)], [1 / s for s in range(1, 6)], rtol=1e-5
    )
    whole = file.read_bytes()
    file.write_bytes(whole + b"step,loss\n7\n8,9,10\n")
    assert [row["step"] for row in read_rows(file)] == [1, 2, 3, 4, 5]
    file.write_bytes(whole[:-3])
    assert [row["step"] for row in read_rows(file)] == [1, 2, 3, 4]
    again = Table(file, 3)
    again.add({"step": 4, "loss": 9.0})
    assert [row["step"] for row in read_rows(file)] == [1, 2, 3, 4] and read_rows(file)[-1]["loss"] == 9
    assert not Table(file, 0).rows and not file.exists()


def test_a_plot_shows_its_lines_and_bears_any_numbers() -> None:
    falling = Line("loss", [1, 2, 3], [100.0, 10.0, 1.0])
    image = draw([Panel("a", "step", (falling,), logarithmic=True), Panel("b", "step", ())])
    assert image.shape == (2 * HEIGHT, WIDTH, 3)
    color = np.array([80, 180, 255])
    ys, xs = np.nonzero((np.abs(image[60:HEIGHT].astype(int) - color) < 40).all(2))
    assert len(xs) > 300 and np.corrcoef(xs, ys)[0, 1] > 0.99, "a straight fall, on a logarithmic axis"
    odd = Line("odd", [0, 1, 2, 3], [float("nan"), float("inf"), -1.0, 0.0])
    assert draw([Panel("c", "step", (odd,), logarithmic=True), Panel("d", "step", (odd,))]).shape[0] == 2 * HEIGHT
