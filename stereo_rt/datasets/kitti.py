"""KITTI 2012 and 2015: streets, measured by a laser scanner; a disparity at about every fourth pixel.

2012  [training/]colored_0/000000_10.png, colored_1 (or the grey image_0, image_1); disp_occ, disp_noc
2015  [training/]image_2/000000_10.png, image_3; disp_occ_0, disp_noc_0
disp_*: 16 bit, px * 256, 0 where it is not known; *_noc lacks what the right eye does not see
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .labelled import Labelled, Sample, below, hidden_by, read_colour, read_scaled

LOOKS_FOR = "image_2, image_3 and disp_occ_0 (2015), or colored_0 and disp_occ (2012)"
SCALE = 256


@dataclass(frozen=True)
class _Edition:
    eyes: tuple[str, str]
    occluded_too: str
    seen_twice: str


_EDITIONS = (
    _Edition(("image_2", "image_3"), "disp_occ_0", "disp_noc_0"),
    _Edition(("colored_0", "colored_1"), "disp_occ", "disp_noc"),
    _Edition(("image_0", "image_1"), "disp_occ", "disp_noc"),
)


def find(folder: Path) -> list[Labelled]:
    """Every left image with a disparity; the colour images of 2012 where they are there, its grey ones otherwise."""
    found: dict[tuple[Path, str, str], _Edition] = {}
    for level in ("", "*/", "*/*/"):
        for edition in _EDITIONS:
            for truths in (edition.occluded_too, edition.seen_twice):
                for truth in sorted(folder.glob(f"{level}{truths}/*.png")):
                    home, name = truth.parent.parent, truth.name
                    if (home / edition.eyes[0] / name).exists():
                        found.setdefault((home, edition.occluded_too, name), edition)
    # Both editions, unpacked to one place, number their frames alike.
    frames = Counter((home, name) for home, _, name in found)
    return [
        Labelled(
            below(folder, home / (edition.eyes[0] if frames[home, name] > 1 else "") / Path(name).stem),
            partial(_read, home, name, edition),
        )
        for (home, _, name), edition in found.items()
    ]


def _read(home: Path, name: str, edition: _Edition) -> Sample:
    left, right = (read_colour(home / eye / name) for eye in edition.eyes)
    maps = [home / truth / name for truth in (edition.occluded_too, edition.seen_twice)]
    known = [read_scaled(file, SCALE) for file in maps if file.exists()]
    occluded = hidden_by(known[0], np.isfinite(known[1])) if len(known) == 2 else None
    return Sample(left, right, known[0], occluded)
