"""What a regressor learns from: cues at pixels whose true disparity is known, and whether the estimate there was right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingExtra, SourceError
from ..evaluation.reliability import is_right
from ..matchers.base import Matcher
from .base import Evidence
from .cues import Cue, cues_for, rows

if TYPE_CHECKING:
    from ..datasets import Sample

SIZE = (512, 384)
"""Of drawn scenes."""
SEED = 20_011
"""Of drawn scenes: none that a shipped network was trained on."""


@dataclass(frozen=True, eq=False)
class Samples:
    """cues: (N, len(names)) float32. right: (N,) bool, |e| < 1 px + 3 % of d. scene: (N,) int, where each comes from."""

    names: tuple[Cue, ...]
    cues: np.ndarray
    right: np.ndarray
    scene: np.ndarray


def collect(
    scenes: Iterable[Sample], matcher: Matcher, pixels: int, seed: int = 0, done: Callable[[int], None] = lambda count: None
) -> Samples:
    """`pixels` of each scene, drawn among those with known truth and an estimate: as often wrong as the matcher is.

    done: told how many scenes were matched. Raises SourceError where no pixel is known.
    """
    names, chance = cues_for(matcher), np.random.default_rng(seed)
    cues, right, of = [], [], []
    for k, scene in enumerate(scenes):
        found = matcher(scene.left, scene.right)
        known = np.flatnonzero(np.isfinite(scene.truth_px) & np.isfinite(found.disparity_px))
        some = np.zeros(scene.truth_px.shape, bool)
        some.flat[chance.choice(known, min(pixels, len(known)), replace=False)] = True
        cues.append(rows(Evidence(scene.left, scene.right, found, matcher), names, some))
        right.append(is_right(scene.truth_px[some], found.disparity_px[some], "target"))
        of.append(np.full(len(right[-1]), k))
        done(k + 1)
    if not sum(map(len, right)):
        raise SourceError("no scene has a pixel whose true disparity is known; check the dataset with: stereo-rt eval")
    return Samples(names, np.concatenate(cues), np.concatenate(right), np.concatenate(of))


def drawn_scenes(count: int, size: tuple[int, int] = SIZE, seed: int = SEED) -> Iterator[Sample]:
    """Scenes of the stream that the students learn from, through imperfect cameras, with exact truth. Raises MissingExtra."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("drawing scenes", "train") from None
    from ..datasets import Sample
    from ..training.scenes import SceneStream

    stream = SceneStream(size, batch=1, seed=seed, pool=1)
    for step in range(count):
        batch = stream.batch(step)
        left, right = (image[0].mul(255).round().byte().numpy()[::-1] for image in (batch.left, batch.right))
        left, right = (np.ascontiguousarray(image.transpose(1, 2, 0)) for image in (left, right))
        yield Sample(left, right, batch.disparity_px[0].numpy())
