"""What training minimises, for any network that gives Predictions; a term a network has no part in is simply absent.

distributions  two-hot cross-entropy: gross errors are its business
disparities    a distance from the truth, one of REGRESSIONS; smooth-L1 is clamped, so gross errors do not pull here
confidence     cross-entropy of "the error is below TARGET_PX + TARGET_RATIO * disparity"

Pixels without truth count nowhere, and those that only the left eye sees count less.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.reliability import TARGET_PX, TARGET_RATIO
from ..nets.predictions import Distribution, Predictions
from .batch import Batch
from .recipe import LossRecipe

BAD_PX = (1, 2, 3)
SSIM_WINDOW = 7
SSIM_SPAN_PX = 192.0
"""The range of disparities that SSIM's constants refer to."""
SSIM_PX = 10.0
"""What the opposite structure counts, in px of an L1 error."""
MSE_PX = 10.0
"""An error of so many px counts in MSE what it counts in L1."""
RELATIVE_MEAN_PX, RELATIVE_DEVIATION_PX = 48.0, 16.0
"""A map of unknown scale and shift and its truth are both brought to this mean and deviation before they are compared."""

Regression = Callable[[Tensor, Tensor, bool], Tensor]
"""(estimate, truth, late): (B, h, w) px, truth 0 and estimate 0 where nothing is known -> (B, h, w) distance in px."""


def training_loss(
    predictions: Predictions, batch: Batch, recipe: LossRecipe, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum to minimise, and what it is made of (each term before its weight) with the error rates, for the curves.

    progress: share of the training that is done, in [0, 1]. Rates bad1 ... are in % of the pixels both eyes see.
    """
    known = torch.isfinite(batch.disparity_px) & (batch.disparity_px >= 0)
    truth = torch.where(known, batch.disparity_px, 0)
    weight = known * torch.where(batch.occluded, recipe.occluded, 1.0)
    if batch.weight is not None:
        weight = weight * batch.weight
    late = progress >= recipe.late_from
    measure = REGRESSIONS[recipe.regression]

    full = predictions.disparity_px[:, 0].float()
    if predictions.relative:
        full, truth = standardised(full, weight), torch.where(known, standardised(truth, weight), 0)
    weighted = [(recipe.full_late if late else recipe.full, "full", regression(measure, full, truth, weight, late))]
    for coarse in predictions.coarse_px:
        here, at = (at_cells(values, coarse.shape[2:]) for values in (truth, weight))
        weighted.append((recipe.coarse, "coarse", regression(measure, coarse[:, 0].float(), here, at, False)))
    for i, distribution in enumerate(predictions.distributions):
        name = "matching" if distribution.matching_only else "coarser" if i else "distribution"
        seen = weight * ~batch.occluded if distribution.matching_only else weight
        weighted.append((getattr(recipe, name), name, cross_entropy(distribution, truth, seen)))
    if predictions.certainty is not None:
        claim = confidence_loss(predictions.certainty[:, 0].float(), full.detach(), truth, known.float())
        weighted.append((recipe.confidence, "confidence", claim))

    terms: dict[str, Tensor] = {}
    for _, name, value in weighted:
        terms[name] = terms.get(name, 0) + value.detach()
    return sum((share * value for share, _, value in weighted), truth.new_zeros(())), terms | error_rates(
        full, truth, known, batch
    )


def standardised(values: Tensor, weight: Tensor) -> Tensor:
    """Each of the maps with the same weighted mean and standard deviation, in px; both (B, H, W).

    A map and the same map scaled (by more than 0) and shifted become one, so a loss of such maps does not depend on what
    one image cannot tell. Ranftl et al., "Towards robust monocular depth estimation", 2020, compare maps in this way.
    """
    shares = weight / weight.sum((1, 2), keepdim=True).clamp(min=1)
    centred = values - (shares * values).sum((1, 2), keepdim=True)
    deviation = torch.sqrt((shares * centred * centred).sum((1, 2), keepdim=True) + 1e-12)
    return RELATIVE_MEAN_PX + RELATIVE_DEVIATION_PX * centred / deviation


def regression(measure: Regression, estimate: Tensor, truth: Tensor, weight: Tensor, late: bool) -> Tensor:
    """Weighted mean distance in px; all (B, h, w)."""
    known = weight > 0
    distance = measure(torch.where(known, estimate, 0), torch.where(known, truth, 0), late)
    return (distance * weight).sum() / (weight.sum() + 1)


def cross_entropy(distribution: Distribution, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the cells of the cross-entropy with the two-hot truth: the two bins about it share the target
    by nearness. Cells beyond the last bin are left out. truth, weight: (B, H, W)."""
    log_p = F.log_softmax(distribution.logits.float(), 1)
    bins = log_p.shape[1]
    place = at_cells(truth, log_p.shape[2:]) / distribution.bin_px
    weight = at_cells(weight, log_p.shape[2:]) * (place <= bins - 1)
    centres = torch.arange(bins - 1, -1, -1, device=truth.device).view(1, -1, 1, 1)
    target = (1 - (centres - place[:, None]).abs()).clamp(min=0)
    return (-(target * log_p).sum(1) * weight).sum() / (weight.sum() + 1)


def confidence_loss(logits: Tensor, estimate: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean binary cross-entropy of the claim that the estimate is right; all (B, H, W)."""
    right = ((estimate - truth).abs() < TARGET_PX + TARGET_RATIO * truth).float()
    each = F.binary_cross_entropy_with_logits(logits, right, reduction="none")
    return (each * weight).sum() / (weight.sum() + 1)


@torch.no_grad()
def error_rates(estimate: Tensor, truth: Tensor, known: Tensor, batch: Batch) -> dict[str, Tensor]:
    judged = known & ~batch.occluded
    error = (estimate - truth).abs()
    return {f"bad{px}": 100 * ((error > px) & judged).sum() / judged.sum().clamp(min=1) for px in BAD_PX}


def at_cells(values: Tensor, size: torch.Size) -> Tensor:
    """(B, H, W) -> (B, h, w): the pixel in the middle of each cell, so that no two surfaces are mixed."""
    rows, columns = (a // b for a, b in zip(values.shape[1:], size, strict=True))
    return values[:, rows // 2 :: rows, columns // 2 :: columns]


def _l1(estimate: Tensor, truth: Tensor, late: bool) -> Tensor:
    return (estimate - truth).abs()


def _smooth_l1(estimate: Tensor, truth: Tensor, late: bool) -> Tensor:
    """Clamped: what is further off adds no gradient. Late in training, sub-pixel errors count more."""
    beta, most_px = (0.1, 4.0) if late else (1.0, 6.0)
    return F.smooth_l1_loss(estimate, truth, reduction="none", beta=beta).clamp(max=most_px)


def _ssim(estimate: Tensor, truth: Tensor, late: bool) -> Tensor:
    """1 - SSIM over square windows, scaled to px. Wang et al., "Image quality assessment: from error visibility to
    structural similarity", 2004."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[:, None], SSIM_WINDOW, 1, SSIM_WINDOW // 2, count_include_pad=False)[:, 0]

    c1, c2 = (0.01 * SSIM_SPAN_PX) ** 2, (0.03 * SSIM_SPAN_PX) ** 2
    mx, my = mean(estimate), mean(truth)
    covariance = mean(estimate * truth) - mx * my
    variances = mean(estimate * estimate) - mx * mx + mean(truth * truth) - my * my
    similarity = (2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (variances + c2))
    return SSIM_PX * (1 - similarity) / 2


def _mse(estimate: Tensor, truth: Tensor, late: bool) -> Tensor:
    return (estimate - truth) ** 2 / MSE_PX


REGRESSIONS: dict[str, Regression] = {
    "l1": _l1,
    "smooth_l1": _smooth_l1,
    "ssim": _ssim,
    "mse": _mse,
    "l1_ssim": lambda estimate, truth, late: _l1(estimate, truth, late) + _ssim(estimate, truth, late),
    "mse_ssim": lambda estimate, truth, late: _mse(estimate, truth, late) + _ssim(estimate, truth, late),
}
