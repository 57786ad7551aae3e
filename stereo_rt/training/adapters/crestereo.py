"""CREStereo (Li et al., CVPR 2022) in its PyTorch port, https://github.com/ibaiGorordo/CREStereo-Pytorch.

The port states no licence of its own; the authors' code, https://github.com/megvii-research/CREStereo, is Apache-2.0.
Weights: crestereo_eth3d.pth, converted from the authors' MegEngine file; the port's README links both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...matchers.base import Matcher
from .clone import Project, Weights, build
from .matcher import ForeignMatcher

if TYPE_CHECKING:
    from torch import Tensor

PROJECT = Project(
    title="CREStereo",
    url="https://github.com/ibaiGorordo/CREStereo-Pytorch",
    weights="crestereo_eth3d.pth, by the link in its README",
    file="nets/crestereo.py",
    network="CREStereo",
)
UPDATES = 20


def make(clone: Path, checkpoint: Path, device: str) -> Matcher:
    """The pair at half its size is matched first, and begins the match at full size. Raises ModelError."""
    import torch.nn.functional as F

    net = build(PROJECT, clone, Weights(checkpoint), lambda CREStereo: CREStereo(max_disp=256, test_mode=True))

    def ask(left: Tensor, right: Tensor) -> Tensor:
        half = (left.shape[2] // 2, left.shape[3] // 2)
        halves = (F.interpolate(image, half, mode="bilinear", align_corners=True) for image in (left, right))
        begin = net(*halves, iters=UPDATES, flow_init=None)
        return net(left, right, iters=UPDATES, flow_init=begin)[:, 0]

    # The authors read their images with OpenCV, in training too: BGR.
    return ForeignMatcher(net, ask, device, "crestereo", checkpoint, order="bgr")
