"""Selective-IGEV (Wang et al., "Selective-Stereo", CVPR 2024), https://github.com/Windsrain/Selective-Stereo, MIT.

Weights: middlebury_finetune.pth, sceneflow.pth and those for ETH3D and KITTI, by the link in its README. Its code needs
timm 0.5.4 and opt_einsum.
"""

from __future__ import annotations

from pathlib import Path

from ...matchers.base import Matcher
from .clone import Project, Settings, Weights, build
from .matcher import ForeignMatcher

PROJECT = Project(
    title="Selective-Stereo",
    url="https://github.com/Windsrain/Selective-Stereo",
    weights="middlebury_finetune.pth or sceneflow.pth, by the link in its README",
    file="core/igev_stereo.py",
    network="IGEVStereo",
    folder=Path("Selective-IGEV"),
)
UPDATES, REACH_PX = 32, 192
UPDATES_OF_MIDDLEBURY, REACH_OF_MIDDLEBURY_PX = 80, 768
"""As its authors ask the fine-tuned network; its tensors do not tell."""


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """Raises ModelError."""
    middlebury = "middlebury" in checkpoint.stem
    updates = UPDATES_OF_MIDDLEBURY if middlebury else UPDATES
    reach_px = REACH_OF_MIDDLEBURY_PX if middlebury else REACH_PX
    settings = Settings(
        hidden_dims=[128] * 3,
        corr_implementation="reg",
        shared_backbone=False,
        corr_levels=2,
        corr_radius=4,
        n_downsample=2,
        slow_fast_gru=False,
        n_gru_layers=3,
        max_disp=reach_px,
        mixed_precision=False,
        precision_dtype="float32",
    )
    net = build(PROJECT, clone, Weights(checkpoint), lambda IGEVStereo: IGEVStereo(settings))
    return ForeignMatcher(
        net,
        lambda left, right: net(left, right, iters=updates, test_mode=True),
        device,
        "selective_igev",
        checkpoint,
        max_disparity_px=float(reach_px),
    )
