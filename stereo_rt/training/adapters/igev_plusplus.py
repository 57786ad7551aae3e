"""IGEV++ (Xu et al., TPAMI 2025), https://github.com/gangweiX/IGEV-plusplus, MIT.

Weights: igev_plusplus/sceneflow.pth, middlebury.pth, eth3d.pth, kitti2012.pth, kitti2015.pth, by the link in its README
(those of igev_rt are another network). Its code needs timm 0.5.4.
"""

from __future__ import annotations

from pathlib import Path

from ...matchers.base import Matcher
from .clone import Project, Settings, Weights, build
from .matcher import ForeignMatcher

PROJECT = Project(
    title="IGEV++",
    url="https://github.com/gangweiX/IGEV-plusplus",
    weights="igev_plusplus/sceneflow.pth and others, by the link in its README",
    file="core/igev_stereo.py",
    network="IGEVStereo",
)
UPDATES, REACH_PX = 16, 768


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """Raises ModelError."""
    settings = Settings(
        hidden_dims=[128] * 3,
        corr_levels=2,
        corr_radius=4,
        n_downsample=2,
        n_gru_layers=3,
        max_disp=REACH_PX,
        s_disp_range=48,  # each in cells of 4 px
        m_disp_range=96,
        l_disp_range=192,
        s_disp_interval=1,
        m_disp_interval=2,
        l_disp_interval=4,
        mixed_precision=False,
        precision_dtype="float32",
    )
    net = build(PROJECT, clone, Weights(checkpoint), lambda IGEVStereo: IGEVStereo(settings))
    return ForeignMatcher(
        net,
        lambda left, right: net(left, right, iters=UPDATES, test_mode=True),
        device,
        "igev_plusplus",
        checkpoint,
        max_disparity_px=float(REACH_PX),
    )
