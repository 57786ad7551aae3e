"""The trainer: a run that was cut off anywhere ends like one that was not, to the last bit; and what it refuses."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import Tensor, nn  # noqa: E402
from training_kit import TinyNet, TinyStream, one_thread  # noqa: E402, F401

from stereo_rt.errors import ConfigError, ModelError, OutputError, StereoError  # noqa: E402
from stereo_rt.training import checkpoint  # noqa: E402
from stereo_rt.training import folder as folders  # noqa: E402
from stereo_rt.training.batch import Batch, Stream  # noqa: E402
from stereo_rt.training.folder import RunFolder  # noqa: E402
from stereo_rt.training.parallel import Crew  # noqa: E402
from stereo_rt.training.recipe import OptimizerRecipe, Recipe  # noqa: E402
from stereo_rt.training.table import read_rows  # noqa: E402
from stereo_rt.training.trainer import Ended, Habits, Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = Recipe(network="student_n", steps=30, batch=2, seed=5, size=(32, 16))
CREW = Crew(torch.device("cpu"))
HABITS = Habits(log_every=2, save_every=7)


class Slow(TinyStream):
    """So that a signal has a chance to come in time."""

    def batch(self, step: int) -> Batch:
        time.sleep(0.05)
        return super().batch(step)


def begin(
    folder: Path,
    resume: bool = False,
    stream: Stream | None = None,
    recipe: Recipe = RECIPE,
    extra: nn.Module | None = None,
    habits: Habits = HABITS,
) -> Trainer:
    torch.manual_seed(0)
    net = TinyNet()
    return Trainer(net, stream or TinyStream(), recipe, RunFolder(folder, recipe, CREW, resume), CREW, habits, extra)


def everything(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / checkpoint.CHECKPOINT)[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert begin(folder).run() is Ended.DONE
    torch.set_num_threads(before)
    return folder


def test_it_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = RECIPE.model_copy(update={"steps": 120, "batch": 8, "optimizer": OptimizerRecipe(rate=0.02)})
    folder = RunFolder(tmp_path, recipe, CREW, False)
    Trainer(TinyNet(norm=False, dropout=0.0), TinyStream(batch=8), recipe, folder, CREW, Habits(10, 120)).run()
    rows = read_rows(tmp_path / "curves.csv")
    prior = math.log(13)  # the cross-entropy of knowing nothing but that there are thirteen disparities
    assert rows[-1]["distribution"] < prior - 0.2 < rows[0]["distribution"] and rows[-1]["bad1"] < rows[0]["bad1"]


def test_it_keeps_its_curves(whole: Path) -> None:
    rows = read_rows(whole / "curves.csv")
    assert [row["step"] for row in rows] == list(range(2, 31, 2))
    assert {"rate", "full", "coarse", "distribution", "confidence", "bad1", "bad2", "bad3", "samples_per_s"} <= rows[0].keys()
    assert rows[-1]["rate"] < rows[5]["rate"]
    assert (whole / "curves.png").stat().st_size > 1000


def test_a_seed_is_a_run(whole: Path, tmp_path: Path) -> None:
    begin(tmp_path / "same").run()
    assert same(everything(tmp_path / "same"), everything(whole))
    begin(tmp_path / "other", stream=TinyStream(seed=1)).run()
    assert not same(everything(tmp_path / "other"), everything(whole))


@pytest.mark.parametrize("stops", [(0.0,), (0.0, 0.0, 0.0)])
def test_a_run_in_pieces_ends_like_a_whole_one(whole: Path, tmp_path: Path, stops: tuple[float, ...]) -> None:
    """A deadline in the past still allows a step: each piece is one step long."""
    for i, deadline in enumerate(stops):
        trainer = begin(tmp_path / "run", resume=i > 0)
        assert trainer.run(deadline) is Ended.TIME and trainer.step == i + 1
    assert begin(tmp_path / "run", resume=True).run() is Ended.DONE
    assert same(everything(tmp_path / "run"), everything(whole))
    steps = [row["step"] for row in read_rows(tmp_path / "run" / "curves.csv")]
    assert steps == sorted(set(steps)) and steps[-1] == 30


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import test_training_run as here
ended = here.begin(Path(sys.argv[2]), stream=here.Slow()).run()
print(ended.name, flush=True)
"""


def interrupted_by(number: int, folder: Path, at_step: int) -> str:
    """Begin a run in another process, and send it a signal once its curves show the step."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(folder)], stdout=subprocess.PIPE)
    try:
        give_up = time.monotonic() + 120
        while not any(row["step"] >= at_step for row in read_rows(folder / "curves.csv")):
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.01)
        process.send_signal(number)
        return process.communicate(timeout=60)[0].decode()
    finally:
        process.kill()
        process.wait()


def test_killed_between_two_checkpoints_it_ends_like_a_whole_one(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert interrupted_by(signal.SIGKILL, folder, at_step=10) == ""
    saved = checkpoint.load(folder / checkpoint.CHECKPOINT)[1]["step"]
    assert saved % HABITS.save_every == 0 and read_rows(folder / "curves.csv")[-1]["step"] > saved, "the kill cost some steps"
    assert begin(folder, resume=True).run() is Ended.DONE
    assert same(everything(folder), everything(whole))
    assert [row["step"] for row in read_rows(folder / "curves.csv")][-1] == 30
    assert not list(folder.glob(".*")), "no temporary file is left"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_first(whole: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "run"
    assert interrupted_by(number, folder, at_step=2).strip() == "SIGNAL"
    saved = checkpoint.load(folder / checkpoint.CHECKPOINT)[1]["step"]
    assert saved == read_rows(folder / "curves.csv")[-1]["step"] < 30, "nothing was lost"
    assert begin(folder, resume=True).run() is Ended.DONE
    assert same(everything(folder), everything(whole))


def test_a_run_that_is_done_stays_as_it_is(whole: Path) -> None:
    before = {file.name: file.read_bytes() for file in whole.iterdir() if file.suffix == ".safetensors"}
    assert begin(whole, resume=True).run() is Ended.DONE
    assert all((whole / name).read_bytes() == data for name, data in before.items())


class Pull(nn.Module):
    """An extra term with a weight of its own, such as distillation has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, net: nn.Module, ema: nn.Module, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        value = (self.weight**2).sum()
        return value, {"pull": value}


def test_an_extra_term_is_trained_kept_and_shown(tmp_path: Path) -> None:
    begin(tmp_path / "whole", extra=Pull()).run()
    begin(tmp_path / "parts", extra=Pull()).run(0.0)
    extra = Pull()
    begin(tmp_path / "parts", resume=True, extra=extra).run()
    assert same(everything(tmp_path / "parts"), everything(tmp_path / "whole"))
    assert float(extra.weight.detach().max()) < 1
    assert "extra_pull" in read_rows(tmp_path / "parts" / "curves.csv")[0]


class Broken(TinyStream):
    """From the twelfth step on, an image is no image."""

    def batch(self, step: int) -> Batch:
        batch = super().batch(step)
        return replace(batch, left=batch.left * torch.nan) if step >= 11 else batch


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    with pytest.raises(StereoError, match=r"not a number any more, at about step 12; the checkpoint of step 7 .* is kept"):
        begin(tmp_path / "run", stream=Broken()).run()
    tensors, facts = checkpoint.load(tmp_path / "run" / checkpoint.CHECKPOINT)
    assert facts["step"] == 7 and all(bool(torch.isfinite(value).all()) for value in tensors.values())
    average, _ = checkpoint.load(tmp_path / "run" / checkpoint.AVERAGE)
    assert all(bool(torch.isfinite(value).all()) for value in average.values())


def test_the_folder_of_another_run_is_not_touched(whole: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    with pytest.raises(OutputError, match="holds a run already; add --resume"):
        begin(whole)
    other = RECIPE.model_copy(update={"steps": 60})
    with pytest.raises(ConfigError, match="was begun with steps = 30, not 60"):
        begin(whole, resume=True, recipe=other)
    with pytest.raises(OutputError, match="holds no run to go on with"):
        begin(tmp_path / "nothing", resume=True)
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before and not (tmp_path / "nothing").exists()


class Meddling(TinyStream):
    """While the run is under way, somebody begins the same one beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.said = folder, ""

    def batch(self, step: int) -> Batch:
        if step == 9:
            with pytest.raises(OutputError) as refused:
                begin(self.folder, resume=True).run()
            self.said = str(refused.value)
        return super().batch(step)


def test_two_trainings_do_not_share_a_folder(whole: Path, tmp_path: Path) -> None:
    stream = Meddling(tmp_path / "run")
    assert begin(stream.folder, stream=stream).run() is Ended.DONE
    assert "another training is writing there; wait for its end" in stream.said
    assert [row["step"] for row in read_rows(stream.folder / "curves.csv")] == [
        row["step"] for row in read_rows(whole / "curves.csv")
    ]


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    begin(tmp_path / "run").run(0.0)
    file = tmp_path / "run" / checkpoint.CHECKPOINT
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read as weights"):
        begin(tmp_path / "run", resume=True)


@pytest.mark.parametrize("file", [checkpoint.CHECKPOINT, checkpoint.AVERAGE, checkpoint.STATE])
def test_a_disk_that_fills_up_at_the_last_save_is_made_good_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def full(path: Path, *rest: object) -> None:
        if path.name == file and begun.step == RECIPE.steps:
            raise OutputError("the disk is full")
        (save if len(rest) == 2 else write_bytes)(path, *rest)

    save, write_bytes = checkpoint.save, folders.write_bytes
    monkeypatch.setattr(checkpoint, "save", full)
    monkeypatch.setattr(folders, "write_bytes", full)
    begun = begin(tmp_path)
    with pytest.raises(OutputError, match="the disk is full"):
        begun.run()
    monkeypatch.undo()
    assert begin(tmp_path, resume=True).run() is Ended.DONE
    assert same(everything(tmp_path), everything(whole))
    assert checkpoint.load(tmp_path / checkpoint.AVERAGE)[1]["step"] == RECIPE.steps
    assert json.loads((tmp_path / checkpoint.STATE).read_text())["step"] == RECIPE.steps


def test_a_full_disk_is_one_sentence_and_costs_no_checkpoint(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = tmp_path / "run"
    begin(folder).run(0.0)
    before = (folder / checkpoint.CHECKPOINT).read_bytes()
    trainer = begin(folder, resume=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match=r"ema.safetensors: cannot be written .*; free some space"):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder / checkpoint.CHECKPOINT).read_bytes() == before and not list(folder.glob(".*"))


CREW_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import test_training_run as here
from stereo_rt.training.parallel import crew
with crew("cpu") as mates:
    here.member(mates, Path(sys.argv[2]))
"""
TOGETHER = RECIPE.model_copy(update={"steps": 6, "batch": 2})


class Noting(TinyStream):
    seen: float = 0.0

    def batch(self, step: int) -> Batch:
        batch = super().batch(step)
        self.seen += float(batch.left.sum())
        return batch


def member(mates: Crew, folder: Path) -> None:
    """What each process of a crew does; it leaves its weights and what it saw beside the run."""
    torch.manual_seed(mates.rank)  # they begin apart, and must begin as one
    net, stream = TinyNet(norm=False, dropout=0.0), Noting(batch=1, seed=mates.rank)
    Trainer(net, stream, TOGETHER, RunFolder(folder / "run", TOGETHER, mates, False), mates, HABITS).run()
    facts = {"rank": mates.rank, "size": mates.size, "seen": stream.seen}
    checkpoint.save(folder / f"rank{mates.rank}.safetensors", net.state_dict(), facts)


class Both:
    """What two processes see, to one."""

    def batch(self, step: int) -> Batch:
        one, two = (TinyStream(batch=1, seed=rank).batch(step) for rank in range(2))
        images = (torch.cat([getattr(one, name), getattr(two, name)]) for name in ("left", "right", "disparity_px", "occluded"))
        return Batch(*images)


def test_two_processes_stay_together_and_do_the_work_of_one(tmp_path: Path) -> None:
    script = tmp_path / "member.py"
    script.write_text(CREW_SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run([*launch, str(Path(__file__).parent), str(tmp_path)], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    (one, facts), (two, others) = (checkpoint.load(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert same(one, two)
    assert facts["size"] == others["size"] == 2 and facts["seen"] != others["seen"]
    assert len(read_rows(tmp_path / "run" / "curves.csv")) == 3, "one of them writes"

    torch.manual_seed(0)
    net = TinyNet(norm=False, dropout=0.0)
    Trainer(net, Both(), TOGETHER, RunFolder(tmp_path / "alone", TOGETHER, CREW, False), CREW, HABITS).run()
    torch.manual_seed(0)
    first = TinyNet(norm=False, dropout=0.0)
    for name, value in net.state_dict().items():
        moved = float((value - first.state_dict()[name]).norm())
        assert float((value - one[name]).norm()) < 0.2 * moved, name
