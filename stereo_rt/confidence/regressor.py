"""A confidence learned on hand-made cues, from the ONNX file that `stereo-rt confidence fit` wrote. Needs no scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .base import Evidence, Method, Need
from .cues import CUES, Cue, rows

KEY = "stereo_rt_confidence"
"""The file's metadata under this name is a Card as JSON."""
AT_ONCE = 8192
"""Rows to a run: a neighbours' file compares each with all that it knows."""
EPSILON = 1e-4
"""Chances are held that far from 0 and 1 before calibration: a few hundred trees or neighbours cannot tell more."""


@dataclass(frozen=True)
class Card:
    """What a fitted regressor is. windows_px: cue -> the side of its window, in the order of the columns.

    kind, settings: of the estimator. matcher: name of the one whose errors it knows. scenes: what it was fitted on.
    gain, bias: of the logit, so that 0.8 is right in 8 of 10 cases (Platt 1999). scores: on scenes left out of the fit.
    """

    kind: str
    settings: Mapping[str, Any]
    matcher: str
    windows_px: Mapping[str, int]
    gain: float
    bias: float
    scenes: str
    scores: Mapping[str, float]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Raises ValueError, TypeError."""
        return cls(**json.loads(text))

    def cues(self) -> list[Cue]:
        """Raises ValueError where this version has other cues or windows."""
        changed = [name for name, side in self.windows_px.items() if name not in CUES or CUES[name].window_px != side]
        if changed:
            raise ValueError(f"the cues {', '.join(changed)} are others now")
        return [CUES[name] for name in self.windows_px]


class Regressor:
    """Runs a fitted regressor. Raises ModelError for a file that is none, or was fitted on other cues."""

    def __init__(self, path: Path) -> None:
        from ..matchers.onnx import open_session

        if not path.is_file():
            raise ModelError(f"{path}: there is no such file; make one with: stereo-rt confidence fit synthetic -o {path.name}")
        self._session = open_session(path, "cpu", 0)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise ModelError(f"{path}: is no confidence regressor; make one with: stereo-rt confidence fit")
        try:
            self.card = Card.from_json(text)
            self.cues = self.card.cues()
        except (ValueError, TypeError) as e:
            raise ModelError(f"{path}: was fitted by another version ({e}); fit it again: stereo-rt confidence fit") from None

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """(H, W) float32, the chance that |e| < 1 px + 3 % of d; 0 where there is no estimate."""
        known = np.isfinite(evidence.estimate.disparity_px)
        confidence = np.zeros(known.shape, np.float32)
        if known.any():
            confidence[known] = calibrated(self.chances(rows(evidence, self.cues, known)), self.card.gain, self.card.bias)
        return confidence

    def chances(self, cues: np.ndarray) -> np.ndarray:
        """(N, cues) float32 -> (N,) float32, what the estimator itself says of being right."""
        name = self._session.get_inputs()[0].name
        parts = np.array_split(cues, -(-len(cues) // AT_ONCE))
        return np.concatenate([self._session.run(["probabilities"], {name: part})[0][:, 1] for part in parts])


def open_regressor(path: Path) -> Method:
    """The file as a method. Raises ModelError."""
    regressor = Regressor(path)
    need = Need.DISTRIBUTION if any(cue.need is Need.DISTRIBUTION for cue in regressor.cues) else Need.NOTHING
    return Method(path.name, regressor, need, fitted_for=regressor.card.matcher)


def logit(chances: np.ndarray) -> np.ndarray:
    """float64, held away from infinity by EPSILON."""
    held = np.clip(chances.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(held / (1 - held))


def calibrated(chances: np.ndarray, gain: float, bias: float) -> np.ndarray:
    """sigmoid(gain * logit + bias) as float32."""
    return (1 / (1 + np.exp(-(gain * logit(chances) + bias)))).astype(np.float32)
