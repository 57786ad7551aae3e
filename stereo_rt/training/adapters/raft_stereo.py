"""RAFT-Stereo (Lipson et al., 3DV 2021), https://github.com/princeton-vl/RAFT-Stereo, MIT.

Weights: raftstereo-middlebury.pth (its authors' choice for pictures of one's own), raftstereo-eth3d.pth,
raftstereo-sceneflow.pth, raftstereo-realtime.pth, iraftstereo_rvc.pth, as download_models.sh of the clone fetches them.
It answers with optical flow, which is the negative of disparity.
"""

from __future__ import annotations

from pathlib import Path

from ...matchers.base import Matcher
from .clone import Project, Settings, Weights, build
from .matcher import ForeignMatcher

PROJECT = Project(
    title="RAFT-Stereo",
    url="https://github.com/princeton-vl/RAFT-Stereo",
    weights="download_models.sh in the clone, such as raftstereo-middlebury.pth",
    file="core/raft_stereo.py",
    network="RAFTStereo",
)
UPDATES, UPDATES_OF_REALTIME = 32, 7


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """Its variants are told apart by their tensors. Raises ModelError."""
    weights = Weights(checkpoint)
    settings = settings_of(weights)
    net = build(PROJECT, clone, weights, lambda RAFTStereo: RAFTStereo(settings))
    updates = UPDATES_OF_REALTIME if settings.shared_backbone else UPDATES
    return ForeignMatcher(
        net,
        lambda left, right: -net(left, right, iters=updates, test_mode=True)[1],
        device,
        "raft_stereo",
        checkpoint,
    )


def settings_of(weights: Weights) -> Settings:
    """What the authors' demonstration takes from its command line."""
    levels = sum(name.startswith("context_zqr_convs.") and name.endswith(".weight") for name in weights.tensors)
    of_a_cell = (weights.shape("update_block.mask.2.weight") or (9 * 4**2,))[0] // 9  # upsampling: 9 weights a pixel
    realtime = bool(weights.shape("conv2.0.conv1.weight"))
    return Settings(
        hidden_dims=[128] * 3,
        corr_implementation="reg",
        corr_levels=4,
        corr_radius=4,
        shared_backbone=realtime,
        slow_fast_gru=realtime,
        n_downsample=(round(of_a_cell**0.5)).bit_length() - 1,
        n_gru_layers=levels or 3,
        context_norm="batch" if weights.shape("cnet.norm1.running_mean") else "instance",
        mixed_precision=False,
    )
