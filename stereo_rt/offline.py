"""Offline processing: the frames of a recording, each once, into an output folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .config import CalibConfig, Config, MatchConfig, dump
from .errors import SourceTimeout, UsageError
from .frames import StereoFrame
from .matchers.models import find_model, find_twins
from .session import assemble
from .sinks.folder import WHOLE_RUN, FolderSink, units
from .sinks.manifest import Manifest
from .sources import open_source
from .sources.base import Source, SourceStatus
from .sources.rtsp import without_password

log = logging.getLogger(__name__)

Shard = tuple[int, int]
"""(i, n): of every n frames, the one whose index leaves i."""
FALLBACK_FPS = 30.0


@dataclass(frozen=True)
class Summary:
    """What a run did: frames written now, frames that were there before, the mean share of valid pixels."""

    written: int
    before: int
    seconds: float
    density: float


Progress = Callable[[int, int | None], None]
"""(frames so far, frames in all or None) -> None; called a few times a second."""


class Selection:
    """A source with fewer frames: those below `end` that `keep` accepts, by index."""

    def __init__(self, source: Source, keep: Callable[[int], bool], end: int | None = None) -> None:
        self._source, self._keep, self._end = source, keep, end
        self.name, self.live, self.size, self.fps = source.name, source.live, source.size, source.fps
        self.calibration = source.calibration
        known = [n for n in (source.length, end) if n is not None]
        self.length = sum(map(keep, range(min(known)))) if known else None

    @property
    def status(self) -> SourceStatus:
        return self._source.status

    def read(self, timeout_s: float) -> StereoFrame | None:
        deadline = time.monotonic() + timeout_s
        while True:
            frame = self._source.read(timeout_s)
            if frame is None or (self._end is not None and frame.index >= self._end):
                return None
            if self._keep(frame.index):
                return frame
            if time.monotonic() > deadline:  # so that who reads can stop meanwhile
                raise SourceTimeout(f"{self.name}: passing over frame {frame.index}; it is not wanted, or there already")

    def close(self) -> None:
        self._source.close()


def process(
    uri: str,
    cfg: Config,
    folder: Path,
    *,
    resume: bool = False,
    shard: Shard = (0, 1),
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Run one process's share of `uri` into `folder`, in the formats of cfg.output; run.max_frames counts from the start, of a
    camera the frames that come through.

    threads: CPU threads for the network, where several processes share the machine. KeyboardInterrupt and SystemExit
    pass through after the files were finished. Raises StereoError; nothing is written unless the first frame could be made.
    """
    check(cfg, resume=resume, shards=shard[1])
    source = open_source(uri, cfg.capture)
    try:
        if source.live and (resume or shard[1] > 1):
            shown = without_password(uri)
            raise UsageError(f"{shown} is live: its frames do not come again; --resume, --shard and --jobs need a recording")
        manifest = Manifest(folder, _head(uri, cfg, source), shard=shard, resume=resume)
        # A camera goes on counting while the network is busy: of its frames those that come through are counted.
        end, through = (None, cfg.run.max_frames) if source.live else (cfg.run.max_frames, None)
        chosen = Selection(source, lambda i: i % shard[1] == shard[0] and i not in manifest.done, end)
        sink = FolderSink(manifest, cfg.output.formats, fps=source.fps or FALLBACK_FPS, view=cfg.view)
        pipeline = assemble(chosen, _effective(cfg, threads, through), offline=True, sinks=[sink])
    except BaseException:
        source.close()
        raise
    start, total = time.monotonic(), through or chosen.length
    try:
        pipeline.start()
        while not pipeline.wait(0.1):
            progress(sink.written, total)
    except (KeyboardInterrupt, SystemExit):
        pipeline.stop()
        pipeline.wait()
        log.warning("stopped; the %d frames written are whole, and --resume goes on after them", sink.written)
        raise
    progress(sink.written, total)
    before = sum(1 for i in manifest.done if i % shard[1] == shard[0])
    return Summary(sink.written, before, time.monotonic() - start, sink.density)


def check(cfg: Config, *, resume: bool, shards: int) -> None:
    """What cannot go together. Raises UsageError."""
    if shards > 1 and (whole := " and ".join(name for name in cfg.output.formats if name in WHOLE_RUN)):
        raise UsageError(f"one file holds the whole run in {whole}: leave {whole} out of --format, or --jobs and --shard")
    if cfg.post.temporal > 0 and (shards > 1 or resume):
        raise UsageError(
            "temporal smoothing needs every frame in order: set post.temporal=0, or leave out --resume, --jobs, --shard"
        )


def _effective(cfg: Config, threads: int | None, max_frames: int | None) -> Config:
    """The configuration for the pipeline. Of a recording the selection has counted max_frames already."""
    update: dict[str, Any] = {"run": cfg.run.model_copy(update={"max_frames": max_frames})}
    if threads is not None:
        update["match"] = cfg.match.model_copy(update={"threads": threads})
    return cfg.model_copy(update=update)


def _head(uri: str, cfg: Config, source: Source) -> dict[str, Any]:
    """What the manifest says of the run as a whole."""
    config = dump(cfg)
    config["view"] = {k: v for k, v in config["view"].items() if k != "token"}
    return {
        "stereo_rt": __version__,
        "source": without_password(uri),
        "config": config,
        "model": _model(cfg.match),
        "calibration": _calibration(cfg.calib, source),
        "units": units(cfg.output.formats, filled=cfg.post.fill != "none"),
    }


def _model(match: MatchConfig) -> dict[str, Any]:
    if match.backend == "sgbm":
        return {"name": "sgbm", "sha256": None}
    found = find_model(match.model)
    others = {twin.name: twin.sha256 for twin in find_twins(match.model)}
    return {"name": found.name, "sha256": found.sha256} | ({"other_grids": others} if others else {})


def _calibration(calib: CalibConfig, source: Source) -> dict[str, Any]:
    """Where the geometry comes from, and a hash of its file or files."""
    if calib.file is None:
        return {"file": None if source.calibration is None else f"(from {source.name})", "sha256": None}
    parts = [calib.file] if calib.file.exists() else [Path(part.strip()) for part in str(calib.file).split(",")]
    digest = hashlib.sha256()
    for part in parts:
        with contextlib.suppress(OSError):  # what cannot be read is refused, with its reason, by the reader
            digest.update(part.read_bytes())
    return {"file": str(calib.file), "sha256": digest.hexdigest()}
