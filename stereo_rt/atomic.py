"""Whole files or none: everything is written under a temporary name beside its place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path (same folder and suffix) that becomes `path` when the block ends well, and vanishes when not.

    Raises OutputError when the disk or the folder refuses.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        except OSError as e:
            raise OutputError(
                f"{path}: cannot be written ({e.strerror or e}); free some space or choose another place"
            ) from None
    finally:
        with suppress(OSError):  # it was renamed, or could not be made
            temporary.unlink()


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Write the parts one after the other as one whole file. Raises OutputError."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part)


def sweep(folder: Path) -> None:
    """Remove what killed writers left under `folder`: temporary files whose process is gone."""
    for file in folder.rglob(".*.part*"):
        pid = file.name.split(".part")[0].rpartition(".")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            file.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
