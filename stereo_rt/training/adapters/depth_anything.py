"""Depth Anything V2 (Yang et al., NeurIPS 2024), one eye: https://github.com/DepthAnything/Depth-Anything-V2, Apache-2.0.

Weights for relative depth: depth_anything_v2_vits.pth (Apache-2.0), _vitb.pth and _vitl.pth (CC-BY-NC-4.0), by the links in
its README. The metric ones are other networks. Its code needs torchvision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...devices import choose_device
from ...mono.base import MonoNetwork
from .clone import Project, Weights, build

PROJECT = Project(
    title="Depth Anything V2",
    url="https://github.com/DepthAnything/Depth-Anything-V2",
    weights="depth_anything_v2_vits.pth, _vitb.pth or _vitl.pth, by the links in its README",
    file="depth_anything_v2/dpt.py",
    network="DepthAnythingV2",
)
VARIANTS = {
    384: {"encoder": "vits", "features": 64, "out_channels": [48, 96, 192, 384]},
    768: {"encoder": "vitb", "features": 128, "out_channels": [96, 192, 384, 768]},
    1024: {"encoder": "vitl", "features": 256, "out_channels": [256, 512, 1024, 1024]},
    1536: {"encoder": "vitg", "features": 384, "out_channels": [1536, 1536, 1536, 1536]},
}
"""By the width of the transformer."""
SHORT_SIDE_PX = 518
"""Of what the network sees."""


def make(clone: Path, checkpoint: Path, device: str) -> MonoNetwork:
    """Raises ModelError."""
    weights = Weights(checkpoint)
    net = build(PROJECT, clone, weights, lambda DepthAnythingV2: DepthAnythingV2(**variant_of(weights)))
    return DepthAnything(net, device, f"depth_anything:{checkpoint.stem}")


def variant_of(weights: Weights, prefix: str = "") -> dict:
    width = (weights.shape(f"{prefix}pretrained.cls_token") or (1024,))[-1]
    return VARIANTS.get(width, VARIANTS[1024])


def encoder_of(weights: Weights, prefix: str) -> str:
    """The name of the transformer in a network that holds a Depth Anything V2 under that prefix."""
    return variant_of(weights, prefix)["encoder"]


class DepthAnything:
    """A MonoNetwork. net: a DepthAnythingV2. Raises ModelError for the device."""

    def __init__(self, net: Any, device: str, name: str) -> None:
        self.name, self._device = name, choose_device(device)
        self._net = net.to(self._device)

    def __call__(self, left: np.ndarray) -> np.ndarray:
        import torch
        import torch.nn.functional as F

        # Its own infer_image would choose the device by itself.
        image, size = self._net.image2tensor(left, SHORT_SIDE_PX)
        with torch.inference_mode():
            seen = self._net(image.to(self._device))
            return F.interpolate(seen[:, None], size, mode="bilinear", align_corners=True)[0, 0].float().cpu().numpy()

    def close(self) -> None:
        del self._net
