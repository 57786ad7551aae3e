"""Each stage by itself, one after the other on one thread, and the network inside the match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..confidence import Evidence, find_method
from ..config import MatchConfig, PostConfig
from ..errors import UsageError
from ..frames import Disparity, StereoFrame
from ..geometry import RectifiedRig
from ..matchers import create_matcher
from ..matchers.base import Matcher, MatcherSpec, NetworkTimer, Preparing
from ..plan import Plan
from ..post import Post
from ..timing import timed_ms
from .loop import WARM_UP


@dataclass(frozen=True, eq=False)
class Alone:
    """ms: milliseconds of each call by stage. network_ms: empty where the backend cannot tell.

    rectified, matched: the frames that were given, and their disparity.
    """

    spec: MatcherSpec
    engine: str | None
    plan: Plan
    rectified: list[StereoFrame]
    matched: list[Disparity]
    ms: dict[str, list[float]]
    network_ms: list[float]

    @property
    def rig(self) -> RectifiedRig:
        return self.plan.rig


def stages_alone(
    match: MatchConfig, post: PostConfig, held: Sequence[StereoFrame], plan: Callable[[MatcherSpec], Plan], repeats: int
) -> Alone:
    """Time rectification and confidence (where there are any), matching and post-processing over the same frames.

    Raises ModelError, and UsageError for a confidence that this matcher cannot give.
    """
    matcher, apply = create_matcher(match), Post(post)
    try:
        if isinstance(matcher, Preparing):
            matcher.prepare(held[0].size)
        planned = plan(matcher.spec)
        rectify = planned.rectify
        rectified = [rectify(frame) for frame in held] if rectify else list(held)
        matched = [matcher(f.left, f.right) for f in rectified]
        stages: dict[str, Callable[[int], object]] = {}
        if rectify:
            stages["rectify"] = lambda i: rectify(held[i])
        stages["match"] = lambda i: matcher(rectified[i].left, rectified[i].right)
        if post.confidence_from is not None:
            method = find_method(post.confidence_from)
            method.check(matcher)
            seen = [Evidence(f.left, f.right, found, matcher) for f, found in zip(rectified, matched, strict=True)]
            matched = [method.rated(evidence) for evidence in seen]
            stages["confidence"] = lambda i: method.rated(replace(seen[i]))  # a copy remembers nothing
        stages["post"] = lambda i: apply(matched[i], replace(rectified[i], index=i), planned.rig, {})
        return Alone(
            spec=matcher.spec,
            engine=engine_of(matcher),
            plan=planned,
            rectified=rectified,
            matched=matched,
            ms={name: _time(stage, len(held), repeats) for name, stage in stages.items()},
            network_ms=matcher.network_ms(repeats) if isinstance(matcher, NetworkTimer) else [],
        )
    finally:
        matcher.close()


def network_alone(match: MatchConfig, repeats: int) -> tuple[MatcherSpec, str | None, list[float]]:
    """Only the network, on inputs that lie ready. Raises UsageError for a matcher that has none, ModelError."""
    matcher = create_matcher(match)
    try:
        if not isinstance(matcher, NetworkTimer):
            raise UsageError(f"the {match.backend} backend has no network to time alone; leave out --engine-only")
        matcher.network_ms(WARM_UP)
        return matcher.spec, engine_of(matcher), matcher.network_ms(repeats)
    finally:
        matcher.close()


def engine_of(matcher: Matcher) -> str | None:
    """The key of the engine it runs; None where there is none."""
    return getattr(matcher, "engine_key", None)


def _time(stage: Callable[[int], object], inputs: int, repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` calls, inputs in rotation, after a warm-up."""
    for i in range(WARM_UP):
        stage(i % inputs)
    return [timed_ms(partial(stage, i % inputs)) for i in range(repeats)]
