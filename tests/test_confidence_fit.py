"""A confidence learned on hand-made cues: fitted by scikit-learn, kept as ONNX, run without scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.cli import app as cli
from stereo_rt.confidence import Evidence, find_method
from stereo_rt.confidence.cues import CUES, cues_for, rows
from stereo_rt.confidence.regressor import KEY, Regressor, calibrated
from stereo_rt.confidence.samples import Samples, collect, drawn_scenes
from stereo_rt.config import MatchConfig
from stereo_rt.datasets import Sample
from stereo_rt.errors import ModelError, SourceError, UsageError
from stereo_rt.evaluation.metrics import confidence_quality
from stereo_rt.frames import Disparity
from stereo_rt.matchers import Matcher, create_matcher
from stereo_rt.paths import engines
from stereo_rt.sinks.files import write_pfm
from stereo_rt.sources.synthetic import SyntheticCamera

SIZE = (160, 120)
SCENES, PIXELS = 5, 60
KINDS = ("forest", "boosting", "neighbours")


def scene(seed: int) -> Sample:
    """A room with exact truth."""
    camera = SyntheticCamera(size=SIZE, seed=seed)
    frame = camera.frame(0)
    return Sample(frame.left, frame.right, camera.ground_truth(0).disparity_px)


@pytest.fixture(scope="module")
def matcher():
    matcher = create_matcher(MatchConfig.model_validate({"backend": "sgbm", "sgbm": {"max_disparity_px": 64}}))
    yield matcher
    matcher.close()


@pytest.fixture(scope="module")
def samples(matcher: Matcher) -> Samples:
    return collect(map(scene, range(SCENES)), matcher, PIXELS)


@pytest.fixture(scope="module")
def fitted(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """kind -> (scikit-learn's estimator, the file)."""
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from stereo_rt.confidence import fitting

    found = {}
    for kind in KINDS:
        result = fitting.fit(samples, kind, "sgbm_3way", "rooms", folds=2, grid=SMALL[kind])
        file = tmp_path_factory.mktemp("fitted") / f"{kind}.onnx"
        fitting.write(result, file)
        found[kind] = result, file
    return found


SMALL = {
    "forest": {"n_estimators": [8], "min_samples_leaf": [5, 20]},
    "boosting": {"n_estimators": [10], "max_depth": [2, 3]},
    "neighbours": {"kneighborsclassifier__n_neighbors": [5, 20]},
}


def test_samples_are_cues_at_known_pixels(samples: Samples, matcher: Matcher) -> None:
    assert samples.cues.shape == (SCENES * PIXELS, len(samples.names)) and samples.cues.dtype == np.float32
    assert np.isfinite(samples.cues).all() and samples.cues.min() >= 0 and samples.cues.max() <= 1
    assert np.bincount(samples.scene).tolist() == [PIXELS] * SCENES
    assert 0 < samples.right.mean() < 1
    assert [cue.name for cue in samples.names] == [name for name, cue in CUES.items() if not cue.need.value]
    again = collect(map(scene, range(2)), matcher, PIXELS)
    np.testing.assert_array_equal(again.cues, samples.cues[: 2 * PIXELS])


def test_every_cue_of_any_matcher_tells_something(samples: Samples) -> None:
    for k, cue in enumerate(samples.names):
        assert samples.cues[:, k].std() > 0, cue.name
    towards_right = {"left_right", "variance", "curvature", "median", "photometric"}
    for k, cue in enumerate(samples.names):
        if cue.name in towards_right:
            assert samples.cues[samples.right, k].mean() > samples.cues[~samples.right, k].mean(), cue.name


def test_a_network_in_torch_gives_the_cues_of_its_distribution() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from stereo_rt.matchers.torch import TorchMatcher

    network = TorchMatcher(MatchConfig(backend="torch", device="cpu", threads=1), scale=0.25)
    seen = scene(0)
    evidence = Evidence(seen.left, seen.right, network(seen.left, seen.right), network)
    names = cues_for(network)
    assert list(CUES.values()) == list(names)
    assert rows(evidence, names, np.ones(SIZE[::-1], bool)).shape == (SIZE[0] * SIZE[1], len(CUES))
    network.close()


@given(st.floats(0.5, 5), st.floats(0, 200), st.integers(0, 100))
def test_cues_by_hand_on_planes(slope: float, at_px: float, seed: int) -> None:
    """A plane has no curvature and its own gradient, wherever and however slanted; a spike is off the median."""
    x = np.arange(64, dtype=np.float32)
    plane = np.repeat((at_px + slope * x)[None], 48, axis=0).astype(np.float32)
    row, column = np.random.default_rng(seed).integers(12, 36, 2)
    flat = np.full(plane.shape, 7, np.float32)
    flat[row, column] += 5

    def of(name: str, disparity: np.ndarray) -> np.ndarray:
        grey = np.zeros(disparity.shape, np.uint8)
        return CUES[name].score(Evidence(grey, grey, Disparity(disparity, disparity), None))  # type: ignore[arg-type]

    np.testing.assert_allclose(of("curvature", plane)[5:-5, 5:-5], 1, atol=1e-3)
    np.testing.assert_allclose(of("gradient", plane), 1 / (1 + slope), rtol=1e-3)
    off = of("median", flat)
    assert off[row, column] == pytest.approx(1 / 6) and off[row, column + 3] == 1
    lost = plane.copy()
    lost[row, column] = np.nan
    curved = of("curvature", lost)
    assert curved[row, column] == 0
    curved[row - 4 : row + 5, column - 4 : column + 5] = 1
    np.testing.assert_allclose(curved[5:-5, 5:-5], 1, atol=1e-3)  # one NaN spoils nothing below it
    assert of("nearness", flat)[0, 0] == pytest.approx(7 / 64)
    assert of("inside", flat)[0, :8].tolist() == [0] * 8 and of("texture", flat).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_says_what_scikit_learn_says(kind: str, fitted: dict, samples: Samples) -> None:
    result, file = fitted[kind]
    regressor = Regressor(file)
    expected = result.estimator.predict_proba(samples.cues)[:, 1]
    np.testing.assert_allclose(regressor.chances(samples.cues), expected, atol=1e-5)
    assert regressor.card == result.card and regressor.cues == list(samples.names)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ranks_the_errors_of_a_scene_it_never_saw(kind: str, fitted: dict, matcher: Matcher) -> None:
    result, file = fitted[kind]
    unseen = scene(77)
    found = matcher(unseen.left, unseen.right)
    score = find_method(str(file)).score(Evidence(unseen.left, unseen.right, found, matcher))
    known = np.isfinite(found.disparity_px)
    assert score.dtype == np.float32 and (score[~known] == 0).all() and score.min() >= 0 and score.max() <= 1
    quality = confidence_quality(unseen.truth_px, found.disparity_px, score)
    assert quality is not None and quality["roc_auc"] is not None and quality["roc_auc"] > 0.75
    assert result.card.scores["roc_auc"] > 0.7 and result.card.settings


@given(gain=st.floats(0.3, 3), bias=st.floats(-2, 2))
def test_calibration_keeps_ranks_and_moves_the_middle(gain: float, bias: float) -> None:
    chances = np.linspace(0, 1, 101, dtype=np.float32)
    found = calibrated(chances, gain, bias)
    assert (np.diff(found[1:-1]) > -1e-7).all()
    assert found[50] == pytest.approx(1 / (1 + np.exp(-bias)), abs=1e-5)
    np.testing.assert_allclose(calibrated(chances[1:-1], 1, 0), chances[1:-1], atol=1e-6)


def test_overconfident_chances_are_calibrated(samples: Samples) -> None:
    """Cues that say too much: the right answer in 7 of 10 scenes' pixels, the wrong one in 3."""
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from stereo_rt.confidence import fitting

    rng = np.random.default_rng(0)
    right = rng.random(1200) < 0.5
    told = np.where(rng.random(1200) < 0.7, right, ~right)
    cue = (told + 0.2 * rng.random(1200)).astype(np.float32)[:, None]
    noisy = Samples(samples.names[:1], cue, right, np.repeat(np.arange(6), 200))
    grid = {"kneighborsclassifier__n_neighbors": [3]}  # three neighbours claim 0, 1/3, 2/3 or 1
    result = fitting.fit(noisy, "neighbours", "sgbm_3way", "drawn", folds=3, grid=grid)
    claimed = calibrated(result.estimator.predict_proba(cue)[:, 1], result.card.gain, result.card.bias)
    assert result.card.gain < 0.7, "its claims were brought nearer to a half"
    assert abs(result.card.scores["right"] - claimed.mean()) < 0.05


def test_what_cannot_be_fitted_is_one_sentence(samples: Samples) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from stereo_rt.confidence import fitting

    with pytest.raises(SourceError, match="too few to leave some out in 6 turns"):
        fitting.fit(samples, "forest", "sgbm_3way", "rooms", folds=6)
    with pytest.raises(SourceError, match="right everywhere"):
        fitting.fit(replace(samples, right=np.ones_like(samples.right)), "forest", "sgbm_3way", "rooms", folds=2)


def test_a_file_that_does_not_fit_is_refused(fitted: dict, matcher: Matcher, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    with pytest.raises(ModelError, match="is no confidence regressor"):
        find_method(str(engines() / "student_s.onnx"))
    with pytest.raises(ModelError, match="there is no such file; make one"):
        find_method(str(tmp_path / "none.onnx"))
    file = fitted["forest"][1]
    other = replace(matcher.spec, name="student_s")
    method = find_method(str(file))
    assert not method.obstacle(matcher)
    with pytest.raises(UsageError, match="fitted for sgbm_3way; fit one for student_s"):
        method.check(type("Other", (), {"spec": other})())
    model = onnx.load(file)
    card = json.loads(model.metadata_props[0].value)
    assert model.metadata_props[0].key == KEY
    for wrong in (card | {"windows_px": {"variance": 7}}, {"kind": "forest"}, "words"):
        model.metadata_props[0].value = json.dumps(wrong)
        onnx.save(model, tmp_path / "edited.onnx")
        with pytest.raises(ModelError, match="fit it again"):
            find_method(str(tmp_path / "edited.onnx"))


def test_drawn_scenes_are_pairs_that_their_truth_joins() -> None:
    pytest.importorskip("torch")
    for seen in drawn_scenes(1, (96, 64)):
        assert seen.left.shape == seen.right.shape == (64, 96, 3) and seen.left.dtype == np.uint8
        assert np.isfinite(seen.truth_px).any()
        x, y = np.meshgrid(np.arange(96, dtype=np.float32), np.arange(64, dtype=np.float32))
        moved = cv2.remap(seen.right, x - seen.truth_px, y, cv2.INTER_LINEAR)
        visible = x >= seen.truth_px
        apart, unmoved = (np.abs(seen.left.astype(int) - other)[visible].mean() for other in (moved, seen.right))
        assert apart < unmoved


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rooms")
    for k in range(3):
        folder, seen = root / f"room{k}", scene(k)
        folder.mkdir()
        cv2.imwrite(str(folder / "left.png"), seen.left)
        cv2.imwrite(str(folder / "right.png"), seen.right)
        write_pfm(folder / "disp.pfm", seen.truth_px)
        encoding = {"file": "disp.pfm", "scale": 1.0, "invalid": "inf"}
        (folder / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    return root


def test_fit_then_eval_and_view_without_scikit_learn(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from typer.testing import CliRunner

    if not cli.app.registered_commands:
        cli.register()
    file, figures = tmp_path / "b.onnx", tmp_path / "f.json"
    asked = ["--kind", "boosting", "--pixels", "40", "--folds", "2", "--backend", "sgbm"]
    done = CliRunner().invoke(cli.app, ["confidence", "fit", str(dataset), "-o", str(file), *asked], catch_exceptions=False)
    assert "boosting (learning_rate" in done.output and "120 pixels of 3 scenes" in done.output
    wrong = CliRunner().invoke(cli.app, ["confidence", "fit", str(dataset), "-o", str(tmp_path / "b.pkl"), *asked])
    assert isinstance(wrong.exception, UsageError) and "b.onnx" in str(wrong.exception)
    # A fresh interpreter, in which scikit-learn cannot be imported.
    code = "import sys; sys.modules['sklearn'] = None; from stereo_rt.cli.app import main; main(sys.argv[1:])"
    one_frame = ["--backend", "sgbm", "--size", "160x120", "--headless", "--max-frames", "1"]
    commands = (
        ["eval", str(dataset), "--backend", "sgbm", "--confidence", f"learned,{file}", "--json", str(figures)],
        ["view", "synthetic://room", *one_frame, "--confidence-from", str(file)],
    )
    for command in commands:
        run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    again = [sys.executable, "-c", code, "confidence", "fit", str(dataset), "-o", str(tmp_path / "c.onnx"), *asked]
    missing = subprocess.run(again, capture_output=True, text=True)
    assert missing.returncode == 1 and "pip install 'stereo_rt[regressors]'" in missing.stderr
    assert missing.stderr.count("\n") == 1 and not (tmp_path / "c.onnx").exists()
    study = json.loads(figures.read_text())["confidence_methods"]
    assert list(study["mean"]) == ["learned", str(file)] and not study["skipped"]
    assert study["mean"][str(file)]["roc_auc"] > 0.7
