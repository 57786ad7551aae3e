"""The student: a small two-dimensional stereo network, and the table of its sizes. Needs torch (the extra [train]).

A shared encoder describes both images; correlations of the descriptors at 1/8 (wide context) and at (1/4 height, 1/2
width: bins of 2 px) become a distribution over disparities at 1/4. Its expectation around the mode is lifted to 1/2, there
compared with what the right image shows at that place, corrected, and lifted to full size. What only the left eye sees is
then filled from the surface behind, bare regions are matched as a whole, and what nothing tells settles on sure surfaces
around. Only operations that every runtime and FP16 handle well are used: convolution, matrix product, pad, reshape, slice,
pooling, elementwise, and gathers along the rows; no grid sampling, 3D convolution or normalisation over the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .background import settle
from .consensus import agree
from .correlation import channels, correlate, prepare
from .layers import ConvNorm, fold, repeated, stage, up2
from .occlusion import fill_hidden
from .predictions import Distribution, Predictions
from .refinement import Refinement

MULTIPLE_PX = 32
"""Input width and height must be multiples of this."""
BIN_PX = 2
"""Width of a matching bin on the input's own grid."""
SHAPES = ("5x4", "3x2", "16x9", "wide")
"""Shapes of frames, beside 4:3, for which a size has a grid of its own: of about as many pixels, but for the wide one, which is
for frames about three times as wide as high."""


@dataclass(frozen=True)
class StudentSize:
    """One row of the family.

    encoder: channels at 1/2, 1/4, 1/8, 1/16. encoder_blocks: residual blocks at 1/4, 1/8, 1/16.
    groups8: correlation groups at 1/8. fine: channels of the descriptors behind the 2 px bins.
    context, context_blocks: channels and residual blocks of the aggregation at 1/8, 1/16, 1/32.
    head, head_blocks: the same at 1/4. guide: channels that steer the first upsampling.
    refine, refine_blocks: channels of the refinement at 1/2, and its residual blocks.
    window_bins: the expectation looks so many bins to either side of the most likely one.
    max_disparity_px: a multiple of 8. grid: (width, height) of the input that it is meant for, others: the same for frames of
    the SHAPES; the layers take any.
    """

    encoder: tuple[int, int, int, int]
    encoder_blocks: tuple[int, int, int]
    groups8: int
    fine: int
    context: tuple[int, int, int]
    context_blocks: tuple[int, int, int]
    head: int
    head_blocks: int
    guide: int
    refine: int
    refine_blocks: int = 0
    window_bins: int = 2
    max_disparity_px: int = 192
    grid: tuple[int, int] = (640, 480)
    others: tuple[tuple[int, int], ...] = ((608, 512), (672, 448), (736, 416), (1280, 384))


_N = StudentSize((12, 24, 48, 64), (0, 1, 1), 2, 16, (64, 96, 112), (0, 1, 1), 32, 0, guide=16, refine=8)
_S = StudentSize((16, 32, 64, 96), (1, 1, 1), 4, 24, (96, 128, 160), (1, 1, 1), 48, 1, guide=12, refine=16)
_M = replace(_S, grid=(1024, 768), others=((992, 800), (1088, 736), (1184, 672), (1536, 448)))
_L = replace(_S, grid=(1280, 960), others=((1216, 1024), (1344, 896), (1472, 832), (1920, 576)))
SIZES = {"n": _N, "s": _S, "m": _M, "l": _L}
"""From s on, the rows grow by their grids and share the layers, and so may share weights: a finer grid makes the same weights
better (see the cards), wider layers would have to learn all anew."""


class Student(nn.Module):
    """forward(left, right): each (B, 3, H, W) float RGB in [0, 1], H and W multiples of 32.

    Returns disparity in px (x_right = x_left - d) and confidence in (0, 1), each (B, 1, H, W).

    settles: whether bare regions are matched as a whole, and what nothing tells settles on sure surfaces around it.
    """

    multiple_px = MULTIPLE_PX
    settles = True
    bins: Tensor
    certainty_gain: Tensor
    certainty_bias: Tensor

    def __init__(self, size: StudentSize) -> None:
        super().__init__()
        self.size, self.max_disparity_px = size, size.max_disparity_px
        self.grid = size.grid
        self.others = size.others
        c2, c4, _, _ = size.encoder
        bins = size.max_disparity_px // BIN_PX
        self.encoder = Encoder(size)
        self.context = Context(size)
        self.fine_edges = ConvNorm(c2, size.fine, 3, (2, 1))
        self.fine_features = nn.Conv2d(c4, size.fine, 1)
        self.fine_descriptor = nn.Conv2d(size.fine, size.fine, 1)
        self.lift = ConvNorm(size.context[0], size.head, 1)
        self.refine = stage(bins + size.head + c4, size.head, size.head_blocks)
        self.correction = nn.Conv2d(size.head, bins, 1)
        self.correlation_gain = nn.Parameter(torch.tensor(10.0))
        self.guide = ConvNorm(size.head + c4, size.guide)
        self.claim = ConvNorm(size.head, 16, beside=3)
        self.certainty = nn.Conv2d(16, 1, 1)
        self.refinement = Refinement(c2, size.guide, size.refine, size.refine_blocks)
        # Only training asks for the distribution at 1/8.
        self.coarse: Coarse | None = Coarse(size)
        # Fitted after training, so that confidence means probability; see scale_certainty.
        self.register_buffer("certainty_gain", torch.tensor(1.0))
        self.register_buffer("certainty_bias", torch.tensor(0.0))
        # Channel order of a correlation volume: the largest disparity first.
        self.register_buffer("bins", torch.arange(bins - 1, -1, -1).float(), persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """What one eye alone sees, or nothing tells, is filled from behind; training looks at what predict says before that."""
        found = self.predict(left, right)
        assert found.certainty is not None
        disparity, certainty = fill_hidden(found.disparity_px, found.certainty, self.max_disparity_px)
        if self.settles:
            matching = found.distributions[1].logits.permute(0, 2, 3, 1)
            disparity, certainty = agree(disparity, certainty, matching, left, BIN_PX)
            disparity, certainty = settle(disparity, certainty)
        return disparity, torch.sigmoid(certainty * self.certainty_gain + self.certainty_bias)

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        features = self.encoder(prepare(torch.cat([left, right])))
        fine = repeated(self.fine_features(features.quarter), 1, 2)
        fine = self.fine_descriptor(F.relu(self.fine_edges(features.half) + fine))
        volume = correlate(fine, len(self.bins), groups=1, pooled=2)
        quarter = features.quarter.chunk(2)[0]
        volume8, context = self.context(features)
        y = self.refine(torch.cat([channels(volume), up2(self.lift(context)), quarter], 1))

        # Disparities innermost, as correlate leaves them: sums over them take a fourth of the time. Flat, so that no runtime
        # moves them back.
        b, _, h, w, bins = volume.shape
        matching = volume.flatten(0, 3) * self.correlation_gain
        scores = self.correction(y).float().flatten(2).transpose(1, 2).flatten(0, 1) + matching
        found = self.expectation(torch.softmax(scores, 1))
        disparity, best, second, spread = (values.view(b, 1, h, w) for values in found)
        logits, raw = (flat.view(b, h, w, bins).permute(0, 3, 1, 2) for flat in (scores, matching))
        certainty = self.certainty(self.claim(y, torch.cat([best, spread, second / best], 1)))
        guide = self.guide(torch.cat([y, features.early_quarter.chunk(2)[0]], 1))
        distributions = [Distribution(logits, BIN_PX), Distribution(raw, BIN_PX, matching_only=True)]
        if self.coarse is not None:
            distributions.append(Distribution(self.coarse(volume8, context), 8))
        full, sure, half = self.refinement(disparity, certainty, guide, features.half)
        return Predictions(full, sure, (half, disparity), tuple(distributions), (quarter, context))

    def expectation(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, bins) probabilities -> each (n, 1): px around the most likely bin, the probability of that bin, the best one
        elsewhere, and the mean distance from the px, in fours of them."""
        best = p.amax(1, keepdim=True)
        mode = (self.bins * (p >= best).to(p.dtype)).amax(1, keepdim=True)
        near = p * ((self.bins - mode).abs() <= self.size.window_bins).to(p.dtype)
        second = (p - near).amax(1, keepdim=True)
        disparity = (near * self.bins).sum(1, keepdim=True) / near.sum(1, keepdim=True) * BIN_PX
        spread = (p * (self.bins * BIN_PX - disparity).abs()).sum(1, keepdim=True) / 4
        return disparity, best, second, spread

    def scale_certainty(self, gain: float, bias: float) -> None:
        """The confidence's logit x becomes gain * x + bias (Platt scaling), on top of an earlier scaling. In place."""
        self.certainty_gain *= gain
        self.certainty_bias.mul_(gain).add_(bias)

    def folded(self) -> Student:
        """Itself, for inference: batch norms folded into their convolutions, training's own head gone. In place."""
        self.eval()
        fold(self)
        self.coarse = None
        return self


@dataclass(frozen=True, eq=False)
class Features:
    """What the encoder says of both images, stacked along the batch; at 1/2, 1/4 before and after context, and 1/8."""

    half: Tensor
    early_quarter: Tensor
    quarter: Tensor
    eighth: Tensor
    descriptor8: Tensor


class Encoder(nn.Module):
    def __init__(self, size: StudentSize) -> None:
        super().__init__()
        c2, c4, c8, c16 = size.encoder
        n4, n8, n16 = size.encoder_blocks
        self.stem = ConvNorm(4, c2, 3, 2)
        self.stage4 = stage(c2, c4, n4, 2)
        self.stage8 = stage(c4, c8, n8, 2)
        self.stage16 = stage(c8, c16, n16, 2)
        self.lateral8, self.merge8 = ConvNorm(c16, c8, 1, relu=False), ConvNorm(c8, c8)
        self.lateral4, self.merge4 = ConvNorm(c8, c4, 1, relu=False), ConvNorm(c4, c4)
        self.descriptor8 = nn.Conv2d(c8, c8, 1)

    def forward(self, x: Tensor) -> Features:
        x2 = self.stem(x)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        f8 = self.merge8(F.relu(x8 + up2(self.lateral8(self.stage16(x8)))))
        f4 = self.merge4(F.relu(x4 + up2(self.lateral4(f8))))
        return Features(x2, x4, f4, f8, self.descriptor8(f8))


class Context(nn.Module):
    """Aggregates the 1/8 correlation volume over the image: an hourglass down to 1/32. Returns the volume too."""

    def __init__(self, size: StudentSize) -> None:
        super().__init__()
        a8, a16, a32 = size.context
        n8, n16, n32 = size.context_blocks
        self.bins, self.groups = size.max_disparity_px // 8, size.groups8
        self.enter = stage(self.groups * self.bins + size.encoder[2], a8, n8)
        self.down16 = stage(a8, a16, n16, 2)
        self.down32 = stage(a16, a32, n32, 2)
        self.lateral16, self.merge16 = ConvNorm(a32, a16, 1, relu=False), ConvNorm(a16, a16)
        self.lateral8, self.merge8 = ConvNorm(a16, a8, 1, relu=False), ConvNorm(a8, a8)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        volume = channels(correlate(features.descriptor8, self.bins, self.groups))
        y8 = self.enter(torch.cat([volume, features.eighth.chunk(2)[0]], 1))
        y16 = self.down16(y8)
        y16 = self.merge16(F.relu(y16 + up2(self.lateral16(self.down32(y16)))))
        return volume, self.merge8(F.relu(y8 + up2(self.lateral8(y16))))


class Coarse(nn.Module):
    """The distribution at 1/8, which teaches the context where things are."""

    def __init__(self, size: StudentSize) -> None:
        super().__init__()
        self.groups, self.bins = size.groups8, size.max_disparity_px // 8
        self.correction = nn.Conv2d(size.context[0], self.bins, 3, padding=1)
        self.correlation_gain = nn.Parameter(torch.tensor(10.0))

    def forward(self, volume: Tensor, context: Tensor) -> Tensor:
        matching = volume.unflatten(1, (self.groups, self.bins)).mean(1)
        return self.correction(context).float() + matching * self.correlation_gain
