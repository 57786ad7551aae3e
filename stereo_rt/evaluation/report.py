"""Runs a matcher over scenes with ground truth; the result as plain values for JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import replacing
from ..datasets import Labelled, Sample
from ..errors import SourceError
from ..frames import Disparity
from ..matchers.base import Matcher, Preparing
from ..sinks.files import write_pfm
from .metrics import DENSITIES, confidence_quality, error_rates, mean_of, sparsification
from .reliability import RULES, mean_reliability, reliability

PARTS = ("all", "noc", "confidence")


@dataclass(frozen=True, eq=False)
class Matched:
    """A scene, what it holds, and what the matcher found in it."""

    scene: Labelled
    given: Sample
    found: Disparity


Observer = Callable[[Matched], None]
"""Told every scene in turn, while its maps are in memory."""


def evaluate(
    matcher: Matcher,
    scenes: Sequence[Labelled],
    observers: Sequence[Observer] = (),
    done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """{matcher, backend, sha256, scenes, sets, mean, latency_ms, curves, reliability}; what has no value is None.

    scenes: {name: {set, grid, all, noc, density, confidence, latency_ms}}; sets and mean hold the means of the figures over a
    set's scenes and over all; all, noc, confidence as metrics.py and reliability.py define them, over all pixels with ground
    truth and over those both eyes see. grid: [width, height] that the pair was brought to. latency_ms: median of the
    matcher's calls. curves: the mean sparsification; reliability: over all scenes, each weighing the same.
    done: told each scene's name. Raises SourceError, and what the observers raise.
    """
    results: dict[str, dict[str, Any]] = {}
    curves, reliabilities = [], []
    for scene in scenes:
        matched, latency_ms = _match(matcher, scene)
        given, found = matched.given, matched.found
        maps = given.truth_px, found.disparity_px, found.confidence
        if not np.isfinite(given.truth_px).any():
            raise SourceError(f"{scene.place}: has no valid ground truth at all; check how its disparity is stored")
        grid = matcher.spec.grid_for((given.left.shape[1], given.left.shape[0]))
        facts = {"set": scene.set, "grid": grid and list(grid)}
        seen_twice = None if given.occluded is None else ~given.occluded
        results[scene.name] = {**facts, **score(*maps, seen_twice), "latency_ms": latency_ms}
        curves.append(sparsification(*maps))
        reliabilities.append(reliability(*maps))
        for observe in observers:
            observe(matched)
        done(scene.name)
    sets = sorted({scene.set for scene in scenes})
    mean = mean_row(list(results.values()))
    return {
        "matcher": matcher.spec.name,
        "backend": matcher.spec.backend,
        "sha256": matcher.spec.sha256,
        "scenes": results,
        "sets": {name: mean_row([row for row in results.values() if row["set"] == name]) for name in sets},
        "mean": mean,
        "latency_ms": mean["latency_ms"],
        "curves": _mean_curves([c for c in curves if c]),
        "reliability": mean_reliability(known).as_dict() if (known := [r for r in reliabilities if r]) else None,
    }


def score(
    truth_px: np.ndarray, disparity_px: np.ndarray, confidence: np.ndarray, not_occluded: np.ndarray | None
) -> dict[str, Any]:
    """One scene's {all, noc, density, confidence}; the truth of some pixel is known."""
    rates = error_rates(truth_px, disparity_px)
    assert rates is not None
    density = rates.pop("density")
    noc = None if not_occluded is None else error_rates(truth_px, disparity_px, not_occluded)
    if noc:
        noc.pop("density")
    quality = confidence_quality(truth_px, disparity_px, confidence)
    claims = reliability(truth_px, disparity_px, confidence)
    if quality and claims:
        quality |= {f"ece_{rule}": claims.ece(rule) for rule in RULES}
    return {"all": rates, "noc": noc, "density": density, "confidence": quality}


def saver(folder: Path) -> Observer:
    """Writes NAME/disparity.pfm and NAME/confidence.npy of every scene, float32: sixteen bits would merge the ranks of the
    least confident pixels. The observer raises OutputError."""

    def save(matched: Matched) -> None:
        write_pfm(folder / matched.scene.name / "disparity.pfm", matched.found.disparity_px)
        with replacing(folder / matched.scene.name / "confidence.npy") as temporary:
            np.save(temporary, matched.found.confidence)

    return save


def _match(matcher: Matcher, scene: Labelled) -> tuple[Matched, float]:
    """The scene with its estimate, and the milliseconds that took."""
    given = scene.load()
    if isinstance(matcher, Preparing):
        matcher.prepare((given.left.shape[1], given.left.shape[0]))
    start = time.perf_counter()
    found = matcher(given.left, given.right)
    return Matched(scene, given, found), (time.perf_counter() - start) * 1e3


def mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The means of every part over scenes; of the latency, the median."""
    return {
        **{part: mean_of([row[part] for row in rows]) for part in PARTS},
        "density": float(np.mean([row["density"] for row in rows])),
        "latency_ms": float(np.median([row["latency_ms"] for row in rows])),
    }


def _mean_curves(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]] | None:
    """Bad rate (%) against the share of pixels kept: of the confidence, and of a perfect ranking."""
    if not curves:
        return None
    bad, optimum = np.mean(curves, axis=0)
    return {"density": DENSITIES.tolist(), "bad2": bad.tolist(), "bad2_optimum": optimum.tolist()}
