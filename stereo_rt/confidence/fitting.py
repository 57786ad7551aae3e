"""Fits a regressor to cues: scikit-learn's forests, boosting and neighbours, judged on scenes that the fit did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_bytes
from ..errors import MissingExtra, SourceError
from .regressor import KEY, Card, calibrated, logit
from .samples import Samples

try:
    import skl2onnx
    from sklearn.base import BaseEstimator
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
    from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
except ImportError:
    raise MissingExtra("fitting a confidence", "regressors") from None

FOLDS = 4
NEIGHBOURS_KNOW = 1500
"""Samples that a neighbours' file holds at most: each pixel is compared with all of them."""

Grid = Mapping[str, list[Any]]


@dataclass(frozen=True)
class Kind:
    """estimator: gives the chance of being right. grid: the settings that are tried. knows: samples it takes at most."""

    estimator: BaseEstimator
    grid: Grid
    knows: int | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """estimator: scikit-learn's. sample: one row of its input."""

    estimator: BaseEstimator
    card: Card
    sample: np.ndarray


def kinds(seed: int = 0) -> dict[str, Kind]:
    """By name, smallest settings first."""
    forest = RandomForestClassifier(n_estimators=40, random_state=seed, n_jobs=-1)
    boosting = GradientBoostingClassifier(n_estimators=80, subsample=0.5, max_features=0.5, random_state=seed)
    neighbours = make_pipeline(StandardScaler(), KNeighborsClassifier())
    return {
        "forest": Kind(forest, {"min_samples_leaf": [20, 60], "max_features": [0.3, 0.6]}),
        "boosting": Kind(boosting, {"max_depth": [3, 5], "learning_rate": [0.05, 0.15]}),
        "neighbours": Kind(neighbours, {"kneighborsclassifier__n_neighbors": [10, 30, 90]}, NEIGHBOURS_KNOW),
    }


def fit(samples: Samples, kind: str, matcher: str, scenes: str, folds: int = FOLDS, grid: Grid | None = None) -> Fitted:
    """The best settings by log loss over folds that never share a scene; then all samples, and a calibrated logit.

    matcher, scenes: names, for the card. grid: other settings to try. Raises SourceError for too few scenes, or where
    nothing is wrong (or right) that could be learned from.
    """
    if (count := len(np.unique(samples.scene))) < folds:
        raise SourceError(f"{scenes}: {count} scenes are too few to leave some out in {folds} turns; give more scenes")
    if samples.right.all() or not samples.right.any():
        raise SourceError(f"{scenes}: {matcher} is {'right' if samples.right[0] else 'wrong'} everywhere; give harder scenes")
    chosen = kinds()[kind]
    x, y, of = _some(samples, chosen.knows)
    by_scene = list(GroupKFold(folds).split(x, y, of))
    search = GridSearchCV(chosen.estimator, dict(grid or chosen.grid), scoring="neg_log_loss", cv=by_scene).fit(x, y)
    left_out = cross_val_predict(search.best_estimator_, x, y, cv=by_scene, method="predict_proba")[:, 1]
    platt = LogisticRegression(C=1e3).fit(logit(left_out)[:, None], y)
    gain, bias = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    claimed = calibrated(left_out, gain, bias)
    card = Card(
        kind=kind,
        settings={name.rpartition("__")[2]: value for name, value in search.best_params_.items()},
        matcher=matcher,
        windows_px={cue.name: cue.window_px for cue in samples.names},
        gain=gain,
        bias=bias,
        scenes=scenes,
        scores={
            "samples": len(y),
            "right": float(y.mean()),
            "roc_auc": float(roc_auc_score(y, claimed)),
            "log_loss": float(log_loss(y, claimed)),
            "brier": float(brier_score_loss(y, claimed)),
        },
    )
    return Fitted(search.best_estimator_, card, x[:1])


def write(fitted: Fitted, path: Path) -> None:
    """As ONNX with the card in its metadata. Raises OutputError."""
    last = fitted.estimator.steps[-1][1] if hasattr(fitted.estimator, "steps") else fitted.estimator
    options: dict[int, dict[str, Any]] = {id(fitted.estimator): {"zipmap": False}}
    if isinstance(last, KNeighborsClassifier):
        options[id(last)] = {"optim": "cdist", "zipmap": False}
    model = skl2onnx.to_onnx(fitted.estimator, fitted.sample, options=options)
    model.metadata_props.add(key=KEY, value=fitted.card.to_json())
    write_bytes(path, model.SerializeToString())


def _some(samples: Samples, most: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most so many of the samples, drawn at random: (x, right, scene)."""
    which = np.arange(len(samples.right))
    if most is not None and len(which) > most:
        which = np.sort(np.random.default_rng(0).choice(which, most, replace=False))
    return samples.cues[which], samples.right[which], samples.scene[which]
