"""DEFOM-Stereo (Jiang et al., CVPR 2025), https://github.com/Insta360-Research-Team/DEFOM-Stereo, MIT.

Weights: defomstereo_vitl_middlebury.pth, _eth3d.pth, _kitti.pth, _sceneflow.pth, defomstereo_vits_sceneflow.pth, _rvc.pth,
as scripts/download_models.sh of the clone fetches them. The Depth Anything V2 part is in each: the clone's other script
is needed by training alone.
"""

from __future__ import annotations

from pathlib import Path

from ...matchers.base import Matcher
from .clone import Project, Settings, Weights, build
from .depth_anything import encoder_of
from .matcher import ForeignMatcher

PROJECT = Project(
    title="DEFOM-Stereo",
    url="https://github.com/Insta360-Research-Team/DEFOM-Stereo",
    weights="scripts/download_models.sh in the clone, such as defomstereo_vitl_middlebury.pth",
    file="core/defom_stereo.py",
    network="DEFOMStereo",
)
UPDATES, SCALE_UPDATES = 32, 8


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """Raises ModelError."""
    weights = Weights(checkpoint)
    settings = Settings(
        dinov2_encoder=encoder_of(weights, "defomencoder.depth_anything."),
        idepth_scale=0.5,
        hidden_dims=[128] * 3,
        corr_implementation="reg",
        shared_backbone=False,
        corr_levels=2,
        corr_radius=4,
        scale_list=[0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0],
        scale_corr_radius=2,
        n_downsample=2,
        context_norm="batch",
        n_gru_layers=3,
        mixed_precision=False,
    )
    net = build(PROJECT, clone, weights, lambda DEFOMStereo: DEFOMStereo(settings))
    return ForeignMatcher(
        net,
        lambda left, right: net(left, right, iters=UPDATES, scale_iters=SCALE_UPDATES, test_mode=True),
        device,
        "defom_stereo",
        checkpoint,
    )
