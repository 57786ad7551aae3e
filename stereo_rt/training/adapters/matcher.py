"""ForeignMatcher: another project's stereo network, asked in its own terms and answering in ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...devices import choose_device
from ...digest import sha256_of
from ...frames import Disparity
from ...matchers.base import MatcherSpec
from ...matchers.tensors import clean_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

MULTIPLE_PX = 32
"""What the sides of an image must divide by: all of these networks go down to 1/32, each in its own way."""
Ask = Callable[["Tensor", "Tensor"], "Tensor"]
"""Two (1, 3, H, W) float32 images in [0, 255] -> disparity px of them, x_right = x_left - d, any shape of H x W values."""


class ForeignMatcher:
    """net on a device, asked by `ask` for pairs of any size, padded to multiples of MULTIPLE_PX by repeating the border.

    name: the adapter's; with the checkpoint's it is the matcher's. order: of the colours the network was trained on.
    max_disparity_px: the largest it finds; the network's own word, infinite where nothing limits it but the image.
    Confidence is 1 where the match lies inside the right image, 0 elsewhere: these networks say nothing of their own.
    Raises ModelError for the device.
    """

    def __init__(
        self,
        net: nn.Module,
        ask: Ask,
        device: str,
        name: str,
        checkpoint: Path,
        *,
        max_disparity_px: float = float("inf"),
        order: str = "rgb",
    ) -> None:
        self._device = choose_device(device)
        net.to(self._device)
        self._ask, self._order = ask, order
        self.spec = MatcherSpec(
            name=f"{name}:{checkpoint.stem}",
            backend="torch",
            width=None,
            height=None,
            max_disparity_px=max_disparity_px,
            has_confidence=False,
            sha256=sha256_of(checkpoint),
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        import torch

        height, width = left.shape[:2]
        below, beside = -height % MULTIPLE_PX, -width % MULTIPLE_PX
        top, start = below // 2, beside // 2
        border = (top, below - top, start, beside - start)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another project's style
            found = self._ask(*(self._tensor(image, border) for image in (left, right)))
        padded = found.float().cpu().numpy().reshape(height + below, width + beside)
        disparity_px = np.ascontiguousarray(padded[top : top + height, start : start + width])
        return Disparity(*clean_outputs(disparity_px, None))

    def _tensor(self, image: np.ndarray, border: tuple[int, int, int, int]) -> Tensor:
        import torch

        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
        padded = cv2.copyMakeBorder(image, *border, cv2.BORDER_REPLICATE)
        pixels = padded[..., ::-1] if self._order == "rgb" else padded
        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return planes[None].to(self._device).float()

    def close(self) -> None:
        del self._ask  # and the network with it
