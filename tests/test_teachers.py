"""Teachers: the fusion of several answers, the finer teacher, the names and adapters, and their refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.config import load
from stereo_rt.errors import ModelError, StereoError, UsageError
from stereo_rt.frames import Disparity
from stereo_rt.matchers.base import Matcher, MatcherSpec
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.training.teachers import FinerTeacher, fuse, open_teacher, reach_px

MATCH = load(flags={"match.threads": 1, "match.device": "cpu"}).match
ADAPTER = """
from stereo_rt.config import load
from stereo_rt.matchers import create_matcher

def adapt(clone, checkpoint, device):
    assert (clone / "model.py").is_file() and device == "cpu"
    return create_matcher(load(flags={"match.backend": "sgbm", "match.sgbm": {"mode": checkpoint.read_text()}}).match)

def nothing(clone, checkpoint, device):
    return None
"""


def answer(disparity_px: float, confidence: float) -> Disparity:
    return Disparity(np.full((2, 3), disparity_px, np.float32), np.full((2, 3), confidence, np.float32))


answers = st.lists(st.tuples(st.floats(1, 100, width=32), st.floats(0.125, 1, width=32)), min_size=1, max_size=7)


@given(answers)
def test_fusion_is_one_of_the_answers_and_never_surer_than_all(pixels: list[tuple[float, float]]) -> None:
    fused = fuse([answer(d, c) for d, c in pixels])
    assert fused.disparity_px.dtype == fused.confidence.dtype == np.float32
    assert fused.disparity_px[0, 0] in np.float32([d for d, _ in pixels])
    assert fused.confidence[0, 0] <= np.mean([c for _, c in pixels]) + 1e-6
    below = sum(c for d, c in pixels if d < fused.disparity_px[0, 0])
    above = sum(c for d, c in pixels if d > fused.disparity_px[0, 0])
    assert max(below, above) <= sum(c for _, c in pixels) / 2 + 1e-5  # what a weighted median is


def test_fusion_outvotes_a_gross_error_and_skips_what_is_missing() -> None:
    fused = fuse([answer(20, 0.9), answer(20.25, 0.9), answer(90, 0.6), answer(np.nan, 1)])
    assert (fused.disparity_px == 20.25).all()
    assert fused.confidence == pytest.approx(np.full((2, 3), 1.8 / 4))
    nowhere = fuse([answer(np.nan, 1), answer(np.nan, 0.5)])
    assert np.isnan(nowhere.disparity_px).all() and not nowhere.confidence.any()


def test_reach_grows_with_the_frame() -> None:
    spec = MatcherSpec("net", "onnx", 640, 480, 192.0, True)
    assert reach_px(spec, 640, 480) == 192 and reach_px(spec, 1280, 480) == 384 and reach_px(spec, 640, 960) == 384
    assert reach_px(MatcherSpec("sgbm", "sgbm", None, None, 128.0, True), 4000, 3000) == 128


@pytest.fixture(scope="module")
def finer() -> Iterator[FinerTeacher]:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    teacher = FinerTeacher(MATCH, scales=(0.5, 0.75))  # the shipped network's own size is too slow for a test
    yield teacher
    teacher.close()


def test_a_finer_teacher_is_better_than_the_network_alone(finer: FinerTeacher) -> None:
    camera = SyntheticCamera((320, 240), frames=1, seed=2)
    frame, truth = camera.frame(0), camera.ground_truth(0).disparity_px

    def error_px(teacher: Matcher) -> float:
        return float(np.abs(teacher(frame.left, frame.right).disparity_px - truth).mean())

    alone = FinerTeacher(MATCH, scales=(0.5,))
    assert error_px(finer) < 0.9 * error_px(alone)
    alone.close()
    assert finer.spec.name == "finer:student_s@0.5,0.75" and finer.spec.width == 320
    again = finer(frame.left, frame.right)
    assert again.disparity_px.shape == (240, 320) and 0 <= again.confidence.min() <= again.confidence.max() <= 1


def test_teachers_have_names(tmp_path: Path) -> None:
    assert open_teacher("sgbm", MATCH).spec.backend == "sgbm"
    shipped = open_teacher("student_s", MATCH)
    assert (shipped.spec.name, shipped.spec.backend) == ("student_s", "onnx")
    shipped.close()


def test_an_adapter_brings_another_projects_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_adapter.py").write_text(ADAPTER)
    clone, checkpoint = tmp_path / "clone", tmp_path / "weights.pth"
    clone.mkdir()
    (clone / "model.py").write_text("")
    checkpoint.write_text("5path")
    monkeypatch.syspath_prepend(tmp_path)
    assert open_teacher("external:my_adapter:adapt", MATCH, clone, checkpoint).spec.name == "sgbm_5path"
    with pytest.raises(ModelError, match="no Matcher"):
        open_teacher("external:my_adapter:nothing", MATCH, clone, checkpoint)


@pytest.mark.parametrize(
    ("name", "clone", "checkpoint", "why"),
    [
        ("external:json:loads", False, False, "needs --teacher-clone DIR and --teacher-checkpoint FILE"),
        ("external:json:loads", True, False, "needs --teacher-clone"),
        ("external:no_such_module:f", True, True, "cannot be imported .*PYTHONPATH"),
        ("external:json:no_such_function", True, True, "cannot be imported"),
        ("external:", True, True, "cannot be imported"),
        ("sgbm", True, False, "not with sgbm; there are raft_stereo, .* and external:MODULE"),
        ("raftstereo", True, True, "did you mean 'raft_stereo'"),
        ("student_z", False, False, "did you mean 'student_s'"),
        ("gone.onnx", False, False, "cannot be read"),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, name: str, clone: bool, checkpoint: bool, why: str) -> None:
    (tmp_path / "weights").write_text("")
    with pytest.raises((UsageError, ModelError), match=why) as e:
        open_teacher(name, MATCH, tmp_path if clone else None, tmp_path / "weights" if checkpoint else None)
    assert "\n" not in str(e.value)


def test_a_clone_or_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("")
    with pytest.raises(StereoError, match="gone: there is no such folder"):
        open_teacher("external:json:loads", MATCH, tmp_path / "gone", tmp_path / "weights")
    with pytest.raises(StereoError, match=r"gone\.pth: there is no such file"):
        open_teacher("external:json:loads", MATCH, tmp_path, tmp_path / "gone.pth")


def test_a_finer_teacher_needs_a_network_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    (tmp_path / "other.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="not an ONNX file"):
        open_teacher(f"finer:{tmp_path}/other.onnx", MATCH)
