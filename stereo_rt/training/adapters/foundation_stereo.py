"""FoundationStereo (Wen et al., CVPR 2025), https://github.com/NVlabs/FoundationStereo, NVIDIA's own licence: research and
evaluation, nothing commercial.

Weights: 23-51-11/model_best_bp2.pth (the better one) or 11-33-40/model_best_bp2.pth (the faster one), with the cfg.yaml
beside it, by the link in its readme. Its code needs timm, einops, torchvision, open3d and what else its environment.yml
names; DINOv2's code is part of the clone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ...errors import ModelError
from ...matchers.base import Matcher
from .clone import Project, Settings, Weights, build
from .matcher import ForeignMatcher

if TYPE_CHECKING:
    from torch import Tensor

PROJECT = Project(
    title="FoundationStereo",
    url="https://github.com/NVlabs/FoundationStereo",
    weights="the folder 23-51-11 or 11-33-40, by the link in its readme",
    file="core/foundation_stereo.py",
    network="FoundationStereo",
)
UPDATES = 32


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """In FP16 where its authors run it so, on CUDA. Raises ModelError."""
    import torch

    settings = settings_beside(checkpoint)
    net = build(PROJECT, clone, Weights(checkpoint), lambda FoundationStereo: FoundationStereo(settings))

    def ask(left: Tensor, right: Tensor) -> Tensor:
        settings["mixed_precision"] = on_cuda = left.device.type == "cuda"
        with torch.autocast("cuda", enabled=on_cuda):
            return net(left, right, iters=UPDATES, test_mode=True)

    reach_px = float(settings.max_disp)
    return ForeignMatcher(net, ask, device, "foundation_stereo", checkpoint, max_disparity_px=reach_px)


def settings_beside(checkpoint: Path) -> Settings:
    """The cfg.yaml that came with the weights. Raises ModelError."""
    file = checkpoint.with_name("cfg.yaml")
    try:
        settings = Settings(yaml.safe_load(file.read_text(encoding="utf-8")))
        return Settings({"vit_size": "vitl"} | settings | {"max_disp": int(settings.max_disp)})
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as e:
        why = getattr(e, "strerror", None) or "it names no max_disp"
        raise ModelError(
            f"{file}: the settings of these weights cannot be read ({why}); {PROJECT.title}'s weights are whole folders: "
            f"{PROJECT.weights}"
        ) from None
