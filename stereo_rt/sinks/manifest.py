"""The record of an output folder: what was made of which frame, with which settings. It survives a killed run.

While a run writes, each whole frame adds one line to a journal (`manifest.0-of-1.jsonl`). At the end the journals
become `manifest.json`; until then, and after a kill, manifest.json and the journals together hold the truth. Several
processes may share a folder, each with a journal (shard) of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from ..atomic import sweep, write_bytes
from ..errors import OutputError, StereoError

NAME = "manifest.json"
IDENTITY = ("source", "config", "model", "calibration")
"""The parts of a head that must agree when a run is continued: otherwise frames of two kinds would mix."""
IRRELEVANT = {"run": None, "match": ("threads",), "view": ("headless", "web", "token", "jpeg_quality")}
"""Settings that change no file: whole sections of the config, or keys of one."""


class Manifest:
    """The record of `folder` for one run (or one shard of it). Nothing is written before begin().

    head: plain values that describe the run, with the IDENTITY parts among them. shard: (i, n), this writer's place.
    resume: continue a run that is there; shards of one run continue each other. done: the frames that are whole already.
    Raises OutputError when the folder holds something else, or a run with other settings.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any], *, shard: tuple[int, int] = (0, 1), resume: bool = False) -> None:
        self.folder = folder
        self._head: dict[str, Any] = plain(head)
        self._may_exist = resume or shard[1] > 1
        self._journal_path = folder / f"manifest.{shard[0]}-of-{shard[1]}.jsonl"
        self._journal: TextIO | None = None
        self.done: set[int] = set()
        with _usable(folder):
            if folder.is_file() or not self._may_exist:
                refuse_filled(folder)
            if folder.is_dir():
                with _locked(folder):
                    if self._claimed():
                        self.done = {i for i, frame in self._recorded().items() if self._whole(frame)}

    def begin(self) -> None:
        """Make the folder this run's. Raises OutputError."""
        with _usable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder):
                if not self._claimed():
                    self._write({**self._head, "frames": []})
                # What a killed run lost is forgotten now: this run may make a file of the same name, for fewer frames.
                self._gather()
                sweep(self.folder)
                journal = self._journal_path.open("a", encoding="utf-8")
                _lock_journal(journal.fileno(), self.folder)
                self._journal = journal

    def add(self, frame: Mapping[str, Any]) -> None:
        """Record a frame whose files are whole: index, timestamp_ns, files and what else is known. Raises OutputError."""
        assert self._journal is not None, "begin() comes first"
        if _unlinked(self._journal):
            raise OutputError(f"{self.folder}: was removed while results went there; process into another folder")
        try:
            # The newline goes first, so that half a line, left by a kill, cannot spoil this one.
            self._journal.write("\n" + json.dumps(plain(frame), allow_nan=False))
            self._journal.flush()
        except OSError as e:
            raise OutputError(f"{self._journal_path}: cannot be written ({e.strerror}); make room and add --resume") from None

    def close(self) -> None:
        """Turn the journals into manifest.json. Those of other live writers stay, as these are not finished."""
        if self._journal is None:
            return
        if _unlinked(self._journal):
            self._journal.close()
            return
        with _locked(self.folder):
            self._journal.close()
            self._gather()

    def _gather(self) -> None:
        """Whole frames of all journals into manifest.json; the folder is locked. Journals of live writers stay beside it."""
        head, frames = read_manifest(self.folder / NAME), self._recorded()
        self._write({**head, "frames": [frames[i] for i in sorted(frames) if self._whole(frames[i])]})
        for journal in self._journals():
            with contextlib.suppress(BlockingIOError), journal.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                journal.unlink()

    def _claimed(self) -> bool:
        """Whether manifest.json is there and this run's; False for an empty folder. Raises OutputError for all else."""
        file = self.folder / NAME
        if not any(self.folder.iterdir()):
            return False
        if not file.exists():
            raise OutputError(f"{self.folder}: holds files, but no {NAME} of a run to continue; choose another folder")
        there = read_manifest(file)
        for part in IDENTITY:
            before, now = (_identity(part, tree.get(part)) for tree in (there, self._head))
            if before != now:
                raise OutputError(
                    f"{self.folder}: was made with another {_difference(part, before, now)}; "
                    "continue with the same settings, or choose another folder"
                )
        return True

    def _write(self, tree: Mapping[str, Any]) -> None:
        write_bytes(self.folder / NAME, json.dumps(tree, indent=1, allow_nan=False).encode())

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob("manifest.*-of-*.jsonl"))

    def _recorded(self) -> dict[int, dict[str, Any]]:
        """Every frame on record, by index."""
        frames = {f["index"]: f for f in read_manifest(self.folder / NAME)["frames"]}
        for journal in self._journals():
            for line in journal.read_bytes().splitlines():
                with contextlib.suppress(ValueError, RecursionError):  # half a line: its writer was killed
                    frame = json.loads(line)
                    if _is_frame(frame):
                        frames[frame["index"]] = frame
        return frames

    def _whole(self, frame: Mapping[str, Any]) -> bool:
        try:
            return all((self.folder / name).is_file() for name in frame["files"].values())
        except (OSError, ValueError):  # a name that cannot be one
            return False


def refuse_filled(folder: Path) -> None:
    """Raises OutputError for a folder that is neither new nor empty."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose a folder")
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is not empty; choose another folder, or add --resume to continue a run")


def read_manifest(path: Path | str) -> dict[str, Any]:
    """A manifest.json as plain values, its 'frames' checked for index and files. Raises StereoError."""
    try:
        tree = json.loads(Path(path).read_bytes())
    except OSError as e:
        raise StereoError(f"{path}: cannot be read ({e.strerror}); check the path") from None
    except (ValueError, RecursionError):
        raise StereoError(f"{path}: is not JSON; the file is damaged, process into a new folder") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("frames"), list) or not all(map(_is_frame, tree["frames"])):
        raise StereoError(f"{path}: is not a manifest of stereo-rt process; check the file")
    return tree


def plain(value: Any) -> Any:
    """Values that strict JSON can hold and our settings can read again: tuples as lists, inf as the text 'inf'."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def _is_frame(frame: Any) -> bool:
    return (
        isinstance(frame, dict)
        and isinstance(frame.get("index"), int)
        and isinstance(frame.get("files"), dict)
        and all(isinstance(name, str) for name in frame["files"].values())
    )


def _identity(part: str, value: Any) -> Any:
    """The part of a head as it is compared."""
    if part != "config" or not isinstance(value, dict):
        return value
    kept = {name: section for name, section in value.items() if name not in IRRELEVANT or IRRELEVANT[name]}
    for name, keys in IRRELEVANT.items():
        if keys and isinstance(kept.get(name), dict):
            kept[name] = {k: v for k, v in kept[name].items() if k not in keys}
    return kept


def _difference(where: str, there: Any, here: Any) -> str:
    """The first setting that differs, as 'config.post.fill (False there, True here)'."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *here]:
            if there.get(key) != here.get(key):
                return _difference(f"{where}.{key}", there.get(key), here.get(key))
    return f"{where} ({there} there, {here} here)"


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise OutputError(f"{folder}: cannot be used ({e.strerror}); choose another folder") from None


def _unlinked(file: TextIO) -> bool:
    """Whether somebody deleted the open file: what is written to it now is lost."""
    return os.fstat(file.fileno()).st_nlink == 0


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time in here."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock_journal(handle: int, folder: Path) -> None:
    """Held until the file is closed or its process ends, however it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{folder}: another run is writing there; wait for it, or choose another folder") from None
