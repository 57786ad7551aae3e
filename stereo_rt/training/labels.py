"""Labels that a teacher gave: what is kept of them, and the folder they are stored in.

The store is a dataset in our own layout: every item is a folder with left.png, right.png, disparity.pfm,
confidence.png and meta.json. meta.json is written last, so an item is whole or it does not count; an item of which too
little was kept holds nothing but a meta.json without a disparity_encoding, which readers of datasets pass over.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..atomic import sweep, write_bytes
from ..config import Config
from ..errors import OutputError
from ..matchers.base import Matcher, MatcherSpec
from ..post.leftright import consistent, mirrored
from ..sinks.files import write_confidence, write_pfm
from .unlabelled import Pair, read_pairs

META = "meta.json"


@dataclass(frozen=True)
class LabelRules:
    """A pixel is kept when the teacher's confidence is at least min_confidence and its two views agree within
    left_right_px; a pair is dropped when less than min_kept of its pixels are."""

    min_confidence: float = 0.5
    left_right_px: float = 1.0
    min_kept: float = 0.1


@dataclass(frozen=True, eq=False)
class Label:
    """disparity_px: (H, W) float32 of the left image, NaN where it is not kept. confidence: (H, W), 0 there.

    confident, agreeing, kept: shares of the pixels that pass the first rule, the second, and both.
    """

    disparity_px: np.ndarray
    confidence: np.ndarray
    confident: float
    agreeing: float
    kept: float


def label(teacher: Matcher, left: np.ndarray, right: np.ndarray, rules: LabelRules) -> Label:
    """What the teacher says of a rectified pair, looked at from both eyes, as far as the rules believe it."""
    found = teacher(left, right)
    disparity_px, confidence = found.disparity_px.copy(), found.confidence.copy()  # a matcher may reuse its buffers
    witness = mirrored(teacher, left, right)
    confident = confidence >= rules.min_confidence
    agreeing = consistent(disparity_px, witness.disparity_px, rules.left_right_px)
    kept = confident & agreeing & (disparity_px > 0)
    disparity_px[~kept], confidence[~kept] = np.nan, 0
    return Label(disparity_px, confidence, *(float(mask.mean()) for mask in (confident, agreeing, kept)))


class LabelStore:
    """A folder of labels by one teacher under one set of rules. Raises OutputError where it holds another's."""

    def __init__(self, folder: Path, teacher: MatcherSpec, rules: LabelRules) -> None:
        self.folder, self.rules = folder, rules
        self._facts = {"teacher": teacher.name, "sha256": teacher.sha256, "rules": asdict(rules)}
        sweep(folder)

    def holds(self, name: str, origin: dict[str, Any]) -> bool:
        """Whether this pair was labelled, or dropped, before. Raises OutputError when that was done in another way."""
        file = self.folder / name / META
        try:
            meta = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            raise OutputError(f"{file}: is not a label's description; remove it, or choose another folder with -o") from None
        before = {key: meta.get("label", {}).get(key) for key in self._facts}
        if before != self._facts or meta.get("origin") != origin:
            raise OutputError(
                f"{file.parent}: was labelled by {before['teacher']} with other settings; choose another folder with -o"
            )
        return True

    def put(self, pair: Pair, found: Label) -> bool:
        """Store a pair and its label; False when too little was kept, and only that is noted. Raises OutputError."""
        folder = self.folder / pair.name
        meta: dict[str, Any] = {"origin": pair.origin, "resolution": [pair.left.shape[1], pair.left.shape[0]]}
        meta["label"] = self._facts | {name: round(getattr(found, name), 4) for name in ("confident", "agreeing", "kept")}
        good = found.kept >= self.rules.min_kept
        if good:
            for eye, image in (("left", pair.left), ("right", pair.right)):
                write_bytes(folder / f"{eye}.png", cv2.imencode(".png", image)[1].data)
            write_pfm(folder / "disparity.pfm", found.disparity_px)
            write_confidence(folder / "confidence.png", found.confidence)
            meta["disparity_encoding"] = {"file": "disparity.pfm", "scale": 1, "offset": 0, "invalid": "inf"}
            meta["confidence_encoding"] = {"file": "confidence.png", "scale": 65535}
        write_bytes(folder / META, json.dumps(meta, indent=1).encode())
        return good


@dataclass(frozen=True)
class Summary:
    """Pairs labelled now, dropped now, there before; kept: mean share of the pixels kept of those labelled now.

    complete: no pair is left to do.
    """

    labelled: int
    dropped: int
    before: int
    kept: float
    complete: bool


def label_sources(
    sources: Sequence[str],
    cfg: Config,
    teacher: Matcher,
    store: LabelStore,
    *,
    every: int = 1,
    deadline: float = math.inf,
    say: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Label every pair of the sources (see read_pairs) that the store does not hold, until time.monotonic() passes the
    deadline. say: told each pair's figures.

    Raises SourceError, CalibrationError, OutputError; what was stored until then stays, and is not done again.
    """
    known: set[str] = set()

    def wanted(name: str, origin: dict[str, Any]) -> bool:
        if store.holds(name, origin):
            known.add(name)
        return name not in known

    kept: list[float] = []
    dropped = 0

    def summary(complete: bool) -> Summary:
        return Summary(len(kept), dropped, len(known), float(np.mean(kept)) if kept else 0.0, complete)

    for text in sources:
        for pair in read_pairs(text, cfg, teacher.spec, every=every, wanted=wanted):
            if time.monotonic() > deadline:
                return summary(complete=False)
            found = label(teacher, pair.left, pair.right, store.rules)
            shares = f"kept {found.kept:.0%} (confident {found.confident:.0%}, left-right agreeing {found.agreeing:.0%})"
            if store.put(pair, found):
                kept.append(found.kept)
                say(f"{pair.name}: {shares}")
            else:
                dropped += 1
                say(f"{pair.name}: {shares}: dropped, as less than {store.rules.min_kept:.0%} is left")
    return summary(complete=True)
