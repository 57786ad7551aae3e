"""`stereo-rt distill` from the command line: labels, then a student; what an interruption changes (nothing), refusals."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.cli.app import main

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
load_file = pytest.importorskip("safetensors.torch").load_file

STEPS = 3
RECIPE = f"""
network: student_n
steps: {STEPS}
batch: 1
size: [128, 64]
scenes: {{pool: 2, fresh: 1, max_disparity_px: 64}}
"""
Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def few_textures() -> Iterator[None]:
    """Drawing them all takes longer than everything else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stereo_rt.training.scenes.stream.TEXTURES", 3)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """recipe.yaml, and pairs/: a tree of two scenes nobody labelled."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("distill")
    (folder / "recipe.yaml").write_text(RECIPE)
    rng = np.random.default_rng(3)
    for k in range(2):
        wall = cv2.GaussianBlur(rng.integers(0, 255, (96, 200, 3), np.uint8), (0, 0), 1.2)
        (folder / "pairs" / f"scene{k}").mkdir(parents=True)
        for eye, at in (("left", 0), ("right", 9)):
            cv2.imwrite(str(folder / "pairs" / f"scene{k}" / f"{eye}.png"), wall[:, at : at + 160])
    return folder


@pytest.fixture
def run(place: Path) -> Run:
    def run(*args: object) -> int:
        with pytest.raises(SystemExit) as e:
            main(["distill", str(place / "recipe.yaml"), *map(str, args), "--device", "cpu"])
        return int(e.value.code or 0)

    return run


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """A run without interruption, by a network as teacher that answers for its distributions and features too."""
    out = place / "whole"
    with pytest.raises(SystemExit) as e:
        arguments = [
            "--teacher",
            "student_s",
            "--pairs",
            str(place / "pairs"),
            "-o",
            str(out),
            "--min-conf",
            "0",
            "--device",
            "cpu",
        ]
        main(["distill", str(place / "recipe.yaml"), *arguments])
    assert not e.value.code
    return out


def test_labels_and_a_student_come_out(whole: Path) -> None:
    assert len(list((whole / "labels").rglob("disparity.pfm"))) == 2
    rows = list(csv.DictReader((whole / "run" / "curves.csv").open()))
    assert int(rows[-1]["step"]) == STEPS
    for term in ("extra_disparity", "extra_distribution", "extra_features", "extra_ema"):
        assert all(np.isfinite(float(row[term])) for row in rows), term
    weights = load_file(whole / "run" / "ema.safetensors")
    assert not any(name.startswith("projections") for name in weights)


def test_an_interrupted_run_ends_like_one_that_was_not(run: Run, place: Path, whole: Path) -> None:
    out = place / "parts"
    common = ("--teacher", "student_s", "--pairs", place / "pairs", "-o", out, "--min-conf", 0)
    assert run(*common, "--steps", 0) == 0
    assert not (out / "run").exists()
    (out / "labels").rename(place / "aside")
    (place / "aside").rename(out / "labels")
    same_labels = ("--recipe", f"distill.labels=[{whole / 'labels'}]")  # the same files, named by another path
    assert run(*common, "--minutes", 0, *same_labels) == 0
    assert run(*common, "--resume", *same_labels) == 0
    ours, theirs = (load_file(folder / "run" / "ema.safetensors") for folder in (out, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_term_without_weight_is_absent_and_labels_may_be_all_there_is(run: Run, place: Path) -> None:
    out = place / "labels_only"
    common = ("--teacher", "sgbm", "--pairs", place / "pairs", "-o", out, "--set", "match.sgbm.max_disparity_px=32")
    assert run(*common, "--no-synthetic", "--steps", 1, "--recipe", "distill.ema=0") == 0
    (row,) = csv.DictReader((out / "run" / "curves.csv").open())
    assert {name for name in row if name.startswith("extra_")} == {"extra_disparity", "extra_distribution"}


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--teacher", "self"), 2, "--init"),
        (("--teacher", "sgbm"), 2, "holds no labels yet"),
        (("--teacher", "student_x", "--pairs", "PAIRS"), 1, "did you mean"),
        (("--teacher", "external:m:f", "--pairs", "PAIRS"), 2, "--teacher-clone"),
        (("--teacher", "sgbm", "--pairs", "NOWHERE"), 1, "NOWHERE"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    run: Run, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, why: str
) -> None:
    named = [str(place / "pairs") if a == "PAIRS" else a for a in arguments]
    assert run(*named, "-o", tmp_path / "out") == code
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
