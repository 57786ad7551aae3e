"""Capturing: runs a capture from beginning to end - live before the user's eyes, or from a recording by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import Config, ViewConfig
from ..crew import Crew
from ..errors import CalibrationError, SourceError
from ..frames import StereoFrame
from ..show import TOKEN_VARIABLE, choose, web_address
from ..sources import Source, open_source
from . import diversity
from .boards import Board
from .capture import GATES, Capture, Judge, Look
from .session import CaptureSession

Say = Callable[[str], None]
NO_IMAGE = np.empty((0, 0), np.uint8)
"""Of frames whose images are not kept in memory."""
Progress = Callable[[int, "int | None", str], None]


def capture(uri: str, cfg: Config, board: Board, folder: Path, *, most: int, say: Say, progress: Progress) -> Capture:
    """Keep pairs of `uri` that show the board diversely in `folder`, which must be new or empty.

    A camera is guided in a window or on a page; with view.headless it takes pairs by itself until there are enough. From a
    recording the pairs (`most` at most) are chosen that together show the board most diversely.
    Raises StereoError; CalibrationError when no pair is fit.
    """
    source = open_source(uri, cfg.capture)
    try:
        kept = (
            _live(source, cfg, board, folder, say)
            if source.live
            else _recorded(uri, source, cfg, board, folder, most, progress)
        )
    finally:
        source.close()
    return kept


def _live(source: Source, cfg: Config, board: Board, folder: Path, say: Say) -> Capture:
    session = CaptureSession(
        source,
        board,
        folder,
        say=say,
        timeout_s=cfg.capture.timeout_s,
        max_frames=cfg.run.max_frames,
        stop_when_enough=cfg.view.headless,
    )
    show = {"window": _in_window, "web": _on_page, "nothing": _unseen}[choose(cfg.view, say)]
    crew = Crew(session.finish)
    try:
        show(session, cfg.view, say, lambda: crew.spawn("capture", session.run))
    except KeyboardInterrupt:
        pass  # what was taken is whole
    finally:
        session.finish()
        crew.join(10)
    crew.raise_first()
    return session.capture


Start = Callable[[], None]


def _unseen(session: CaptureSession, view: ViewConfig, say: Say, start: Start) -> None:
    start()
    while not session.finished:
        session.wait(session.version, 0.2)


def _in_window(session: CaptureSession, view: ViewConfig, say: Say, start: Start) -> None:
    from ..sinks.picture_window import PictureWindow

    keys = {"space": session.take, "u": session.undo, "q": session.finish, "escape": session.finish}
    commands = {**keys, "a": lambda: session.control({"command": "auto"})}
    window = PictureWindow(session, session.picture, commands, "stereo_rt calibrate capture")
    say("space takes a pair, u gives up the last, a turns the automatic off and on, q finishes")
    start()
    window.run(until=lambda: session.finished)


def _on_page(session: CaptureSession, view: ViewConfig, say: Say, start: Start) -> None:
    from ..sinks.capture_page import CaptureServer

    host, port = web_address(view.web)
    server = CaptureServer(session, host, port, view.token or os.environ.get(TOKEN_VARIABLE))
    try:
        say(f"follow it at {server.url}   (Ctrl-C finishes)")
        start()
        _unseen(session, view, say, lambda: None)
    finally:
        server.close()


def _recorded(uri: str, source: Source, cfg: Config, board: Board, folder: Path, most: int, progress: Progress) -> Capture:
    """Judge every frame, choose, and read the recording once more for those that were chosen."""
    kept = Capture(folder, board, source.name)
    judge, fit, shut = Judge(board), dict[int, Look](), dict.fromkeys(GATES, 0)
    total = min((n for n in (source.length, cfg.run.max_frames) if n is not None), default=None)
    count = 0
    while count != cfg.run.max_frames and (frame := source.read(cfg.capture.timeout_s)) is not None:
        look = judge(frame, diversity.NOTHING)
        count += 1
        if look.good:
            fit[frame.index] = replace(look, frame=replace(frame, left=NO_IMAGE, right=NO_IMAGE))
        else:
            shut[next(name for name in GATES if not look.gates[name])] += 1
        progress(count, total, f"{len(fit)} fit")
    if not fit:
        why = ", ".join(f"{n} not {name}" for name, n in shut.items() if n)
        raise CalibrationError(
            f"{uri}: none of {count} pairs is fit to calibrate with ({why}); check --board {board}, focus and light, "
            "and hold the board still now and then"
        )
    indices = list(fit)
    pairs = [(look.left, look.right) for look in fit.values() if look.left is not None and look.right is not None]
    chosen = {indices[n] for n in diversity.choose(board, pairs, most)}
    for frame in _frames(uri, cfg, chosen):
        kept.take(replace(fit[frame.index], frame=frame))
    return kept


def _frames(uri: str, cfg: Config, wanted: set[int]) -> Iterator[StereoFrame]:
    """These frames of a recording, read again. Raises SourceError when it has not got them any more."""
    source = open_source(uri, cfg.capture)
    left = set(wanted)
    try:
        while left:
            frame = source.read(cfg.capture.timeout_s)
            if frame is None:
                raise SourceError(f"{uri}: ended sooner than when it was read first; leave it alone and try again")
            if frame.index in left:
                left.remove(frame.index)
                yield frame
    finally:
        source.close()
