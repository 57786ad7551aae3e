"""A sheet of pictures: what was hidden, and what each network makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ... import render
from ...atomic import write_bytes
from ..batch import Batch
from ..chance import generator
from ..preview import captioned, picture
from ..recipe import PretrainRecipe
from .objective import MASKS
from .puzzle import errors, pictured, pose

ROWS = 6
WIDTH = 320
"""Of a picture, at least; small ones are enlarged by whole numbers."""


@torch.inference_mode()
def sheet(file: Path, batch: Batch, networks: Mapping[str, tuple[nn.Module, PretrainRecipe]]) -> None:
    """A PNG with a row a pair: left, masked, right, and what each network rebuilds, with its name and its error there.
    Patches that were not hidden are shown as they were given. Raises OutputError.

    networks: with what each was asked for, of which all hide the same share.
    """
    columns: dict[str, Tensor] = {"left": batch.left}
    notes: dict[str, list[str]] = {}
    for mode, (net, asked) in networks.items():
        given = pose(batch, asked, generator(MASKS, 0))
        columns |= {"masked": given.left, "right": batch.right}
        said = net(given.left, given.right)
        columns[mode] = torch.where(given.hidden, pictured(said, batch.left, asked), batch.left)
        notes[mode] = [f"{each:.3f}" for each in errors(said, batch.left, given.hidden, asked).tolist()]
    rows = []
    for number in range(min(ROWS, len(batch.left))):
        cells = []
        for name, images in columns.items():
            shown = _enlarged(picture(images[number]))
            note = f"rebuilt, {name.replace('_', ' ')}: {notes[name][number]}" if name in notes else name
            cells.append(captioned(shown, note))
        gap = np.zeros((len(cells[0]), render.GAP_PX, 3), np.uint8)
        rows.append(np.concatenate([part for cell in cells for part in (cell, gap)][:-1], 1))
    write_bytes(file, cv2.imencode(".png", np.concatenate(rows))[1].tobytes())


def _enlarged(image: np.ndarray) -> np.ndarray:
    factor = max(1, -(-WIDTH // image.shape[1]))
    return image.repeat(factor, 0).repeat(factor, 1)
