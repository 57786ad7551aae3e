"""Offline processing shared out between processes, each of which takes every n-th frame."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from . import offline
from .config import Config
from .errors import StereoError
from .matchers.cores import usable_cores
from .sinks.manifest import refuse_filled


def process(
    uri: str, cfg: Config, folder: Path, *, jobs: int, resume: bool, progress: offline.Progress = lambda done, total: None
) -> offline.Summary:
    """offline.process by `jobs` processes at once, which share the cores. The first failure ends them all.

    Raises StereoError as a process did; KeyboardInterrupt and SystemExit pass through after all have finished their files.
    """
    offline.check(cfg, resume=resume, shards=jobs)
    if not resume:
        refuse_filled(folder)
    threads = cfg.match.threads or max(1, usable_cores() // jobs)
    context = multiprocessing.get_context("spawn")
    start = time.monotonic()
    workers, inboxes = [], []
    try:
        for i in range(jobs):
            inbox, outbox = context.Pipe(duplex=False)
            level = logging.getLogger().level if i == 0 else logging.ERROR
            worker = context.Process(target=_work, args=(outbox, level, uri, cfg, folder, (i, jobs), threads))
            worker.start()
            outbox.close()  # the worker holds the only end now, so that its death is noticed
            workers.append(worker)
            inboxes.append(inbox)
        parts = _collect(inboxes, progress)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
    written = sum(p.written for p in parts)
    density = sum(p.density * p.written for p in parts) / max(written, 1)
    return offline.Summary(written, sum(p.before for p in parts), time.monotonic() - start, density)


def _collect(inboxes: list[Connection], progress: offline.Progress) -> list[offline.Summary]:
    """Listen until every worker is done. Raises the first failure."""
    counts: dict[Any, tuple[int, int | None]] = dict.fromkeys(inboxes, (0, None))
    parts: list[offline.Summary] = []
    while len(parts) < len(inboxes):
        for inbox in wait([i for i in inboxes if not i.closed]):
            assert isinstance(inbox, Connection)
            try:
                kind, *rest = inbox.recv()
            except EOFError:
                raise StereoError("a process of --jobs died; use fewer jobs if memory is short, and --resume") from None
            if kind == "failed":
                error = StereoError(rest[0])
                error.exit_code = rest[1]
                raise error
            if kind == "done":
                parts.append(rest[0])
                inbox.close()
            else:
                counts[inbox] = (rest[0], rest[1])
                totals = [total for _, total in counts.values() if total is not None]
                progress(sum(done for done, _ in counts.values()), sum(totals) if len(totals) == len(inboxes) else None)
    return parts


def _work(outbox: Connection, level: int, uri: str, cfg: Config, folder: Path, shard: offline.Shard, threads: int) -> None:
    """One worker process. Ctrl-C reaches it through its parent, as SIGTERM, which finishes the files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminated)
    logging.basicConfig(level=level, format="stereo-rt: %(message)s", force=True)
    try:
        summary = offline.process(
            uri,
            cfg,
            folder,
            resume=False,
            shard=shard,
            threads=threads,
            progress=lambda done, total: outbox.send(("progress", done, total)),
        )
        outbox.send(("done", summary))
    except StereoError as e:
        outbox.send(("failed", str(e), e.exit_code))
    except BrokenPipeError:
        pass  # the parent listens no more: another worker failed


def _terminated(signum: int, _: object) -> None:
    raise SystemExit(128 + signum)
