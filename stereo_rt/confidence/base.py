"""Evidence in, a score for every pixel out: what all confidence methods have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError
from ..frames import Disparity
from ..matchers.base import Matcher
from ..matchers.torch import TorchMatcher
from ..post.leftright import mirrored

if TYPE_CHECKING:
    from ..nets.predictions import Predictions


class Need(Enum):
    """What a method asks of the matcher, with the words for one that lacks it. Any matcher can be run again."""

    NOTHING = ""
    CONFIDENCE = "the matcher gives no confidence of its own; take another method, such as left_right"
    NETWORK = "it looks inside the network; use --backend torch"
    DISTRIBUTION = "it wants a network that gives a distribution of disparities, and --backend torch"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a method may look at.

    left, right: (H, W, 3) uint8 BGR or (H, W) uint8. estimate: what the matcher said of this pair; the score is about
    its disparity_px.
    """

    left: np.ndarray
    right: np.ndarray
    estimate: Disparity
    matcher: Matcher

    @property
    def network(self) -> TorchMatcher:
        """The matcher, for methods that look inside the network. Raises UsageError when it runs elsewhere."""
        if not isinstance(self.matcher, TorchMatcher):
            raise UsageError(
                f"{self.matcher.spec.name} on {self.matcher.spec.backend} shows only its maps; use --backend torch"
            )
        return self.matcher

    @cached_property
    def seen_right(self) -> Disparity:
        """The right eye's map, by matching the mirrored pair."""
        return mirrored(self.matcher, self.left, self.right)

    @cached_property
    def predictions(self) -> Predictions:
        """Everything the network said of this pair, on its own grid."""
        network = self.network  # before torch: what has none says so where torch is not installed either

        import torch

        with torch.inference_mode():
            return network.net.predict(*network.enter(self.left, self.right))


@dataclass(frozen=True)
class Method:
    """score: (H, W) float32 in [0, 1], more for what is more likely right. Where the estimate is NaN it means nothing.

    It ranks pixels; only 'learned' and what `stereo-rt confidence fit` writes are meant as probabilities.
    fitted_for: name of the only matcher that it knows the errors of; empty where any will do.
    """

    name: str
    score: Callable[[Evidence], np.ndarray]
    need: Need = Need.NOTHING
    fitted_for: str = ""

    def obstacle(self, matcher: Matcher) -> str:
        """Why this matcher cannot serve the method, and what to do; empty when it can."""
        if self.fitted_for not in ("", matcher.spec.name):
            return f"it was fitted for {self.fitted_for}; fit one for {matcher.spec.name} with: stereo-rt confidence fit"
        lacking = {
            Need.NOTHING: False,
            Need.CONFIDENCE: not matcher.spec.has_confidence,
            Need.NETWORK: not isinstance(matcher, TorchMatcher),
            Need.DISTRIBUTION: not (isinstance(matcher, TorchMatcher) and getattr(matcher.net, "has_distributions", True)),
        }
        return self.need.value if lacking[self.need] else ""

    def check(self, matcher: Matcher) -> None:
        """Raises UsageError where there is an obstacle."""
        if why := self.obstacle(matcher):
            raise UsageError(f"no confidence from {self.name} with {matcher.spec.name} on {matcher.spec.backend}: {why}")

    def rated(self, evidence: Evidence) -> Disparity:
        """The estimate with this method's score for its confidence; 0 where there is no estimate."""
        known = np.isfinite(evidence.estimate.disparity_px)
        return replace(evidence.estimate, confidence=np.where(known, self.score(evidence), np.float32(0)))


def learned(evidence: Evidence) -> np.ndarray:
    """The matcher's own: of a student, the head trained to tell |e| < 1 px + 3 % of d; of sgbm, its left-right agreement."""
    return evidence.estimate.confidence


def falling(spread_px: np.ndarray) -> np.ndarray:
    """1 / (1 + s): spreads or disagreements in px (>= 0) as scores in (0, 1]; 0 for NaN, which nobody can vouch for."""
    return np.where(np.isnan(spread_px), 0, 1 / (1 + spread_px)).astype(np.float32)
