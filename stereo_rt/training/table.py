"""A CSV table that grows by a row at a time and survives a kill: a row that was cut short is dropped on the way back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ..atomic import write_bytes
from ..errors import OutputError

Row = Mapping[str, float]


class Table:
    """rows: of numbers, each with a step, on disk at any time. The first row decides the columns.

    upto: rows of later steps are dropped: a run that goes on from there writes them again. Raises OutputError.
    """

    def __init__(self, file: Path, upto: int) -> None:
        self._file = file
        self.rows = [row for row in read_rows(file) if row["step"] <= upto]
        if self.rows:
            write_bytes(file, _line(self.rows[0]), *(_line(row.values()) for row in self.rows))
        else:
            file.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Raises OutputError when the disk is full."""
        head = b"" if self.rows else _line(row)
        try:
            with self._file.open("ab") as file:
                file.write(head + _line(row.values()))
        except OSError as e:
            raise OutputError(f"{self._file}: cannot be written ({e.strerror}); free some space, then add --resume") from None
        self.rows.append(dict(row))


def read_rows(file: Path) -> list[dict[str, float]]:
    """The whole rows of numbers of a table; none where there is no file."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [numbers for row in csv.DictReader(io.StringIO(whole)) if (numbers := _numbers(row))]


def _numbers(row: Mapping[str, str]) -> dict[str, float] | None:
    try:
        return {name: float(value) for name, value in row.items()}
    except (TypeError, ValueError):  # fewer or more values than names, or no numbers
        return None


def column(file: Path, name: str) -> list[tuple[float, float]]:
    """(step, value) of each whole row of a table."""
    return [(row["step"], row[name]) for row in read_rows(file)]


def _line(values: object) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(f"{v:.6g}" if isinstance(v, float) else v for v in values)  # type: ignore[attr-defined]
    return text.getvalue().encode()
