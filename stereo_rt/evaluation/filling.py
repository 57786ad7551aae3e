"""Ways to fill holes side by side: how wrong what they invent is, at the pixels that stereo is not sure of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..config import PostConfig
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from ..post import Post
from .metrics import Figures, error_rates, mean_of
from .report import Matched

KEPT = "as matched"
"""What the matcher itself says where it is not sure: nothing is filled, and nothing masked."""
ROWS = "rows"
MonoMap = Callable[[Matched], np.ndarray]
"""A scene -> (H, W) float32 relative inverse depth of its left image, larger is nearer."""
FIGURES = ("epe", "bad2", "bad3", "density")


class FillingStudy:
    """An observer of `evaluate`: fills every scene in every way. maps: monocular ones, by the names they have in the table.

    config: what is sure, as in the loop. Only pixels with ground truth that it does not keep are judged.
    """

    def __init__(self, maps: Mapping[str, MonoMap], config: PostConfig) -> None:
        self._maps = dict(maps)
        self._kept = Post(config.model_copy(update={"fill": "none", "temporal": 0.0}))
        self._rows = Post(config.model_copy(update={"fill": "rows", "temporal": 0.0}))
        self._mono = Post(config.model_copy(update={"fill": "mono", "temporal": 0.0}))
        self._scenes: dict[str, dict[str, Figures | None]] = {}
        self._sets: dict[str, str] = {}
        self._shares: list[float] = []
        self._refused: dict[str, list[str]] = {}

    def __call__(self, matched: Matched) -> None:
        height, width = matched.given.truth_px.shape
        frame = StereoFrame(matched.given.left, matched.given.right, len(self._scenes), 0)
        rest: tuple[StereoFrame, RectifiedRig, dict[str, float]] = (frame, RectifiedRig.uncalibrated(width, height), {})
        unsure = ~self._kept(matched.found, *rest).mask
        filled = {KEPT: matched.found.disparity_px, ROWS: self._rows(matched.found, *rest).disparity_px}
        filled[ROWS] = np.where(unsure, filled[ROWS], np.float32(np.nan))
        for name, mono in self._maps.items():
            result = self._mono(matched.found, *rest, mono=mono(matched))
            assert result.filled is not None
            filled[name] = np.where(result.filled, result.disparity_px, np.float32(np.nan))
            if self._mono.note:
                self._refused.setdefault(name, []).append(matched.scene.name)
        self._scenes[matched.scene.name] = {
            name: error_rates(matched.given.truth_px, values, unsure) for name, values in filled.items()
        }
        self._sets[matched.scene.name] = matched.scene.set
        self._shares.append(float(unsure[np.isfinite(matched.given.truth_px)].mean()))

    def result(self) -> dict[str, Any]:
        """{scenes, sets, mean: {way: error_rates}, share, refused}; every scene weighs the same in the means.

        share: of the pixels with ground truth, those that were to be filled. refused: scenes in which a map did not go with the
        disparity, by the map's name; nothing is filled there, and counts as wrong.
        """
        sets = {
            name: self._mean([row for scene, row in self._scenes.items() if self._sets[scene] == name])
            for name in sorted(set(self._sets.values()))
        }
        return {
            "scenes": self._scenes,
            "sets": sets,
            "mean": self._mean(list(self._scenes.values())),
            "share": float(np.mean(self._shares)),
            "refused": self._refused,
        }

    def _mean(self, rows: list[dict[str, Figures | None]]) -> dict[str, Figures | None]:
        return {name: mean_of([row[name] for row in rows]) for name in (KEPT, ROWS, *self._maps)}


def filling_table(result: Mapping[str, Any]) -> str:
    """One line for each way, in every set and in the mean: EPE (px), bad2, bad3 (%) and the share that it filled (%)."""
    columns = {**result["sets"], "mean": result["mean"]}
    named = max(map(len, [*columns, "set"]))
    ways = max(map(len, result["mean"]))
    lines = [f"{'set':{named}}  {'filled by':{ways}}" + "".join(f"{title:>9}" for title in ("epe", "bad2", "bad3", "filled"))]
    for name, rows in columns.items():
        for i, (way, figures) in enumerate(rows.items()):
            values = [figures.get(key) if figures else None for key in FIGURES]
            cells = "".join(f"{'-' if value is None else format(value, '.2f'):>9}" for value in values)
            lines.append(f"{'' if i else name:{named}}  {way:{ways}}{cells}")
    lines.append(f"{result['share']:.1%} of the pixels with ground truth were to be filled")
    lines += [
        f"{name} filled nothing in {len(scenes)} of {len(result['scenes'])}" for name, scenes in result["refused"].items()
    ]
    return "\n".join(lines)
