"""`--confidence-from`: any confidence method masks the loop, says so, and is refused where the matcher cannot give it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from keeping import Keep
from typer.testing import CliRunner

from stereo_rt import hud
from stereo_rt.bench.stages import stages_alone
from stereo_rt.cli import app as cli
from stereo_rt.confidence import METHODS, Evidence, find_method
from stereo_rt.config import Config, MatchConfig, PostConfig, RunConfig, load
from stereo_rt.errors import UsageError
from stereo_rt.frames import DepthResult
from stereo_rt.matchers import Matcher, create_matcher
from stereo_rt.pipeline import Pipeline
from stereo_rt.plan import Plan
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.status import Status

SIZE = (160, 120)
SGBM = MatchConfig.model_validate({"backend": "sgbm", "sgbm": {"max_disparity_px": 64}})


def semi_global() -> Matcher:
    return create_matcher(SGBM)


def in_torch() -> Matcher:
    from stereo_rt.matchers.torch import TorchMatcher

    return TorchMatcher(MatchConfig(backend="torch", device="cpu", threads=1), scale=0.25)


def run(make, method: str | None, least: float = 0.5) -> tuple[DepthResult, Status]:
    camera, keep = SyntheticCamera(size=SIZE), Keep()
    post = PostConfig(confidence_from=method, min_confidence=least, edge_px=0)
    plan = Plan(camera.calibration)  # type: ignore[arg-type]
    pipeline = Pipeline(camera, make, lambda *_: plan, post=post, sinks=[keep], run=RunConfig(max_frames=1))
    pipeline.run()
    return keep.results[0], pipeline.status()


@pytest.mark.parametrize("method", [*METHODS, "mc_dropout:2"])
def test_every_method_runs_in_the_loop(method: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    if method == "mc_dropout":
        pytest.skip("its fifteen passes are the other case's two")
    result, status = run(in_torch, method)
    assert status.confidence == method and hud.status_lines(status)[1].endswith(f"confidence: {method}")
    assert status.stage_ms["confidence"] > 0, "what it costs is seen"
    assert result.confidence.shape == SIZE[::-1] and 0 <= result.confidence.min() < result.confidence.max() <= 1


def test_masks_follow_the_method() -> None:
    result, _ = run(semi_global, "left_right", least=0.6)
    frame, matcher = SyntheticCamera(size=SIZE).frame(0), semi_global()
    found = matcher(frame.left, frame.right)
    expected = METHODS["left_right"].rated(Evidence(frame.left, frame.right, found, matcher)).confidence
    matcher.close()
    np.testing.assert_array_equal(result.confidence, expected)
    np.testing.assert_array_equal(result.mask, (expected >= np.float32(0.6)) & (found.disparity_px > 0))
    own, status = run(semi_global, None, least=0.6)
    np.testing.assert_array_equal(own.confidence, found.confidence)
    assert status.confidence == "learned" and "confidence" not in status.stage_ms
    assert not np.array_equal(own.mask, result.mask)


def test_what_a_matcher_cannot_give_is_refused_before_the_first_frame() -> None:
    with pytest.raises(UsageError, match=r"entropy with sgbm_3way on sgbm: .*--backend torch"):
        run(semi_global, "entropy")
    with pytest.raises(UsageError, match="did you mean 'left_right'"):
        run(semi_global, "left-right")


def test_the_benchmark_times_it_alone() -> None:
    camera = SyntheticCamera(size=SIZE)
    plan = Plan(camera.calibration)  # type: ignore[arg-type]
    alone = stages_alone(SGBM, PostConfig(confidence_from="variance"), [camera.frame(0)], lambda spec: plan, repeats=2)
    assert list(alone.ms) == ["match", "confidence", "post"] and len(alone.ms["confidence"]) == 2
    matcher = semi_global()
    frame = alone.rectified[0]
    expected = find_method("variance").score(Evidence(frame.left, frame.right, alone.matched[0], matcher))
    matcher.close()
    known = np.isfinite(alone.matched[0].disparity_px)
    np.testing.assert_array_equal(alone.matched[0].confidence[known], expected[known])


def test_flag_file_and_set_name_the_method(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"post": {"confidence_from": "variance"}}))
    assert load(file).post.confidence_from == "variance"
    assert load(file, ["post.confidence_from=photometric"]).post.confidence_from == "photometric"
    assert Config().post.confidence_from is None
    shown = CliRunner().invoke(_registered(), ["config", "show", "-c", str(file), "--confidence-from", "left_right"])
    assert yaml.safe_load(shown.output)["post"]["confidence_from"] == "left_right"


def test_view_and_process_on_the_command_line(tmp_path: Path) -> None:
    told = ["synthetic://room", "--backend", "sgbm", "--size", "160x120", "--max-frames", "1", "--confidence-from"]
    seen = CliRunner().invoke(_registered(), ["view", "--headless", *told, "left_right"], catch_exceptions=False)
    assert seen.output.startswith("1 frames")
    refused = CliRunner().invoke(_registered(), ["view", "--headless", *told, "entropy"])
    assert isinstance(refused.exception, UsageError) and "--backend torch" in str(refused.exception)
    out = tmp_path / "out"
    CliRunner().invoke(_registered(), ["process", "-o", str(out), *told, "variance"], catch_exceptions=False)
    assert json.loads((out / "manifest.json").read_text())["config"]["post"]["confidence_from"] == "variance"


def _registered():
    if not cli.app.registered_commands:
        cli.register()
    return cli.app
