"""What the loop itself costs: the whole of it around a matcher that computes nothing.

The stand-in does what any backend on an accelerator does on the host: it copies both images into buffers of its own and
hands out fresh maps. Everything else is the real loop: threads, channels, timers, post-processing and a sink. The frames
are rectified beforehand, and there is no display.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..config import Config
from ..frames import Disparity, StereoFrame
from ..geometry import RectifiedRig
from ..matchers.base import MatcherSpec
from ..plan import Plan
from ..sources.memory import MemorySource
from .loop import WARM_UP, run_loop
from .report import Overhead

REPEATS = 10
FRAMES = 100


class FreeMatcher:
    """Answers with maps that lie ready, in rotation."""

    def __init__(self, spec: MatcherSpec, answers: Sequence[Disparity], like: StereoFrame) -> None:
        self.spec = spec
        self._answers, self._next = answers, 0
        self._left, self._right = np.empty_like(like.left), np.empty_like(like.right)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        np.copyto(self._left, left)
        np.copyto(self._right, right)
        self._next = (self._next + 1) % len(self._answers)
        answer = self._answers[self._next]
        return Disparity(answer.disparity_px.copy(), answer.confidence.copy())

    def close(self) -> None:
        pass


def overhead(
    spec: MatcherSpec, rig: RectifiedRig, rectified: Sequence[StereoFrame], matched: Sequence[Disparity], cfg: Config
) -> Overhead:
    """The least of REPEATS runs, each figure by itself: other processes can only add. rectified, matched: on rig's grid.

    matched: with the confidence that cfg asks for; rating it anew, like a network to fill with, is no part of the loop itself.
    """
    fill = "none" if cfg.post.fill == "mono" else cfg.post.fill
    cfg = cfg.model_copy(update={"post": cfg.post.model_copy(update={"confidence_from": None, "fill": fill})})
    runs = [
        run_loop(
            MemorySource(rectified, length=FRAMES + WARM_UP),
            lambda: FreeMatcher(spec, matched, rectified[0]),
            lambda size, spec: Plan(rig),
            cfg,
            FRAMES,
        )
        for _ in range(REPEATS)
    ]
    return Overhead(
        wall_ms=min(float(run.intervals_ms.mean()) for run in runs),
        cpu_ms=min(run.cpu_ms for run in runs),
        post_ms=min(float(np.median([row["post"] for row in run.meter.stage_ms])) for run in runs),
    )
