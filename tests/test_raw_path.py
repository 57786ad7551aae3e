"""Raw frames -> rectify -> match -> depth, against the synthetic camera's truth, with the shipped network."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from keeping import Keep

from stereo_rt.config import Config, load
from stereo_rt.demo import Assessment, assess
from stereo_rt.frames import DepthResult
from stereo_rt.session import assemble
from stereo_rt.sources.memory import MemorySource
from stereo_rt.sources.synthetic import SyntheticCamera

FRAMES = 4


def run(cfg: Config, *, offline: bool) -> tuple[SyntheticCamera, list[DepthResult]]:
    camera = SyntheticCamera((640, 480), frames=FRAMES, seed=3, raw=True)
    keep = Keep()
    assemble(camera, cfg, offline=offline, sinks=[keep]).run()
    assert len(keep.results) == FRAMES
    return camera, keep.results


def judge(camera: SyntheticCamera, results: list[DepthResult]) -> Assessment:
    rows = [assess(camera, r) for r in results]
    return Assessment(*(float(np.mean([getattr(row, name) for row in rows])) for name in Assessment.__dataclass_fields__))


@pytest.mark.parametrize("backend", ["onnx", "sgbm"])
def test_depth_is_right_and_does_not_depend_on_the_size(backend: str) -> None:
    found = {}
    for size in ("640x480", "512x384", "320x240"):
        camera, results = run(load(flags={"match.backend": backend, "calib.size": size}), offline=False)
        width, height = map(int, size.split("x"))
        assert {r.rig.size for r in results} == {(width, height)}
        found[size] = judge(camera, results)
    for size, judged in found.items():
        assert judged.depth_error < 0.02, (size, judged)
        assert judged.kept > 0.5, (size, judged)
        assert judged.bad2_kept < judged.bad2_all * 3 / 4, (size, judged)  # the mask leaves out what is wrong
    errors = [judged.depth_error for judged in found.values()]
    # Numbers that were not scaled with the image would be off by the ratio of the widths.
    assert max(errors) - min(errors) < 0.015, found


def test_offline_results_are_on_the_frames_own_grid() -> None:
    camera, results = run(load(flags={"match.backend": "sgbm"}), offline=True)
    assert {r.rig.size for r in results} == {(640, 480)}
    assert judge(camera, results).depth_error < 0.02


@pytest.mark.parametrize("live", [True, False])
def test_a_calibration_for_another_size_is_warned_of_for_cameras(live: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A camera's modes may see different fields, which scaling cannot know; recordings were resized by somebody."""
    camera = SyntheticCamera((320, 240), frames=1, raw=True)
    assert camera.calibration is not None
    source = MemorySource([camera.frame(0)], calibration=camera.calibration.scaled(640, 480), length=3, live=live, fps=5)
    pipeline = assemble(source, load(flags={"match.backend": "sgbm", "calib.probe": False}), offline=False)
    with caplog.at_level(logging.WARNING):
        pipeline.run()
    said = [w for w in pipeline.status().warnings if w.startswith("calibrated at 640x480, frames are 320x240")]
    assert len(said) == live
    assert [r.message for r in caplog.records if r.message.startswith("calibrated at")] == said
