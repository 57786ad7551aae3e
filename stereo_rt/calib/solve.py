"""From detections to a rig: each eye alone, both together, views that do not fit left out, and the lens model chosen.

The models are compared by cross-validation: views are left out in turn, the rig is solved with the others, and the
left-out views tell how well it fits what it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import CalibrationError
from .boards import Board
from .bundle import Estimate, Observations, adjust, fit_boards, residuals
from .derivatives import LensModel, camera_of
from .initial import both_seen, mono_start, stereo_start, usual_px, view_rms_px
from .moved import moved_between
from .rig import StereoRig
from .views import View

MODELS: tuple[LensModel, ...] = ("pinhole", "fisheye", "rational")
"""In the order of preference among models that predict equally well."""
LEAST_PAIRS = 3
"""Fewer views of both eyes cannot tell a lens from a pose."""
CAPTURE = "stereo-rt calibrate capture guides you"
MORE_VIEWS = f"capture at least 20 views, near, tilted by 20 to 45 degrees, in every corner of both images; {CAPTURE}"
SORTED = (
    "images are paired in sorted order, so look that left and right have the same number of files, named alike, "
    "and that none was taken twice"
)
OUTLIER = 3.0
"""A view is left out when it fits this many times worse than usual..."""
MISFIT, MISFIT_PX = 4.0, 1.0
"""Eyes that fit so many times worse together than alone (and worse than so many px) were not filmed as one rig."""
LEAST_ERROR_PX = 0.05
"""... where usual is at least this: of perfect corners none is an outlier."""
FOLDS = 5
WORTH = 1.05
"""A model less simple has to predict views left out this many times better: it also extrapolates worse."""


@dataclass(frozen=True, eq=False)
class Solution:
    """A rig by plain least squares over the views that were used.

    seen, names, estimate: of these views, in order. sizes: (width, height) of either eye. rejected: name -> why.
    mono_rms_px: each eye solved by itself. everything: the fit behind it, over all views.
    heldout_px: model -> RMS over views left out in turn; empty when one was asked for.
    """

    board: Board
    sizes: tuple[tuple[int, int], tuple[int, int]]
    estimate: Estimate
    seen: Observations
    names: tuple[str, ...]
    mono_rms_px: tuple[float, float]
    everything: Fit
    rejected: dict[str, str] = field(default_factory=dict)
    heldout_px: dict[str, float] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(V,) bool: which of the used views both eyes saw."""
        return both_seen(self.seen)

    @property
    def rig(self) -> StereoRig:
        """Raises CalibrationError when the eyes are swapped."""
        return rig_of(self.estimate, self.sizes)


@dataclass(frozen=True, eq=False)
class Fit:
    """One model fitted to all views. names, seen, estimate: of all of them. kept: (V,) bool, those that it was solved with.

    mono: each eye's RMS by itself, and (V,) of each view, NaN where not seen.
    """

    names: tuple[str, ...]
    seen: Observations
    estimate: Estimate
    kept: np.ndarray
    mono_rms_px: tuple[float, float]
    mono_view_px: np.ndarray

    @property
    def error_px(self) -> np.ndarray:
        """(V,) of each view, used or not."""
        return view_rms_px(self.seen, self.estimate)

    @property
    def stereo_rms_px(self) -> float:
        """As cv2.stereoCalibrate has it: over all points of both eyes, in the views kept that both saw."""
        used = self.kept & both_seen(self.seen)
        return rms_px(self.seen.take(used), self.estimate.take(used))

    @property
    def together(self) -> bool:
        """Both eyes at once fit not much worse than each alone: the pairs are pairs."""
        return self.stereo_rms_px <= max(MISFIT * max(self.mono_rms_px), MISFIT_PX)


def solve(
    board: Board, views: Sequence[View], lens: LensModel | None = None, say: Callable[[str], None] = lambda step: None
) -> Solution:
    """The rig that the views show. lens: the model to use; None chooses one. say: told what is being done.

    Raises CalibrationError when too few views show the board, no rig explains them, or the eyes are exchanged.
    """
    names, seen, sizes = _observations(board, views)
    fits = {}
    for model in MODELS if lens is None else (lens,):
        say(f"solving with the {model} model")
        fits[model] = fit(names, seen, sizes, model)
    best = min(fits.values(), key=lambda fit: usual_px(fit.error_px))
    heldout: dict[str, np.ndarray] = {}
    _refuse(best)
    if len(fits) > 1:
        for model, found in fits.items():
            say(f"cross-validating the {model} model")
            heldout[model] = _heldout_squares(seen.take(best.kept), found.estimate.take(best.kept))
        best = fits[_simplest_of_the_good(heldout)]
    return Solution(
        board=board,
        sizes=sizes,
        estimate=best.estimate.take(best.kept),
        seen=seen.take(best.kept),
        names=tuple(name for name, kept in zip(names, best.kept, strict=True) if kept),
        mono_rms_px=best.mono_rms_px,
        everything=best,
        rejected=_reasons(best),
        heldout_px={model: float(np.sqrt(squares.mean())) for model, squares in heldout.items()},
    )


def fit(names: tuple[str, ...], seen: Observations, sizes: tuple[tuple[int, int], tuple[int, int]], model: LensModel) -> Fit:
    """One model: mono, then stereo, with views left out until the rest fit alike."""
    mono, mono_rms, mono_views = [], [], np.full((2, len(seen.pixels)), np.nan)
    for eye in (0, 1):
        alone = seen.only(eye)
        start = mono_start(alone, model, sizes[eye])
        errors = view_rms_px(alone, start)
        good = ~_outliers(errors)
        refined = adjust(alone.take(good), start.take(good))
        mono.append(_with_lens(alone, start, refined))
        mono_rms.append(rms_px(alone.take(good), refined))
        mono_views[eye, seen.seen[:, eye].any(axis=-1)] = errors
    estimate = stereo_start(seen, mono[0], mono[1])
    kept = ~_outliers(view_rms_px(seen, estimate))
    for _ in range(FOLDS):
        if both_seen(seen.take(kept)).sum() < LEAST_PAIRS:
            raise CalibrationError(f"left and right do not fit together in any {LEAST_PAIRS} of {len(kept)} pairs; {SORTED}")
        refined = adjust(seen.take(kept), estimate.take(kept))
        estimate = _with_lens(seen, estimate, refined)
        left_out = kept & _outliers(view_rms_px(seen, estimate), kept)
        if not left_out.any():
            break
        kept &= ~left_out
    return Fit(names, seen, estimate, kept, (mono_rms[0], mono_rms[1]), mono_views)


def held_out(seen: Observations, estimate: Estimate) -> Iterator[tuple[Estimate, Observations]]:
    """Views of both eyes left out in turn: the rig solved without them (with poses that fit it best), and those views."""
    pairs = np.flatnonzero(both_seen(seen))
    folds = min(FOLDS, len(pairs))
    for fold in range(folds):
        out = np.zeros(len(seen.pixels), bool)
        out[pairs[fold::folds]] = True
        trained = adjust(seen.take(~out), estimate.take(~out), tolerance=1e-6)
        theirs = seen.take(out)
        yield fit_boards(theirs, _with_shared(estimate.take(out), trained)), theirs


def rms_px(seen: Observations, estimate: Estimate) -> float:
    """Root mean square distance between points projected and seen, over all points."""
    return float(np.sqrt((residuals(seen, estimate) ** 2).sum() / max(seen.seen.sum(), 1)))


def rig_of(estimate: Estimate, sizes: tuple[tuple[int, int], tuple[int, int]]) -> StereoRig:
    """The estimate as the rig that files and rectification know. Raises CalibrationError when the eyes are swapped."""
    left, right = (camera_of(estimate.model, lens, size) for lens, size in zip(estimate.lenses, sizes, strict=True))
    return StereoRig(left, right, estimate.R, estimate.T)


def _refuse(fit: Fit) -> None:
    """Raise CalibrationError for what is no rig."""
    left, right = fit.mono_rms_px
    if not fit.together:
        moved = moved_between(fit.names, fit.seen, fit.estimate)
        raise CalibrationError(
            moved.sentence
            if moved
            else f"left and right do not belong together: each eye alone fits at {left:.2f} and {right:.2f} px, "
            f"both together at {fit.stereo_rms_px:.1f}; {SORTED}"
        )
    if fit.estimate.T[0] > abs(fit.estimate.T[1]):
        raise CalibrationError(
            f"left and right are exchanged: the right eye stands {fit.estimate.T[0]:.3g} to the left of the left one; "
            "run it again with the two folders exchanged (of side-by-side images, the halves)"
        )


def _observations(
    board: Board, views: Sequence[View]
) -> tuple[tuple[str, ...], Observations, tuple[tuple[int, int], tuple[int, int]]]:
    useful = [view for view in views if view.left is not None or view.right is not None]
    points = board.points_m
    pixels = np.full((len(useful), 2, len(points), 2), np.nan)
    sizes: list[tuple[int, int]] = [(0, 0), (0, 0)]
    for row, view in enumerate(useful):
        for eye, found in enumerate((view.left, view.right)):
            if found is not None:
                pixels[row, eye, found.ids] = found.corners_px
                sizes[eye] = found.size
    seen = Observations(points - points.mean(axis=0), pixels)
    _need_pairs(seen, len(views))
    return tuple(view.name for view in useful), seen, (sizes[0], sizes[1])


def _need_pairs(seen: Observations, asked: int) -> None:
    if (pairs := int(both_seen(seen).sum())) < LEAST_PAIRS:
        raise CalibrationError(
            f"{pairs} of {asked} pairs can be used, and a rig needs at least {LEAST_PAIRS} (better 20); "
            "check --board, or capture more views in which both eyes see the board: stereo-rt calibrate capture"
        )


def _outliers(errors: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """(V,) bool: errors far above what is usual (among some of them); also those that are not finite."""
    usual = max(usual_px(errors if among is None else errors[among]), LEAST_ERROR_PX)
    return ~(errors <= OUTLIER * usual)


def _with_shared(boards: Estimate, shared: Estimate) -> Estimate:
    """The lenses and the pose between the eyes of one estimate, with the board poses of the other."""
    return Estimate(shared.model, shared.lenses, shared.R, shared.T, boards.board_R, boards.board_t)


def _with_lens(seen: Observations, boards: Estimate, shared: Estimate) -> Estimate:
    """The same, with the board poses fitted to it."""
    return fit_boards(seen, _with_shared(boards, shared))


def _heldout_squares(seen: Observations, estimate: Estimate) -> np.ndarray:
    """Mean squared error in px of each view of both eyes, left out in turn; inf where the model could not follow."""
    refined = adjust(seen, estimate, tolerance=1e-6)
    errors = [view_rms_px(theirs, trained) for trained, theirs in held_out(seen, refined)]
    return np.asarray(np.nan_to_num(np.concatenate(errors) ** 2, nan=np.inf))


def _simplest_of_the_good(heldout: dict[str, np.ndarray]) -> LensModel:
    """The first in the order of preference that is not worse than the best by more than a standard error, or WORTH."""
    best = min(heldout.values(), key=lambda squares: float(squares.mean()))
    for model in MODELS:
        with np.errstate(invalid="ignore"):
            worse = heldout[model] - best
        if not np.isfinite(worse).all():
            continue
        allowed = max(float(worse.std()) / np.sqrt(len(worse)), (WORTH**2 - 1) * float(best.mean()))
        if worse.mean() <= allowed:
            return model
    raise CalibrationError("no lens model explains the views; check --board (it counts inner corners) and the images")


def _reasons(best: Fit) -> dict[str, str]:
    """Why each view that was left out was."""
    errors, mono = best.error_px, best.mono_view_px
    usual = usual_px(errors[best.kept])
    reasons = {}
    for view in np.flatnonzero(~best.kept):
        alone = np.fmax(*mono[:, view])
        fits = f"at {errors[view]:.2f} px" if np.isfinite(errors[view]) else "in no place before the cameras"
        why = f"fits {fits} where others fit at {usual:.2f}"
        if alone <= OUTLIER * max(*best.mono_rms_px, LEAST_ERROR_PX):
            why += f", though each eye alone fits at {alone:.2f}: something moved between the exposures, or it is no pair"
        else:
            why += ": its corners are off (blur, glare, a bent board)"
        reasons[best.names[view]] = why
    return reasons
