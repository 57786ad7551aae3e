"""Labels by a teacher: the filter, the store and what it survives, and the sources that are labelled."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.config import Config, load
from stereo_rt.datasets.ours import find_scenes
from stereo_rt.describe import describe
from stereo_rt.errors import CalibrationError, OutputError, SourceError
from stereo_rt.frames import Disparity
from stereo_rt.matchers import create_matcher
from stereo_rt.matchers.base import Matcher, MatcherSpec
from stereo_rt.sinks.files import read_confidence
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.training.labels import LabelRules, LabelStore, label, label_sources

SIZE = (160, 120)
RULES = LabelRules(0.5, 1.0, 0.1)
CFG = load(flags={"match.backend": "sgbm", "match.sgbm": {"max_disparity_px": 32}})


@pytest.fixture(scope="module")
def teacher() -> Matcher:
    return create_matcher(CFG.match)


def write_pairs(folder: Path, count: int) -> Path:
    """A tree of scenes without ground truth: a textured wall, further off from one to the next."""
    rng = np.random.default_rng(3)
    for k in range(count):
        wall = cv2.GaussianBlur(rng.integers(0, 255, (SIZE[1], SIZE[0] + 40, 3), np.uint8), (0, 0), 1.2)
        scene = folder / f"scene{k}"
        scene.mkdir(parents=True)
        for eye, at in (("left", 10), ("right", 10 + 4 * (k + 1))):
            cv2.imwrite(str(scene / f"{eye}.png"), wall[:, at : at + SIZE[0]])
    return folder


class Counting:
    """A matcher that counts its calls, and calls `interrupt` before each."""

    def __init__(self, matcher: Matcher, interrupt: Callable[[int], None] = lambda n: None) -> None:
        self.spec, self.calls = matcher.spec, 0
        self._matcher, self._interrupt = matcher, interrupt

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        self.calls += 1
        self._interrupt(self.calls)
        return self._matcher(left, right)

    def close(self) -> None:
        pass


def test_the_filter_drops_wrong_labels() -> None:
    camera = SyntheticCamera((320, 240), frames=1, seed=4)
    frame, truth = camera.frame(0), camera.ground_truth(0)
    matcher = create_matcher(load(flags={"match.backend": "sgbm"}).match)
    found = label(matcher, frame.left, frame.right, RULES)
    wrong = np.abs(matcher(frame.left, frame.right).disparity_px - truth.disparity_px) > 2
    kept = np.isfinite(found.disparity_px)
    assert found.kept == pytest.approx(kept.mean()) and found.kept > 0.4
    assert wrong[~kept].mean() > 4 * wrong[kept].mean() and wrong[kept].mean() < 0.05
    assert kept[truth.occluded].mean() < 0.5 * found.kept
    assert (found.confidence[kept] >= RULES.min_confidence).all() and not found.confidence[~kept].any()


@given(st.floats(0, 1), st.floats(0.25, 4))
def test_rules_only_take_away(min_confidence: float, left_right_px: float) -> None:
    rng = np.random.default_rng(0)
    maps = Disparity(rng.uniform(1, 9, (6, 20)).astype(np.float32), rng.random((6, 20), np.float32))

    class Fixed:
        spec = MatcherSpec("fixed", "test", None, None, 9.0, True)

        def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
            return maps

        def close(self) -> None: ...

    image = np.zeros((6, 20, 3), np.uint8)
    found = label(Fixed(), image, image, LabelRules(min_confidence, left_right_px))
    kept = np.isfinite(found.disparity_px)
    assert (found.disparity_px[kept] == maps.disparity_px[kept]).all()
    assert found.kept <= min(found.confident, found.agreeing)
    looser = label(Fixed(), image, image, LabelRules(min_confidence / 2, left_right_px * 2))
    assert (np.isfinite(looser.disparity_px) | ~kept).all()


def test_a_tree_becomes_a_dataset_in_our_layout(tmp_path: Path, teacher: Matcher) -> None:
    pairs = write_pairs(tmp_path / "pairs", 2)
    (pairs / "blank").mkdir()
    for eye in ("left", "right"):
        cv2.imwrite(str(pairs / "blank" / f"{eye}.png"), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    lines: list[str] = []
    summary = label_sources([str(pairs)], CFG, teacher, LabelStore(tmp_path / "labels", teacher.spec, RULES), say=lines.append)
    assert (summary.labelled, summary.dropped, summary.before) == (2, 1, 0)
    assert len(lines) == 3 and "dropped" in next(line for line in lines if "blank" in line)
    scenes = find_scenes(tmp_path / "labels")
    assert [Path(s.name).name for s in scenes] == ["scene0", "scene1"]
    for k, scene in enumerate(scenes):
        left, _ = scene.images()
        assert (left == cv2.imread(str(pairs / f"scene{k}" / "left.png"))).all()
        truth = scene.truth_px()
        assert np.nanmedian(truth) == pytest.approx(4 * (k + 1), abs=0.1)
        confidence = read_confidence(scene.folder / "confidence.png")
        assert ((confidence > 0) == np.isfinite(truth)).all()
        meta = json.loads((scene.folder / "meta.json").read_text())
        assert meta["label"]["teacher"] == "sgbm_3way" and meta["label"]["kept"] == pytest.approx(
            np.isfinite(truth).mean(), abs=1e-3
        )


def _killed(pairs: Path, out: Path) -> None:
    def interrupt(call: int) -> None:
        if call == 6:  # in the middle of the third pair
            os.kill(os.getpid(), signal.SIGKILL)

    matcher = Counting(create_matcher(CFG.match), interrupt)
    label_sources([str(pairs)], CFG, matcher, LabelStore(out, matcher.spec, RULES))


def test_labels_go_on_after_a_kill(tmp_path: Path, teacher: Matcher) -> None:
    pairs, out = write_pairs(tmp_path / "pairs", 4), tmp_path / "labels"
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(pairs, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    done = {file: file.stat().st_mtime_ns for file in out.rglob("meta.json")}
    assert len(done) == 2
    half = next(out.iterdir()) / "scene2" / f".left.{process.pid}.part.png"  # what dying while writing leaves
    half.parent.mkdir()
    half.write_bytes(b"half")
    matcher = Counting(teacher)
    summary = label_sources([str(pairs)], CFG, matcher, LabelStore(out, teacher.spec, RULES))
    assert (summary.labelled, summary.before) == (2, 2) and matcher.calls == 4
    assert {file: file.stat().st_mtime_ns for file in done} == done
    assert not half.exists() and len(find_scenes(out)) == 4
    whole = LabelStore(tmp_path / "whole", teacher.spec, RULES)
    label_sources([str(pairs)], CFG, teacher, whole)
    assert contents(out) == contents(tmp_path / "whole")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_raw_video_is_rectified_and_labelled(tmp_path: Path, teacher: Matcher) -> None:
    source = f"synthetic://room?width={SIZE[0]}&height={SIZE[1]}&frames=7&raw=1"
    store = LabelStore(tmp_path, teacher.spec, LabelRules(min_kept=0))
    assert label_sources([source], CFG, teacher, store, every=3).labelled == 3
    scenes = find_scenes(tmp_path)
    assert [Path(s.name).name for s in scenes] == ["000000", "000003", "000006"]
    camera = SyntheticCamera(SIZE, frames=7, raw=True)
    assert (scenes[1].images()[0] != camera.frame(3).left).any()  # rectified, not as it came
    assert np.isfinite(scenes[1].truth_px()).mean() > 0.2


def test_video_files_are_labelled(tmp_path: Path, teacher: Matcher) -> None:
    rng = np.random.default_rng(1)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (SIZE[1], 220), np.uint8), (0, 0), 2)
    for eye, shift in (("left", 0), ("right", 8)):
        video = cv2.VideoWriter(str(tmp_path / f"{eye}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE)
        for k in range(3):
            video.write(cv2.cvtColor(np.ascontiguousarray(wall[:, k + shift : k + shift + SIZE[0]]), cv2.COLOR_GRAY2BGR))
        video.release()
    source = f"{tmp_path}/left.avi,{tmp_path}/right.avi"
    cfg = load(flags={"match.backend": "sgbm", "calib.rectified": True})
    assert label_sources([source], cfg, teacher, LabelStore(tmp_path / "labels", teacher.spec, RULES)).labelled == 3
    for scene in find_scenes(tmp_path / "labels"):
        assert np.nanmedian(scene.truth_px()) == pytest.approx(8, abs=0.2)


def refusal(text: str, cfg: Config, teacher: Matcher, folder: Path, rules: LabelRules = RULES) -> str:
    with pytest.raises((SourceError, CalibrationError, OutputError)) as e:
        label_sources([text], cfg, teacher, LabelStore(folder, teacher.spec, rules))
    return str(e.value)


def test_refusals_are_one_sentence(tmp_path: Path, teacher: Matcher) -> None:
    pairs = write_pairs(tmp_path / "pairs", 1)
    (tmp_path / "empty").mkdir()
    assert "no folder below it holds left.png" in refusal(str(tmp_path / "empty"), CFG, teacher, tmp_path / "a")
    assert "--rectified" in refusal(f"{pairs}/scene0/left.png,{pairs}/scene0/right.png", CFG, teacher, tmp_path / "a")
    assert "stereo-rt record" in refusal("synthetic://room?live=1", CFG, teacher, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    label_sources([str(pairs)], CFG, teacher, LabelStore(tmp_path / "b", teacher.spec, RULES))
    assert "other settings" in refusal(str(pairs), CFG, teacher, tmp_path / "b", LabelRules(0.9))
    meta = next((tmp_path / "b").rglob("meta.json"))
    meta.write_text("{")
    assert "not a label's description" in refusal(str(pairs), CFG, teacher, tmp_path / "b")


def test_info_describes_labels(tmp_path: Path, teacher: Matcher) -> None:
    pairs = write_pairs(tmp_path / "pairs", 2)
    label_sources([str(pairs)], CFG, teacher, LabelStore(tmp_path / "labels", teacher.spec, RULES))
    tree = describe(str(tmp_path / "labels"))
    assert tree["pairs"] == 2 and tree["labelled_by"] == ["sgbm_3way"] and 0.1 < tree["kept"] < 1
    one = describe(str(next((tmp_path / "labels").rglob("scene1"))))
    assert one["size"] == list(SIZE) and one["median"] == pytest.approx(8, abs=0.1) and one["unit"] == "px"
    assert one["kept"] == pytest.approx(one["valid"], abs=1e-3)


def test_other_settings_of_the_source_are_refused_too(tmp_path: Path, teacher: Matcher) -> None:
    source = f"synthetic://room?width={SIZE[0]}&height={SIZE[1]}&frames=1"
    label_sources([source], CFG, teacher, LabelStore(tmp_path, teacher.spec, RULES))
    smaller = load(flags={"match.backend": "sgbm", "calib.size": "80x60"})
    assert "other settings" in refusal(source, smaller, teacher, tmp_path)


def test_labels_stop_at_the_deadline_and_go_on(tmp_path: Path, teacher: Matcher) -> None:
    pairs = write_pairs(tmp_path / "pairs", 2)
    store = LabelStore(tmp_path / "labels", teacher.spec, RULES)
    first = label_sources([str(pairs)], CFG, teacher, store, deadline=0)
    assert (first.labelled, first.complete) == (0, False)
    assert label_sources([str(pairs)], CFG, teacher, store).complete
