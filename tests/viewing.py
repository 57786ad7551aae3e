"""A real loop for the viewer's tests: the synthetic camera, OpenCV's matcher, a viewer and a recorder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripted import wait_for

from stereo_rt.config import Config, validate
from stereo_rt.frames import DepthResult
from stereo_rt.pipeline import Pipeline
from stereo_rt.session import open_session
from stereo_rt.sinks.recorder import Recorder
from stereo_rt.viewer import Viewer

CAMERA = "synthetic://room?width=320&height=240&fps=20&live=1&cycle=6"


def settings(**sections: dict) -> Config:
    return validate({"match": {"backend": "sgbm", "sgbm": {"max_disparity_px": 64}}, "calib": {"probe": False}} | sections)


@contextmanager
def live_viewer(folder: Path, camera: str = CAMERA) -> Iterator[tuple[Viewer, Pipeline]]:
    """A viewer with a first result, on a running loop."""
    cfg = settings()
    viewer = Viewer(cfg.view, Recorder(), folder)
    pipeline = open_session(camera, cfg, offline=False, sinks=(viewer,), frame_sinks=(viewer.recorder,))
    viewer.loop = pipeline
    viewer.recorder.calibration = pipeline.source.calibration
    pipeline.start()
    try:
        wait_for(lambda: viewer.result is not None or pipeline.wait(0), "a first result")
        yield viewer, pipeline
    finally:
        pipeline.stop()
        assert pipeline.wait(60)


@contextmanager
def put_back(viewer: Viewer, pipeline: Pipeline) -> Iterator[None]:
    """Afterwards the settings are what they were, and the loop runs."""
    before = pipeline.post_config, viewer.view
    yield
    pipeline.post_config, viewer.view = before
    pipeline.paused = False


def shown(viewer: Viewer) -> DepthResult:
    assert viewer.result is not None
    return viewer.result


def pause(viewer: Viewer, pipeline: Pipeline) -> None:
    """Pause, and wait until what was on its way has arrived."""
    camera = pipeline.source
    pipeline.paused = True
    last = camera._next  # type: ignore[attr-defined]  # frames that were let through come before this one
    wait_for(lambda: camera._next > last, "the camera is drained while paused")  # type: ignore[attr-defined]
    pipeline.step()
    wait_for(lambda: shown(viewer).index >= last, "the stepped frame, behind all others")


def renewed(viewer: Viewer) -> DepthResult:
    """A result made under the settings of this moment: three older ones may still be on their way to the viewer."""
    for _ in range(4):
        index = shown(viewer).index
        wait_for(lambda before=index: shown(viewer).index > before, "a newer result")  # type: ignore[misc]
    return shown(viewer)
