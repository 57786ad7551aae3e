"""A monocular U-Net: from the left image alone, what is nearer than what.

Ronneberger, Fischer and Brox, "U-Net", 2015, whose encoder has the size of Sandler et al., "MobileNetV2", 2018: the same
stages of inverted residuals, with our own weights. After the depth networks of Alhashim and Wonka, "High quality monocular
depth estimation via transfer learning", 2018, which put a pretrained encoder in this place.
"""

from __future__ import annotations

from torch import Tensor, nn

from .correlation import prepare
from .layers import ConvNorm, Inverted, Merge, fold
from .predictions import Predictions

STEM = 32
STAGES = (
    ((1, 16, 1, 1),),
    ((6, 24, 2, 2),),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)
"""Of the encoder, from 1/2 to 1/32: rows of (expansion, channels, blocks, stride of the first), as MobileNetV2 has them."""
WIDTHS = (16, 24, 32, 96, 320)
"""Channels at 1/2, 1/4, ... 1/32."""
FULL = 12


class MonoUNet(nn.Module):
    """forward(image): (B, 3, H, W) float RGB in [0, 1], H and W multiples of multiple_px -> (B, 1, H, W) relative inverse
    depth: larger is nearer; scale and shift are unknown."""

    multiple_px = 32
    grid = (640, 480)
    inputs, outputs = ("image",), ("inverse_depth",)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(4, STEM, 3, 2)
        self.encoder = nn.ModuleList()
        before = STEM
        for rows in STAGES:
            blocks: list[nn.Module] = []
            for expansion, channels, number, stride in rows:
                for n in range(number):
                    blocks.append(Inverted(before, channels, 1 if n else stride, expansion))
                    before = channels
            self.encoder.append(nn.Sequential(*blocks))
        self.decoder = nn.ModuleList(Merge(deep, shallow) for shallow, deep in zip(WIDTHS[-2::-1], WIDTHS[:0:-1], strict=True))
        self.last = Merge(WIDTHS[0], 4)
        self.head = nn.Sequential(ConvNorm(4, FULL), nn.Conv2d(FULL, 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        pixels = prepare(image)
        x = self.stem(pixels)
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        for merge, shallow in zip(self.decoder, maps[-2::-1], strict=True):
            x = merge(x, shallow)
        return self.head(self.last(x, pixels))

    def predict(self, left: Tensor, right: Tensor) -> Predictions:
        """As the trainer asks; the right image tells nothing here."""
        return Predictions(self(left).float(), relative=True)

    def folded(self) -> MonoUNet:
        """Itself, for inference: batch norms folded into their convolutions. In place."""
        self.eval()
        fold(self)
        return self
