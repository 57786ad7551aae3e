"""Numbers in small files, which may be absent, unreadable or nonsense at any moment."""

from __future__ import annotations

from pathlib import Path


def text(file: Path) -> str | None:
    """The file's line; None where it cannot be read."""
    try:
        return file.read_text().strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None


def number(file: Path) -> int | None:
    """The whole number in a file; None where there is none."""
    try:
        return int(text(file) or "")
    except ValueError:
        return None
