"""Metrics, datasets and `stereo-rt eval`, on scenes made here and against the independent scorer where it is present."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stereo_rt.cli import app as cli
from stereo_rt.config import MatchConfig
from stereo_rt.datasets import open_dataset
from stereo_rt.datasets.ours import find_scenes
from stereo_rt.errors import SourceError
from stereo_rt.evaluation.metrics import confidence_quality, error_rates, mean_of
from stereo_rt.evaluation.report import evaluate
from stereo_rt.frames import Disparity
from stereo_rt.matchers import create_matcher
from stereo_rt.sinks.files import read_pfm, write_pfm

cli.register()
SIZE = (160, 96)
FORMATS = {
    "wall": ("disp.pfm", 1.0, "inf"),
    "indoor/step": ("disp.png", 256.0, 0),
    "indoor/grey": ("disp.npz", 1.0, "inf"),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small scenes, each storing its disparity in another way; two steps of depth, an unknown strip, occlusion."""
    root = tmp_path_factory.mktemp("dataset")
    for seed, (name, (file, scale, invalid)) in enumerate(FORMATS.items()):
        folder = root / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        texture = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
        truth = np.full(SIZE[::-1], 6, np.float32)
        truth[30:70, 50:110] = 14
        columns = np.broadcast_to(np.arange(SIZE[0], dtype=np.float32), truth.shape)
        rows = np.broadcast_to(np.arange(SIZE[1], dtype=np.float32)[:, None], truth.shape)
        left = cv2.remap(texture, columns - truth, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        cv2.imwrite(str(folder / "left.png"), left)
        cv2.imwrite(str(folder / "right.png"), texture)
        truth[:5] = np.nan
        if file.endswith(".pfm"):
            write_pfm(folder / file, truth)
        elif file.endswith(".npz"):
            np.savez(folder / file, np.where(np.isnan(truth), np.inf, truth))
        else:
            cv2.imwrite(str(folder / file), np.nan_to_num(truth * scale).astype(np.uint16))
        if seed:
            cv2.imwrite(str(folder / "nocc.png"), np.where(columns > 14, 255, 128).astype(np.uint8))
        encoding = {"file": file, "scale": scale, "invalid": invalid, "offset": 0.0}
        (folder / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    (root / "without").mkdir()
    (root / "without" / "meta.json").write_text(json.dumps({"disparity_encoding": None}))
    return root


def test_rates_by_hand() -> None:
    truth = np.array([[10, 10, 10, 100, np.nan, 10]], np.float32)
    found = np.array([[10.5, 11.5, 14, 104, 3, np.nan]], np.float32)
    rates = error_rates(truth, found)
    assert rates is not None
    assert rates["bad1"] == pytest.approx(80) and rates["bad2"] == pytest.approx(60) and rates["bad3"] == pytest.approx(60)
    assert rates["d1"] == pytest.approx(40)  # 4 px of 100 is within 5 %
    assert rates["epe"] == pytest.approx((0.5 + 1.5 + 4 + 4) / 4)
    assert rates["rmse"] == pytest.approx(np.sqrt((0.25 + 2.25 + 16 + 16) / 4))
    assert rates["density"] == pytest.approx(80)
    assert error_rates(np.full((2, 2), np.nan), np.ones((2, 2))) is None
    nothing = error_rates(truth, np.full_like(truth, np.nan))
    assert nothing is not None and nothing["epe"] is None and nothing["bad1"] == 100


def ranking(bad: np.ndarray, confidence: np.ndarray) -> dict[str, float | None]:
    quality = confidence_quality(np.ones(bad.shape), 1 + 5.0 * bad, confidence)
    assert quality is not None
    return quality


def test_a_perfect_ranking_has_no_excess_and_a_constant_one_is_chance() -> None:
    bad = np.random.default_rng(0).random(4000) < 0.2
    perfect, reverse, constant = ranking(bad, 1.0 - bad), ranking(bad, 1.0 * bad), ranking(bad, np.full(4000, 0.5))
    assert perfect["ause"] == pytest.approx(0, abs=1e-9) and perfect["roc_auc"] == 1
    assert reverse["roc_auc"] == 0
    assert constant["auc"] == pytest.approx(100 * bad.mean()) and constant["roc_auc"] == 0.5


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.3, 0.7, 1.0])), min_size=2, max_size=60))
def test_roc_auc_equals_counting_pairs(pixels: list[tuple[bool, float]]) -> None:
    bad, confidence = np.array([p[0] for p in pixels]), np.array([p[1] for p in pixels])
    wins = [np.sign(r - w) / 2 + 0.5 for r in confidence[~bad] for w in confidence[bad]]
    quality = ranking(bad, confidence)
    assert quality["roc_auc"] == (pytest.approx(np.mean(wins)) if wins else None)
    assert quality["ause"] is not None and quality["ause"] >= -1e-9


def test_mean_skips_what_is_missing() -> None:
    assert mean_of([{"a": 1.0, "b": None}, None, {"a": 3.0, "b": 5.0}]) == {"a": 2.0, "b": 5.0}
    assert mean_of([None]) is None


def test_scenes_are_read_whatever_the_encoding(dataset: Path) -> None:
    scenes = find_scenes(dataset)
    assert [s.name for s in scenes] == sorted(FORMATS)
    for scene in scenes:
        truth = scene.truth_px()
        assert truth.shape == SIZE[::-1]
        assert np.isnan(truth[:5]).all() and np.nanmin(truth) == 6 and np.nanmax(truth) == 14
    assert scenes[-1].not_occluded() is None


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ("{", "not a JSON"),
        ("[]", "not a JSON"),
        ('{"disparity_encoding": {"file": "d.png"}}', "lacks scale, invalid"),
        ('{"disparity_encoding": ["file", "scale", "invalid"]}', "no table"),
        ('{"disparity_encoding": {"file": "d.png", "scale": "x", "invalid": 0}}', "no number"),
        ('{"disparity_encoding": {"file": "d.png", "scale": 0, "invalid": 0}}', "scale is 0"),
        ('{"disparity_encoding": {"file": "d.png", "scale": 1, "offset": null, "invalid": 0}}', "no number"),
    ],
)
def test_a_broken_description_is_one_sentence(tmp_path: Path, meta: str, why: str) -> None:
    (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(SourceError, match=why):
        find_scenes(tmp_path)


def test_a_mask_of_another_size_is_one_sentence(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "copy")
    for mask in (tmp_path / "copy").rglob("nocc.png"):
        cv2.imwrite(str(mask), np.full((8, 9), 255, np.uint8))
    wrong = pytest.raises(SourceError, match=r"mask of what both eyes see differ in size \(160x96 and 9x8\)")
    with closing(create_matcher(MatchConfig(backend="sgbm"))) as matcher, wrong:
        evaluate(matcher, open_dataset(tmp_path / "copy"))


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no scene with ground truth"):
        find_scenes(tmp_path)


@pytest.fixture(scope="module")
def evaluated(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What `stereo-rt eval` writes, by its own command line: the JSON and the folder of predictions."""
    out = tmp_path_factory.mktemp("evaluated")
    arguments = [str(dataset), "--backend", "sgbm", "--json", str(out / "report.json"), "--save", str(out / "predictions")]
    result = CliRunner().invoke(cli.app, ["eval", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "mean" in result.output and "wall" in result.output
    return json.loads((out / "report.json").read_text()), out / "predictions"


def test_eval_writes_every_figure(evaluated: tuple[dict, Path]) -> None:
    report, _ = evaluated
    assert set(report["scenes"]) == set(FORMATS)
    for name, scene in report["scenes"].items():
        assert {"epe", "bad1", "bad2", "bad3", "d1"} <= set(scene["all"])
        assert (scene["noc"] is None) == (name == "wall")
        assert set(scene["confidence"]) == {"auc", "auc_opt", "ause", "roc_auc", "ece_target", "ece_2px"}
        assert 0 < scene["density"] <= 100
        assert scene["all"]["bad2"] < 25
        assert scene["confidence"]["auc"] < 0.6 * scene["all"]["bad2"]
    assert report["mean"]["all"]["bad2"] == pytest.approx(np.mean([s["all"]["bad2"] for s in report["scenes"].values()]))
    assert report["latency_ms"] > 0


def test_saved_predictions_give_the_same_figures(evaluated: tuple[dict, Path], dataset: Path) -> None:
    report, folder = evaluated
    for scene in find_scenes(dataset):
        found = Disparity(
            read_pfm(folder / scene.name / "disparity.pfm"), np.load(folder / scene.name / "confidence.npy", allow_pickle=False)
        )
        rates = error_rates(scene.truth_px(), found.disparity_px)
        quality = confidence_quality(scene.truth_px(), found.disparity_px, found.confidence)
        assert rates is not None and quality is not None
        assert rates["epe"] == pytest.approx(report["scenes"][scene.name]["all"]["epe"])
        assert quality["ause"] == pytest.approx(report["scenes"][scene.name]["confidence"]["ause"])


def check_against_scorer(report: dict, dataset: Path, predictions: Path, shared_data: Path, ranking_within: float) -> None:
    """Every figure that shared/tools/score.py has too, of every scene."""
    scorer = shared_data.parent / "tools" / "score.py"
    if not scorer.is_file():
        pytest.skip("the independent scorer is not on this machine")
    file = predictions / "theirs.json"
    subprocess.run([sys.executable, scorer, dataset, predictions, "--json", file], check=True, capture_output=True)
    for name, theirs in json.loads(file.read_text())["scenes"].items():
        ours = report["scenes"][name]
        assert ours["density"] == pytest.approx(theirs["all"]["density"], abs=0.01)
        for part in ("all", "noc", "confidence"):
            for key in set(theirs[part] or ()) - {"density", "auc_random"}:
                within = ranking_within if part == "confidence" else 0.01
                assert ours[part][key] == pytest.approx(theirs[part][key], abs=within), (name, part, key)


def test_the_independent_scorer_agrees(evaluated: tuple[dict, Path], dataset: Path, shared_data: Path) -> None:
    # Pixels of equal confidence are drawn at random there and averaged here: a little noise on few pixels.
    check_against_scorer(evaluated[0], dataset, evaluated[1], shared_data, ranking_within=0.03)


@pytest.mark.parametrize("backend", ["sgbm", "onnx"])
def test_the_independent_scorer_agrees_on_real_scenes(backend: str, shared_data: Path, tmp_path: Path) -> None:
    dataset, file = shared_data / "middlebury2003", tmp_path / "ours.json"
    result = CliRunner().invoke(
        cli.app, ["eval", str(dataset), "--backend", backend, "--save", str(tmp_path / "p"), "--json", str(file)]
    )
    assert result.exception is None, result.output
    check_against_scorer(json.loads(file.read_text()), dataset, tmp_path / "p", shared_data, ranking_within=0.01)


def test_ground_truth_of_another_size_is_one_sentence(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    scene = find_scenes(dataset)[-1]
    for eye in ("left", "right"):
        cv2.imwrite(str(tmp_path / f"{eye}.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "disp.pfm").write_bytes((scene.folder / "disp.pfm").read_bytes())
    (tmp_path / "meta.json").write_bytes((scene.folder / "meta.json").read_bytes())
    result = CliRunner().invoke(cli.app, ["eval", str(tmp_path), "--backend", "sgbm", "--json", str(tmp_path / "r.json")])
    assert isinstance(
        result.exception, SourceError
    ) and f"{tmp_path}: the left image and 'truth_px' differ in size (30x20 and 160x96)" in str(result.exception)
    assert not (tmp_path / "r.json").exists()
