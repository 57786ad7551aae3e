"""Record: the raw pairs of a source into a file, without matching."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from .config import Config
from .errors import SourceTimeout
from .session import known_calibration, of_frames, refuse_redo
from .sinks.recorder import Recorder
from .sources import open_source

Progress = Callable[[int, "int | None", str], None]
"""(pairs so far, pairs in all or None, what else there is to say) -> None."""
SHOWN_EVERY_S = 0.1


def record(
    uri: str,
    cfg: Config,
    path: Path,
    *,
    say: Callable[[str], None],
    progress: Progress = lambda done, total, note: None,
) -> None:
    """Record `uri` to a new .mkv or .mcap until its end, run.max_frames pairs, Ctrl-C or SIGTERM.

    A recording is copied pair by pair; of a camera, what the disk has no time for is left out and counted. say: takes the
    sentence on what was recorded, also before an error. SystemExit passes through. Raises StereoError.
    """
    source = open_source(uri, cfg.capture)
    recorder = Recorder(fps=source.fps, patient=not source.live)
    limit = cfg.run.max_frames
    known = [n for n in (source.length, limit) if n is not None]
    total, count, shown_s = min(known) if known else None, 0, 0.0
    try:
        rig = known_calibration(cfg.calib, source)
        if rig is not None and cfg.calib.rectified:
            refuse_redo(rig, cfg.calib, source)  # what is kept beside rectified frames has no place for a verdict
        recorder.calibration = rig and of_frames(rig, cfg.calib)
        recorder.start(path)
        with contextlib.suppress(KeyboardInterrupt):
            while count != limit and recorder.path is not None:
                note = f"{recorder.dropped} dropped"
                try:
                    frame = source.read(cfg.capture.timeout_s)
                except SourceTimeout as e:
                    frame, note = None, str(e)
                else:
                    if frame is None:
                        break
                    recorder.write(frame)
                    count += 1
                if time.monotonic() - shown_s > SHOWN_EVERY_S or count == total:
                    progress(count, total, note)
                    shown_s = time.monotonic()
    finally:
        source.close()
        if said := recorder.stop():
            say(said)
        recorder.close()
