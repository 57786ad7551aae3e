"""The student: a small two-dimensional stereo network. Needs torch (the extra [train]).

A shared encoder describes both images; correlations of the descriptors at 1/8 (wide context) and at (1/4 height, 1/2
width: bins of 2 px) become a distribution over disparities at 1/4, whose expectation is lifted to full size by learned
local weights. Only operations that every runtime and FP16 handle well are used: convolution, matrix product, pad,
reshape, slice, elementwise; no grid sampling, gathering, 3D convolution or normalisation over the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MULTIPLE_PX = 32
"""Input width and height must be multiples of this."""
BIN_PX = 2
"""Width of a matching bin on the input's own grid."""


@dataclass(frozen=True)
class StudentSize:
    """One row of the family.

    encoder: channels at 1/2, 1/4, 1/8, 1/16. encoder_blocks: residual blocks at 1/4, 1/8, 1/16.
    groups8: correlation groups at 1/8. fine: channels of the descriptors behind the 2 px bins.
    context, context_blocks: channels and residual blocks of the aggregation at 1/8, 1/16, 1/32.
    head, head_blocks: the same at 1/4. head_kernel: kernel of the convolution that corrects the distribution.
    window_bins: the expectation looks so many bins to either side of the most likely one; 0 takes them all.
    max_disparity_px: a multiple of 8.
    """

    encoder: tuple[int, int, int, int]
    encoder_blocks: tuple[int, int, int]
    groups8: int
    fine: int
    context: tuple[int, int, int]
    context_blocks: tuple[int, int, int]
    head: int
    head_blocks: int
    head_kernel: int = 3
    window_bins: int = 0
    max_disparity_px: int = 192


_P = StudentSize(
    encoder=(16, 32, 64, 96),
    encoder_blocks=(1, 1, 1),
    groups8=4,
    fine=24,
    context=(96, 128, 160),
    context_blocks=(1, 1, 1),
    head=48,
    head_blocks=1,
)
SIZES = {"p": _P, "p_window": replace(_P, head_kernel=1, window_bins=4)}


class Student(nn.Module):
    """forward(left, right): each (B, 3, H, W) float RGB in [0, 1], H and W multiples of 32.

    Returns disparity in px (x_right = x_left - d) and confidence in (0, 1), each (B, 1, H, W).
    """

    bins: Tensor

    def __init__(self, size: StudentSize) -> None:
        super().__init__()
        self.size = size
        c2, c4, _, _ = size.encoder
        bins = size.max_disparity_px // BIN_PX
        self.encoder = Encoder(size)
        self.context = Context(size)
        self.fine_edges = ConvNorm(c2, size.fine, 3, (2, 1))
        self.fine_features = nn.Conv2d(c4, size.fine, 1)
        self.fine_descriptor = nn.Conv2d(size.fine, size.fine, 1)
        self.lift = ConvNorm(size.context[0], size.head, 1)
        self.refine = stage(bins + size.head + c4, size.head, size.head_blocks)
        self.correction = nn.Conv2d(size.head, bins, size.head_kernel, padding=size.head_kernel // 2)
        self.correlation_gain = nn.Parameter(torch.tensor(10.0))
        self.guide = ConvNorm(size.head + c4, size.head)
        self.blend = nn.Conv2d(size.head, 9 * 16, 1)
        self.certainty = nn.Sequential(ConvNorm(size.head + 2, 16), nn.Conv2d(16, 1, 1))
        # Channel order of a correlation volume: the largest disparity first.
        self.register_buffer("bins", torch.arange(bins - 1, -1, -1).float().view(1, -1, 1, 1), persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(prepare(torch.cat([left, right])))
        fine = F.interpolate(self.fine_features(features.quarter), scale_factor=(1.0, 2.0), mode="nearest")
        fine = self.fine_descriptor(F.relu(self.fine_edges(features.half) + fine))
        volume = F.avg_pool2d(correlate(fine, self.bins.shape[1], groups=1), (1, 2))
        quarter = features.quarter.chunk(2)[0]
        context = up2(self.lift(self.context(features)))
        y = self.refine(torch.cat([volume, context, quarter], 1))

        logits = self.correction(y) + volume * self.correlation_gain
        p = torch.exp(logits - logits.amax(1, keepdim=True))
        p = p * (1 / p.sum(1, keepdim=True))
        disparity = self.expectation(p)  # px of the input, at 1/4
        spread = (p * (self.bins * BIN_PX - disparity).abs()).sum(1, keepdim=True) / 4
        certainty = self.certainty(torch.cat([y, p.amax(1, keepdim=True), spread], 1))
        blend = self.blend(self.guide(torch.cat([y, features.early_quarter.chunk(2)[0]], 1)))
        certainty = F.interpolate(certainty, scale_factor=4.0, mode="bilinear", align_corners=False)
        return upsample4(disparity, blend), torch.sigmoid(certainty)

    def expectation(self, p: Tensor) -> Tensor:
        """(B, bins, h, w) probabilities -> (B, 1, h, w) px; around the most likely bin where the size asks for it."""
        if self.size.window_bins:
            mode = (self.bins * (p >= p.amax(1, keepdim=True)).float()).amax(1, keepdim=True)
            p = p * ((self.bins - mode).abs() <= self.size.window_bins).float()
            return (p * self.bins).sum(1, keepdim=True) / p.sum(1, keepdim=True) * BIN_PX
        return (p * self.bins).sum(1, keepdim=True) * BIN_PX

    def folded(self) -> Student:
        """Itself, for inference: batch norms folded into their convolutions. In place."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        return self


class ConvNorm(nn.Module):
    """Convolution, batch norm, and ReLU unless told otherwise."""

    def __init__(self, i: int, o: int, kernel: int = 3, stride: int | tuple[int, int] = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(o)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def stage(i: int, o: int, blocks: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(ConvNorm(i, o, 3, stride), *(Residual(o) for _ in range(blocks)))


@dataclass(frozen=True)
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
    """Aggregates the 1/8 correlation volume over the image: an hourglass down to 1/32."""

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

    def forward(self, features: Features) -> Tensor:
        volume = correlate(features.descriptor8, self.bins, self.groups)
        y8 = self.enter(torch.cat([volume, features.eighth.chunk(2)[0]], 1))
        y16 = self.down16(y8)
        y16 = self.merge16(F.relu(y16 + up2(self.lateral16(self.down32(y16)))))
        return self.merge8(F.relu(y8 + up2(self.lateral8(y16))))


def prepare(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 4, H, W): centred colour and the local contrast of grey, which ignores exposure."""
    grey = rgb[:, 0:1] * 0.3 + rgb[:, 1:2] * 0.59 + rgb[:, 2:3] * 0.11
    detail = grey - _box(grey)
    return torch.cat([(rgb - 0.45) * 3, detail / torch.sqrt(_box(detail * detail) + 4e-4)], 1)


def _box(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 9, 1, 4, count_include_pad=False)


def up2(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def correlate(descriptors: Tensor, bins: int, groups: int) -> Tensor:
    """Normalised correlation: descriptors (2B, C, H, W), left images first -> (B, groups * bins, H, W).

    Within a group the channels are disparity bins-1 ... 0.

    One matrix product gives every pair of columns of a row; the wanted diagonals are then cut out by a skew: padding
    each row of the (W, W + bins - 1) product by one column makes its diagonals vertical.
    """
    both, c, h, w = descriptors.shape
    b = both // 2
    x = descriptors.view(both, groups, c // groups, h, w)
    left, right = (x / torch.sqrt((x * x).mean(2, keepdim=True) + 1e-3)).chunk(2)
    rows = left.permute(0, 1, 3, 4, 2) * (groups / c)
    columns = F.pad(right.permute(0, 1, 3, 2, 4), (bins - 1, 0))
    products = torch.matmul(rows, columns)
    wide = w + bins - 1
    skewed = F.pad(products.reshape(b, groups, h, w * wide), (0, w)).reshape(b, groups, h, w, wide + 1)[..., :bins]
    return skewed.permute(0, 1, 4, 2, 3).reshape(b, groups * bins, h, w)


def upsample4(disparity: Tensor, blend: Tensor) -> Tensor:
    """(B, 1, h, w) px -> (B, 1, 4h, 4w): each fine pixel is a convex blend of its 3x3 coarse neighbours.

    blend: (B, 9 * 16, h, w) logits. They are bounded, so that exp is safe in FP16 without a softmax.
    """
    b, _, h, w = disparity.shape
    weights = torch.exp(blend.clamp(-4.0, 4.0)).view(b, 9, 16, h, w)
    padded = F.pad(disparity, (1, 1, 1, 1), mode="replicate")
    neighbours = torch.cat([padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)], 1)
    steps = (neighbours - disparity).unsqueeze(2)
    return F.pixel_shuffle(disparity + (weights * steps).sum(1) / weights.sum(1), 4)
