#!/usr/bin/env python3
"""Hours of the live viewer, with visitors who come, stall and go, and recordings that start and stop: does anything grow?

    python tools/soak.py [SOURCE] [--minutes 480] [--every 10] [-o soak.csv] [-- FLAGS OF stereo-rt view]

Linux only. The viewer is a process of its own, seen from outside: its memory, threads and open files from /proc, its rate,
frame age and state from /status.json; a row of soak.csv for every look. The first third of the looks is set beside the last:
exit code 3 where that passes one of LIMITS, where the loop was not "ok" or stood still at a look, where a recording or a
visitor came to grief, and where SIGTERM does not end it cleanly. Ctrl-C judges what was seen until then. Half an hour without
a network:

    python tools/soak.py 'synthetic://room?live=1' --minutes 30 -- --backend sgbm
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
STARTING_S = 600.0
FEWEST = 6
TROUBLE = (OSError, ValueError, http.client.HTTPException)
"""What asking a viewer may raise: no connection, no answer in time, half an answer, one that is no JSON."""
LIMITS: dict[str, Callable[[float, float], bool]] = {
    "memory_mib": lambda first, last: last > 1.05 * first + 16,
    "threads": lambda first, last: last > first + 2,
    "files": lambda first, last: last > first + 4,
    "fps": lambda first, last: last < 0.9 * first,
}
"""(median of the first third, of the last) -> is it too much. A visitor more at a look is a thread and a file more."""


@dataclass(frozen=True)
class Look:
    """A row of the file. frames: since the start. drops: of the camera's, those nobody was in time for. warnings: how many."""

    at_s: float
    state: str
    frames: int
    fps: float
    frame_age_p99_ms: float
    drops: int
    warnings: int
    memory_mib: float
    threads: int
    files: int
    recordings: int


class Viewing:
    """`stereo-rt view` in a process of its own, until end(). folder: for its recordings. faults: what went wrong meanwhile."""

    def __init__(self, source: str, flags: Sequence[str], folder: Path) -> None:
        source, flags = ",".join(map(absolute, source.split(","))), [absolute(flag) for flag in flags]
        command = [sys.executable, "-m", "stereo_rt", "view", source, "--web", "auto", *flags]
        paths = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        env = {name: value for name, value in os.environ.items() if name != "STEREO_RT_TOKEN"} | {"PYTHONPATH": paths}
        self.folder, self.recordings, self.faults = folder, 0, list[str]()
        self.words = (folder / "stderr.txt").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=self.words, text=True)
        try:
            self.port = self._port()
            self._wait_until_well()
        except BaseException:
            self.process.kill()
            raise

    def _port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://[^/\s]+:(\d+)/?(\S*)", line):
                if found[2]:
                    sys.exit("the soak knows no token: leave --token out")
                return int(found[1])
        self.process.wait(PATIENCE_S)
        sys.exit(f"the viewer did not start: {self.last_words()}")

    def _wait_until_well(self) -> None:
        """Loading a network, or building an engine, comes after the page."""
        deadline = time.monotonic() + STARTING_S
        while json.loads(self.ask("/status.json"))["state"] != "ok":
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the viewer showed nothing: {self.last_words()}")
            time.sleep(0.1)

    def ask(self, path: str, changes: dict[str, Any] | None = None) -> bytes:
        body = None if changes is None else json.dumps(changes).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def look(self, at_s: float) -> Look:
        said = json.loads(self.ask("/status.json"))
        place = Path(f"/proc/{self.process.pid}")
        kib = dict(re.findall(r"(\w+):\s+(\d+)", (place / "status").read_text()))
        facts = said["state"], said["frames"], said["fps"], said["frame_age_p99_ms"], said["drops"], len(said["warnings"])
        files = sum(1 for _ in (place / "fd").iterdir())
        return Look(at_s, *facts, int(kib["VmRSS"]) / 1024, int(kib["Threads"]), files, self.recordings)

    def record(self, seconds: float) -> None:
        """One recording, read and removed; what is wrong with it is a fault."""
        before = set(self.folder.glob("*.mkv"))
        self.ask("/control", {"record": True})
        time.sleep(seconds)
        said = json.loads(self.ask("/control", {"record": False}))["message"]
        if not (takes := set(self.folder.glob("*.mkv")) - before):
            self.faults.append(f"no recording was written: {said}")
        for take in takes:
            command = [sys.executable, "-m", "stereo_rt", "info", "--json", str(take)]
            about = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
            if about.returncode or not json.loads(about.stdout)[0].get("frames"):
                self.faults.append(f"the recording {take.name} is not whole: {(about.stderr or about.stdout).strip()}")
            for file in self.folder.glob(f"{take.name}*"):
                file.unlink()
            self.recordings += 1

    def last_words(self) -> str:
        self.words.seek(0)
        return (self.words.read().strip() or "it said nothing")[-400:]

    def end(self) -> None:
        """By SIGTERM; a fault, where that is not a clean end."""
        ended_by_itself = self.process.poll()
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if ended_by_itself is not None:
            self.faults.append(f"the viewer ended by itself with exit code {code}: {self.last_words()}")
        elif code != 128 + signal.SIGTERM:
            self.faults.append(f"SIGTERM was answered with exit code {code}: {self.last_words()}")


def main() -> int:
    own, flags = sys.argv[1:], list[str]()
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    if "--headless" in flags:
        sys.exit("the soak looks at the web page: leave --headless out")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="synthetic://room?live=1")
    parser.add_argument("--minutes", type=float, default=480.0)
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("-o", "--out", type=Path, default=Path("soak.csv"))
    args = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder, ended_by_sigterm():
        viewing = Viewing(args.source, flags, Path(folder))
        try:
            looks = watch(viewing, 60 * args.minutes, args.every, args.out)
        finally:
            viewing.end()
    faults = [*viewing.faults, *judged(looks)]
    if looks:
        for name in LIMITS:
            print("{:12}{:10.1f} ->{:10.1f}".format(name, *thirds(looks, name)))
        last = looks[-1]
        print(f"{len(looks)} looks in {last.at_s / 60:.1f} min, {last.recordings} recordings; every look is in {args.out}")
    for fault in dict.fromkeys(faults):
        print(f"failed: {fault}", file=sys.stderr)
    return 3 if faults else 0


def watch(viewing: Viewing, seconds: float, every_s: float, out: Path) -> list[Look]:
    """A look every so many seconds, FEWEST of them at least, each written at once; the visitors beside it."""
    over = threading.Event()
    for person in (watcher, passer_by, staller, recordist):
        threading.Thread(target=keep_coming, args=(person, viewing, over, every_s), daemon=True).start()
    looks: list[Look] = []
    began = time.monotonic()
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([field.name for field in fields(Look)])
            while len(looks) < FEWEST or time.monotonic() - began < seconds:
                time.sleep(every_s)
                looks.append(viewing.look(time.monotonic() - began))
                rows.writerow(astuple(looks[-1]))
                file.flush()
    except TROUBLE as e:
        viewing.faults.append(f"after {time.monotonic() - began:.0f} s no look was to be had: {e}")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        over.set()
    return looks


def judged(looks: Sequence[Look]) -> list[str]:
    """A sentence for each limit that is passed, and for each way in which the loop was not well."""
    if len(looks) < FEWEST:
        return [f"{len(looks)} looks tell nothing"]
    medians = {name: thirds(looks, name) for name in LIMITS}
    faults = [f"{name} went from {a:.1f} to {b:.1f}" for name, (a, b) in medians.items() if LIMITS[name](a, b)]
    troubles = {
        "not ok": [look for look in looks if look.state != "ok"],
        "of a loop that stood still": [b for a, b in pairwise(looks) if b.frames <= a.frames],
        "with more warnings than at first": [look for look in looks if look.warnings > looks[0].warnings],
    }
    for what, some in troubles.items():
        if some:
            first = f"the first after {some[0].at_s:.0f} s: {some[0].state}"
            faults.append(f"{len(some)} of {len(looks)} looks were {what}, {first}")
    return faults


def thirds(looks: Sequence[Look], name: str) -> tuple[float, float]:
    """The medians of one column over the first third of the looks and over the last."""
    values, third = [float(getattr(look, name)) for look in looks], max(len(looks) // 3, 1)
    return statistics.median(values[:third]), statistics.median(values[-third:])


Person = Callable[[Viewing, threading.Event, float], None]


def keep_coming(person: Person, viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """One visit after the other; a visit that ends badly is a fault, unless all is over."""
    while not over.wait(every_s / 5):
        try:
            person(viewing, over, every_s)
        except TROUBLE as e:
            if not over.is_set():
                viewing.faults.append(f"the {person.__name__.replace('_', '-')}: {e}")


def watcher(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Reads the pictures as they come, from the first to the last."""
    with connection(viewing) as line:
        while not over.is_set():
            if not line.recv(1 << 20):
                raise ConnectionError("the stream of pictures ended")


def passer_by(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Sees a few pictures and hangs up in the middle of one."""
    with connection(viewing) as line:
        for _ in range(20):
            line.recv(1 << 16)


def staller(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Asks and never reads."""
    with connection(viewing):
        over.wait(5 * every_s)


def recordist(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Rests, and records for as long."""
    if not over.wait(every_s):
        viewing.record(every_s)


def connection(viewing: Viewing) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", viewing.port), timeout=PATIENCE_S)
    line.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return line


def absolute(text: str) -> str:
    """A path that is there, from the root: the viewer runs elsewhere."""
    name, mark, rest = text.partition("?")
    return f"{Path(name).resolve()}{mark}{rest}" if name and Path(name).exists() else text


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM is Ctrl-C, so that the viewer is never left behind."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
