"""Show: runs a pipeline before the user's eyes - in a window, on a web page, or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .config import Config, ViewConfig
from .errors import UsageError
from .pipeline import Pipeline
from .session import known_calibration, of_frames
from .sinks.recorder import Recorder
from .viewer import Viewer

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "STEREO_RT_TOKEN"
Say = Callable[[str], None]


def show(open_pipeline: Callable[[Viewer, Recorder], Pipeline], cfg: Config, *, say: Say, record: Path | None = None) -> Viewer:
    """Open a pipeline with this viewer as a sink and this recorder as a frame sink, and run it until its end.

    The window or page stays after the last frame until the user leaves, unless run.max_frames limits the run.
    say: prints a line for the user. record: a new .mkv or .mcap for the raw pairs. Returns the viewer, which has the last
    result.
    """
    recorder = Recorder()
    viewer = Viewer(cfg.view, recorder)
    pipeline = open_pipeline(viewer, recorder)
    viewer.loop = pipeline
    recorder.fps = pipeline.source.fps
    known = known_calibration(cfg.calib, pipeline.source)
    recorder.calibration = known and of_frames(known, cfg.calib)
    try:
        if record is not None:
            recorder.start(record)
        {"window": _in_window, "web": _on_page, "nothing": _unseen}[choose(cfg.view, say)](pipeline, viewer, cfg, say)
    except KeyboardInterrupt:
        log.info("stopped")
    finally:  # also on SIGTERM: threads that die with the interpreter leave files unfinished
        pipeline.stop()
        pipeline.wait()
    return viewer


def choose(view: ViewConfig, say: Say) -> Literal["window", "web", "nothing"]:
    """A window where there is a display and nothing else was asked for, else the web page."""
    if view.headless:
        return "nothing"
    if view.web is not None:
        return "web"
    from .sinks.window import why_not

    reason = why_not()
    if reason is None:
        return "window"
    say(f"{reason}: showing a web page instead of a window")
    return "web"


def web_address(text: str | None) -> tuple[str, int | None]:
    """'[HOST:]PORT', 'auto' or nothing as (host, port); port None for the next free one. Raises UsageError."""
    if text in (None, "", "auto", "0"):
        return "127.0.0.1", None
    assert text is not None
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--web {text}: expected [HOST:]PORT or auto, such as --web 8000 or --web 0.0.0.0:8000")
    return host.strip("[]") or "127.0.0.1", int(port) or None


def _unseen(pipeline: Pipeline, viewer: Viewer, cfg: Config, say: Say) -> None:
    pipeline.run()


def _in_window(pipeline: Pipeline, viewer: Viewer, cfg: Config, say: Say) -> None:
    from .sinks.window import Window

    window = Window(viewer, f"stereo_rt - {pipeline.source.name}")
    say("press h in the window for its keys")
    pipeline.start()
    lingers = cfg.run.max_frames is None
    window.run(until=lambda: pipeline.wait(0) and not lingers)


def _on_page(pipeline: Pipeline, viewer: Viewer, cfg: Config, say: Say) -> None:
    from .sinks.web import WebServer

    host, port = web_address(cfg.view.web)
    server = WebServer(viewer, host, port, cfg.view.token or os.environ.get(TOKEN_VARIABLE))
    try:
        say(f"watch it at {server.url}   (Ctrl-C ends it)")
        pipeline.start()
        pipeline.wait()
        if cfg.run.max_frames is None:
            say("that was the last frame; the page stays until Ctrl-C")
            server.wait()
    finally:
        server.close()
