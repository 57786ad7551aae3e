"""Runs a matcher over scenes with ground truth; the result as plain values for JSON, and as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SourceError
from ..frames import Disparity
from ..matchers.base import Matcher
from ..sinks.files import write_confidence, write_pfm
from .datasets import Scene
from .metrics import confidence_quality, error_rates, mean_of

PARTS = ("all", "noc", "confidence")


def evaluate(
    matcher: Matcher, scenes: Sequence[Scene], save: Path | None = None, done: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """{matcher, scenes: {name: {all, noc, density, confidence}}, mean: {...}, latency_ms}; what has no value is None.

    all, noc, confidence: as metrics.py defines them, over all pixels with ground truth and over those both eyes see.
    latency_ms: median of the matcher's calls. save: folder for NAME/disparity.pfm and NAME/confidence.png.
    done: told each scene's name. Raises SourceError, OutputError.
    """
    results: dict[str, Any] = {}
    times_ms = []
    for scene in scenes:
        left, right = scene.images()
        truth = scene.truth_px()
        if truth.shape != left.shape[:2]:
            raise SourceError(
                f"{scene.folder}: the ground truth is {truth.shape}, the images are {left.shape[:2]}; check meta.json"
            )
        start = time.perf_counter()
        found = matcher(left, right)
        times_ms.append((time.perf_counter() - start) * 1e3)
        if save:
            write_pfm(save / scene.name / "disparity.pfm", found.disparity_px)
            write_confidence(save / scene.name / "confidence.png", found.confidence)
        results[scene.name] = score(truth, scene.not_occluded(), found)
        done(scene.name)
    rows = list(results.values())
    mean: dict[str, Any] = {part: mean_of([row[part] for row in rows]) for part in PARTS}
    mean["density"] = float(np.mean([row["density"] for row in rows]))
    return {
        "matcher": matcher.spec.name,
        "backend": matcher.spec.backend,
        "sha256": matcher.spec.sha256,
        "scenes": results,
        "mean": mean,
        "latency_ms": float(np.median(times_ms)),
    }


def score(truth_px: np.ndarray, not_occluded: np.ndarray | None, found: Disparity) -> dict[str, Any]:
    """One scene's {all, noc, density, confidence}."""
    rates = error_rates(truth_px, found.disparity_px)
    if rates is None:
        raise SourceError("a scene has no valid ground truth at all; check its disparity_encoding in meta.json")
    density = rates.pop("density")
    noc = None if not_occluded is None else error_rates(truth_px, found.disparity_px, not_occluded)
    if noc:
        noc.pop("density")
    confidence = confidence_quality(truth_px, found.disparity_px, found.confidence)
    return {"all": rates, "noc": noc, "density": density, "confidence": confidence}


def table(result: dict[str, Any]) -> str:
    """One line a scene and the mean, for people."""
    width = max(len(name) for name in (*result["scenes"], "mean"))
    head = f"{'':{width}}     epe   bad1   bad2   bad3     d1  dens.   noc2   ause    roc"
    lines = [_line(name, row, width) for name, row in (*result["scenes"].items(), ("mean", result["mean"]))]
    foot = f"{result['matcher']} ({result['backend']}): {result['latency_ms']:.1f} ms a pair (median)"
    return "\n".join([head, *lines, foot])


def _line(name: str, row: dict[str, Any], width: int) -> str:
    noc, confidence = row["noc"] or {}, row["confidence"] or {}
    values = [row["all"].get(key) for key in ("bad1", "bad2", "bad3", "d1")]
    cells = "".join(_cell(v, 1) for v in (*values, row["density"], noc.get("bad2")))
    epe = _cell(row["all"].get("epe"), 2, 8)
    return f"{name:{width}}{epe}{cells}{_cell(confidence.get('ause'), 2)}{_cell(confidence.get('roc_auc'), 3)}"


def _cell(value: float | None, digits: int, width: int = 7) -> str:
    return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"
