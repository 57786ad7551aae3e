#!/usr/bin/env python3
"""Hours of the live viewer, with visitors who come, stall and go, and recordings that start and stop: does anything grow?

    python tools/soak.py [SOURCE] [--minutes 480] [--every 10] [-o soak.csv] [-- FLAGS OF stereo-rt view]

Linux only. The viewer is a process of its own, seen from outside: its memory, threads and open files from /proc, its rate,
frame age and state from /status.json; a row of soak.csv for every look. The first third of the looks is set beside the last:
exit code 3 where that passes one of LIMITS, where the loop was not "ok" at a look, where a recording holds no frames, and where
SIGTERM does not end it cleanly. Half an hour without a network:

    python tools/soak.py 'synthetic://room?live=1' --minutes 30 -- --backend sgbm
"""

from __future__ import annotations

import argparse
import csv
import json
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
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
FEWEST = 6
LIMITS: dict[str, Callable[[float, float], bool]] = {
    "memory_mib": lambda first, last: last > 1.05 * first + 16,
    "threads": lambda first, last: last > first + 2,
    "files": lambda first, last: last > first + 4,
    "fps": lambda first, last: last < 0.9 * first,
}
"""(median of the first third, of the last) -> is it too much. A visitor more at a look is a thread and a file more."""


@dataclass(frozen=True)
class Look:
    """A row of the file. drops: frames of the camera that nobody was in time for. recordings: finished and read until then."""

    at_s: float
    state: str
    fps: float
    frame_age_p99_ms: float
    drops: int
    memory_mib: float
    threads: int
    files: int
    recordings: int


class Viewing:
    """`stereo-rt view` in a process of its own, until end(). Its recordings go to `folder`."""

    def __init__(self, source: str, flags: Sequence[str], folder: Path) -> None:
        command = [sys.executable, "-m", "stereo_rt", "view", source, "--web", "auto", *flags]
        self.folder, self.recordings, self.faults = folder, 0, list[str]()
        self.words = (folder / "stderr.txt").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=self.words, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        if not found:
            self.process.wait(PATIENCE_S)
            sys.exit(f"the viewer did not start: {self.last_words()}")
        self.url = found[0].rstrip("/")
        self.port = int(self.url.rpartition(":")[2])

    def ask(self, path: str, changes: dict[str, Any] | None = None) -> bytes:
        body = None if changes is None else json.dumps(changes).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers), timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def look(self, at_s: float) -> Look:
        said = json.loads(self.ask("/status.json"))
        place = Path(f"/proc/{self.process.pid}")
        kib = dict(re.findall(r"(\w+):\s+(\d+)", (place / "status").read_text()))
        facts = said["state"], said["fps"], said["frame_age_p99_ms"], said["drops"]
        files = sum(1 for _ in (place / "fd").iterdir())
        return Look(at_s, *facts, int(kib["VmRSS"]) / 1024, int(kib["Threads"]), files, self.recordings)

    def record(self, seconds: float) -> None:
        """One recording, read and removed; what is wrong with it is a fault."""
        before = set(self.folder.glob("*.mkv"))
        self.ask("/control", {"record": True})
        time.sleep(seconds)
        self.ask("/control", {"record": False})
        for take in set(self.folder.glob("*.mkv")) - before:
            command = [sys.executable, "-m", "stereo_rt", "info", "--json", take]
            about = subprocess.run(command, capture_output=True, text=True)
            if about.returncode or not json.loads(about.stdout)[0].get("frames"):
                self.faults.append(f"the recording {take.name} is not whole: {(about.stderr or about.stdout).strip()}")
            for file in self.folder.glob(f"{take.name}*"):
                file.unlink()
            self.recordings += 1

    def last_words(self) -> str:
        self.words.seek(0)
        return (self.words.read().strip() or "it said nothing")[-400:]

    def end(self) -> int:
        """The exit code that SIGTERM is answered with; -9 where it took longer than PATIENCE_S."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def main() -> int:
    own, flags = sys.argv[1:], list[str]()
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="synthetic://room?live=1")
    parser.add_argument("--minutes", type=float, default=480.0)
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("-o", "--out", type=Path, default=Path("soak.csv"))
    args = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder:
        viewing = Viewing(args.source, flags, Path(folder))
        try:
            looks = watch(viewing, 60 * args.minutes, args.every, args.out)
        finally:
            code = viewing.end()
        faults = [*viewing.faults, *judged(looks)]
        if code != 128 + signal.SIGTERM:
            faults.append(f"SIGTERM was answered with exit code {code}: {viewing.last_words()}")
    for name in LIMITS:
        print("{:12}{:10.1f} ->{:10.1f}".format(name, *thirds(looks, name)))
    print(
        f"{len(looks)} looks in {looks[-1].at_s / 60:.1f} min, {looks[-1].recordings} recordings; every look is in {args.out}"
    )
    for fault in faults:
        print(f"failed: {fault}", file=sys.stderr)
    return 3 if faults else 0


def watch(viewing: Viewing, seconds: float, every_s: float, out: Path) -> list[Look]:
    """A look every so many seconds, FEWEST of them at least, each written at once; the visitors beside it."""
    over = threading.Event()
    for person in (watcher, passer_by, staller, recordist):
        threading.Thread(target=person, args=(viewing, over, every_s), daemon=True).start()
    looks: list[Look] = []
    began = time.monotonic()
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([field.name for field in fields(Look)])
            while len(looks) < FEWEST or time.monotonic() - began < seconds:
                time.sleep(every_s)
                if viewing.process.poll() is not None:
                    sys.exit(f"the viewer ended by itself after {time.monotonic() - began:.0f} s: {viewing.last_words()}")
                looks.append(viewing.look(time.monotonic() - began))
                rows.writerow(astuple(looks[-1]))
                file.flush()
    finally:
        over.set()
    return looks


def judged(looks: Sequence[Look]) -> list[str]:
    """A sentence for each limit that is passed, and one where the loop was not well."""
    medians = {name: thirds(looks, name) for name in LIMITS}
    faults = [f"{name} went from {a:.1f} to {b:.1f}" for name, (a, b) in medians.items() if LIMITS[name](a, b)]
    if unwell := [look for look in looks if look.state != "ok"]:
        faults.append(
            f"{len(unwell)} of {len(looks)} looks were not ok, the first after {unwell[0].at_s:.0f} s: {unwell[0].state}"
        )
    return faults


def thirds(looks: Sequence[Look], name: str) -> tuple[float, float]:
    """The medians of one column over the first third of the looks and over the last."""
    values, third = [float(getattr(look, name)) for look in looks], max(len(looks) // 3, 1)
    return statistics.median(values[:third]), statistics.median(values[-third:])


def watcher(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Reads the pictures as they come, from the first to the last."""
    with connection(viewing) as line:
        while not over.is_set() and line.recv(1 << 20):
            pass


def passer_by(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Sees a few pictures and hangs up in the middle of one, again and again."""
    while not over.wait(every_s / 5):
        with connection(viewing) as line:
            for _ in range(20):
                line.recv(1 << 16)


def staller(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Asks and never reads."""
    while not over.is_set():
        with connection(viewing):
            over.wait(5 * every_s)


def recordist(viewing: Viewing, over: threading.Event, every_s: float) -> None:
    """Records for a while, and rests as long."""
    while not over.wait(every_s):
        try:
            viewing.record(every_s)
        except OSError as e:
            if not over.is_set():
                viewing.faults.append(f"a recording could not be asked for: {e}")


def connection(viewing: Viewing) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", viewing.port), timeout=PATIENCE_S)
    line.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return line


if __name__ == "__main__":
    sys.exit(main())
