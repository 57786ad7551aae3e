"""The curves of a run: curves.csv and eval.csv, a picture of both, and TensorBoard where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2

from ..atomic import write_bytes
from .plot import Line, Panel, draw
from .table import Table

RATES = ("bad1", "bad2", "bad3")


class Curves:
    """folder: of the run. step: the one it goes on from; what was written of later ones is dropped. Raises OutputError.

    curves.csv has a row every few steps: step, rate (of learning), loss, its terms and, of disparities, error rates (%) on
    the training samples, each a mean since the row before, and samples a second. eval.csv has the scores of the averaged
    network.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._training, self._scores = (Table(folder / name, step) for name in ("curves.csv", "eval.csv"))
        self._board = _tensorboard(folder / "tensorboard", step)

    def add(self, row: Mapping[str, float]) -> None:
        self._training.add(row)
        self._show("train", row)

    def add_score(self, row: Mapping[str, float]) -> None:
        self._scores.add(row)
        self._show("eval", row)

    def draw(self) -> None:
        """Write curves.png. Raises OutputError."""
        rows, scores = self._training.rows, self._scores.rows

        def line(name: str, table: list[dict[str, float]], x: str = "step") -> Line:
            return Line(name, [row[x] for row in table], [row[name] for row in table])

        if not rows:
            return
        others = {"step", "rate", "gradient", "samples_per_s", *RATES}
        panels = [
            Panel(
                "loss and its terms",
                "step",
                tuple(line(name, rows) for name in rows[0] if name not in others),
                logarithmic=True,
            ),
            Panel("learning rate", "step", (line("rate", rows),)),
        ]
        if of_disparities := RATES[0] in rows[0]:
            panels.insert(1, Panel("wrong pixels in training, %", "step", tuple(line(name, rows) for name in RATES)))
        if scores:
            names = RATES if of_disparities else [name for name in scores[0] if name not in ("step", "samples", "minutes")]
            title = "wrong pixels in evaluation, %" if of_disparities else "scores in evaluation"
            shown = tuple(line(name, scores, "samples") for name in names)
            panels.append(Panel(title, "samples", shown, logarithmic=True))
        write_bytes(self._folder / "curves.png", cv2.imencode(".png", draw(panels))[1].data)

    def _show(self, group: str, row: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _tensorboard(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
