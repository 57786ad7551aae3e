"""What a student learns from a teacher, beside what it learns from exact truth: four terms, each with a weight.

disparity     its map is the teacher's, where the teacher is sure: L1, clamped, so that a wrong label cannot pull hard
distribution  its scores of disparities are the teacher's (Hinton et al., "Distilling the knowledge in a neural network");
              a Laplace distribution about the label where no network of ours is at hand
features      its descriptors point where the teacher's do, after a learned 1x1 projection
ema           it says what its own running average says

The teacher and the average look at the clean pair, the student at a strongly distorted one (augment.py): one pass of it
serves all terms.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import open_dataset
from ..errors import ConfigError
from ..nets.predictions import Distribution, Predictions, StereoNet
from .augment import strong_view
from .batch import Stream
from .chance import mixed_seed
from .dataset_stream import DatasetStream
from .losses import at_cells
from .parallel import Crew
from .recipe import DistillRecipe, Recipe
from .sensor import Sensor

CLAMP_PX = 6.0
"""A pixel further off adds no more than this, and no gradient."""
LAPLACE_PX = 1.0
"""Spread of the distribution that a mere label stands for."""
SEED_OF_LABELS = 1_000_000
"""Beside the numbers that training/streams.py draws its own samples by."""
EMA_CONFIDENCE = 0.5
"""What the running average is less sure of is not taught."""


def build_distillation(recipe: Recipe, student: nn.Module, crew: Crew) -> Distillation | None:
    """The extra term that a recipe asks for, with its labels and its teacher; None where it asks for none.

    Raises SourceError, UsageError, ModelError, ConfigError.
    """
    asked = recipe.distill
    if asked is None:
        return None
    if asked.batch % crew.size:
        raise ConfigError(f"distill.batch {asked.batch} cannot be shared by {crew.size} processes; choose one that can")
    items = [item for folder in asked.labels for item in open_dataset(folder)]
    seed = mixed_seed(recipe.seed, crew.rank, SEED_OF_LABELS)
    limit = recipe.scenes.max_disparity_px
    labelled = DatasetStream(items, recipe.size, asked.batch // crew.size, seed, crew.device, Sensor.none(), limit)
    teacher = None
    if asked.teacher is not None and (asked.distribution or asked.features):
        from ..engine.origin import open_origin

        teacher = cast(StereoNet, open_origin(asked.teacher).net.to(crew.device))
    return Distillation(cast(StereoNet, student), labelled, asked, teacher, seed).to(crew.device)


class Distillation(nn.Module):
    """The teacher's terms on a stream of labelled pairs, to be added to a trainer's loss.

    Its parameters (the projections of the features) are trained with the student's.
    student: asked once for the shapes of its features. teacher: a frozen network of ours on the same device, for its
    distribution and features; without one the features term is 0. Raises ValueError when no feature can be paired.
    """

    def __init__(
        self, student: StereoNet, labelled: Stream, weights: DistillRecipe, teacher: StereoNet | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.weights = weights
        self._labelled, self._seed = labelled, seed
        # A bound method is no submodule: the teacher's weights stay out of what is trained and saved.
        self._ask_teacher = None if teacher is None else teacher.predict
        self.projections = nn.ModuleList()
        if teacher is not None and weights.features:
            mine, theirs = (channels_of(net) for net in (student, teacher))
            if len(mine) != len(theirs):
                raise ValueError(f"the student has {len(mine)} features and the teacher {len(theirs)}; they must pair up")
            self.projections.extend(nn.Conv2d(i, o, 1, bias=False) for i, o in zip(mine, theirs, strict=True))

    def forward(self, net: StereoNet, ema: StereoNet, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, the value of each term in use before weighting) of the labelled batch of this step."""
        batch, weights = self._labelled.batch(step), self.weights
        known = torch.isfinite(batch.disparity_px)
        trust = known.float() if batch.weight is None else known * batch.weight
        label = torch.where(known, batch.disparity_px, 0)
        views = (batch.left, batch.right)
        seen = net.predict(*strong_view(*views, self._seed, step))
        theirs = None
        if self._ask_teacher and (weights.distribution or weights.features):
            with torch.no_grad():
                theirs = self._ask_teacher(*views)

        terms: dict[str, Tensor] = {}
        if weights.disparity:
            terms["disparity"] = disparity_term(seen.disparity_px[:, 0], label, trust)
        if weights.distribution and seen.distributions:
            mine = seen.distributions[0]
            target = aligned(theirs, mine) if theirs else None
            target = laplace(at_cells(label, mine.logits.shape[2:]), mine) if target is None else target
            terms["distribution"] = distribution_term(mine, target, at_cells(trust, mine.logits.shape[2:]))
        if weights.features and theirs:
            pairs = zip(self.projections, seen.features, theirs.features, strict=True)
            terms["features"] = torch.stack([feature_term(p(x.float()), y) for p, x, y in pairs]).mean()
        if weights.ema:
            with torch.no_grad():
                clean = ema.predict(*views)
            terms["ema"] = agreement_term(seen, clean)
        return sum((getattr(weights, name) * term for name, term in terms.items()), label.new_zeros(())), terms


def disparity_term(disparity_px: Tensor, label_px: Tensor, weight: Tensor) -> Tensor:
    """Mean of |d - label|, at most CLAMP_PX, over the pixels by weight. All (B, H, W)."""
    return ((disparity_px - label_px).abs().clamp(max=CLAMP_PX) * weight).sum() / (weight.sum() + 1)


def distribution_term(mine: Distribution, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the cells by weight of the divergence KL(target || softmax(mine)).

    target: (B, bins, h, w), sums to 1. weight: (B, h, w).
    """
    log_p = F.log_softmax(mine.logits.float(), 1)
    divergence = F.kl_div(log_p, target, reduction="none").sum(1)
    return (divergence * weight).sum() / (weight.sum() + 1)


def feature_term(mine: Tensor, theirs: Tensor) -> Tensor:
    """Mean of 1 - cosine between (B, C, h, w) features; theirs are brought to the size of mine."""
    theirs = theirs.float()
    if theirs.shape[2:] != mine.shape[2:]:
        theirs = F.interpolate(theirs, mine.shape[2:], mode="bilinear", align_corners=False)
    return 1 - F.cosine_similarity(mine, theirs, dim=1).mean()


def agreement_term(seen: Predictions, clean: Predictions) -> Tensor:
    """The disparity and distribution terms towards what the same family of network says of the clean view."""
    assert clean.certainty is not None
    sure = torch.sigmoid(clean.certainty[:, 0].float())
    sure = sure * (sure >= EMA_CONFIDENCE)
    by_disparity = disparity_term(seen.disparity_px[:, 0], clean.disparity_px[:, 0].float(), sure)
    if not seen.distributions:
        return by_disparity
    mine, target = seen.distributions[0], torch.softmax(clean.distributions[0].logits.float(), 1)
    return by_disparity + distribution_term(mine, target, at_cells(sure, mine.logits.shape[2:]))


def aligned(theirs: Predictions, mine: Distribution) -> Tensor | None:
    """The teacher's probabilities where its bins and cells are the student's; None where they are not."""
    if not theirs.distributions:
        return None
    first = theirs.distributions[0]
    if first.logits.shape != mine.logits.shape or first.bin_px != mine.bin_px:
        return None
    return torch.softmax(first.logits.float(), 1)


def laplace(label_px: Tensor, like: Distribution) -> Tensor:
    """(B, h, w) px -> (B, bins, h, w) probabilities, falling off by e every LAPLACE_PX to either side of the label."""
    bins = like.logits.shape[1]
    centres_px = torch.arange(bins - 1, -1, -1, device=label_px.device).view(1, -1, 1, 1) * like.bin_px
    return torch.softmax(-(centres_px - label_px[:, None]).abs() / LAPLACE_PX, 1)


def channels_of(net: StereoNet) -> list[int]:
    """Channels of a network's features, from a dry run that leaves it as it was."""
    assert isinstance(net, nn.Module)
    parameter = next(net.parameters())
    side = 2 * net.multiple_px
    blank = torch.zeros(1, 3, side, max(side, 2 * net.max_disparity_px), device=parameter.device)
    training = net.training
    with torch.no_grad():
        found = net.eval().predict(blank, blank)
    net.train(training)
    return [x.shape[1] for x in found.features]
