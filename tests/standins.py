"""Stand-ins of other projects' clones: the true layout, class names and call signatures, next to nothing inside.

Each network answers with GAIN times the red of the left image, GAIN being all its weights hold; so the answer is known, and
with it the order of colours, the sign, the padding and that the weights were loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

GAIN = 0.25
COMMON = """
import torch
from torch import nn
OWNER = "{owner}"

class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(1))

    def red(self, image, order="rgb"):
        assert image.dtype == torch.float32 and image.ndim == 4 and image.shape[:2] == (1, 3)
        assert not any(side % 32 for side in image.shape[2:]) and 1 < float(image.max()) <= 255
        return self.gain * image[:, order.index("r")][:, None]
"""
RAFT = """
from core.update import OWNER, Gain
from core.utils.utils import pair
assert OWNER == "raft_stereo"

class RAFTStereo(Gain):
    def __init__(self, args):
        super().__init__()
        assert (args.hidden_dims, args.corr_implementation, args.corr_levels, args.corr_radius) == ([128] * 3, "reg", 4, 4)
        assert (args.n_downsample, args.n_gru_layers, args.context_norm) == (2, 3, "instance")
        assert not (args.shared_backbone or args.slow_fast_gru or args.mixed_precision)

    def forward(self, image1, image2, iters=12, flow_init=None, test_mode=False):
        assert test_mode and iters == 32 and flow_init is None
        return pair(-self.red(image1))
"""
CRESTEREO = """
import torch
from .update import OWNER, Gain
assert OWNER == "crestereo"

class CREStereo(Gain):
    def __init__(self, max_disp=192, mixed_precision=False, test_mode=False):
        super().__init__()
        assert test_mode and not mixed_precision

    def forward(self, image1, image2, flow_init=None, iters=10, upsample=True, test_mode=False):
        assert iters == 20 and upsample and not any(side % 16 for side in image1.shape[2:])
        red = self.gain * image1[:, 2:]
        if flow_init is not None:  # the answer of the half-sized pair
            assert [2 * side for side in flow_init.shape[2:]] == list(image1.shape[2:])
            assert abs(float(flow_init[:, 0].mean() - red.mean())) < 1
        return torch.cat([red, torch.zeros_like(red)], 1)
"""
DEFOM = """
from torch import nn
from core.update import OWNER, Gain
from depth_anything_v2.dpt import DepthAnythingV2
assert OWNER == "defom_stereo"

class Encoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.depth_anything = DepthAnythingV2(encoder)

class DEFOMStereo(Gain):
    def __init__(self, args):
        super().__init__()
        assert (args.hidden_dims, args.corr_levels, args.corr_radius, args.scale_corr_radius) == ([128] * 3, 2, 4, 2)
        assert (len(args.scale_list), args.idepth_scale, args.n_downsample, args.n_gru_layers) == (8, 0.5, 2, 3)
        assert args.context_norm == "batch" and not args.mixed_precision
        self.defomencoder = Encoder(args.dinov2_encoder)

    def forward(self, image1, image2, iters=12, scale_iters=3, test_mode=False):
        assert test_mode and (iters, scale_iters) == (32, 8)
        return self.red(image1)
"""
SELECTIVE = """
import timm
from core.update import OWNER, Gain
assert OWNER == "selective_igev"

class IGEVStereo(Gain):
    def __init__(self, args):
        super().__init__()
        assert (args.hidden_dims, args.corr_levels, args.corr_radius, args.n_downsample) == ([128] * 3, 2, 4, 2)
        assert args.n_gru_layers == 3 and not args.mixed_precision
        self.args, self.backbone = args, timm.create_model("mobilenetv2_100", pretrained=True, features_only=True)

    def forward(self, image1, image2, iters=12, flow_init=None, test_mode=False):
        assert test_mode and (iters, self.args.max_disp) == (80, 768)
        return self.red(image1)
"""
IGEV = """
import timm
from core.update import OWNER, Gain
assert OWNER == "igev_plusplus"

class IGEVStereo(Gain):
    def __init__(self, args):
        super().__init__()
        assert (args.hidden_dims, args.corr_levels, args.corr_radius, args.n_downsample) == ([128] * 3, 2, 4, 2)
        assert (args.s_disp_range, args.m_disp_range, args.l_disp_range, args.max_disp) == (48, 96, 192, 768)
        assert (args.s_disp_interval, args.m_disp_interval, args.l_disp_interval) == (1, 2, 4)
        self.backbone = timm.create_model("mobilenetv2_100", pretrained=True, features_only=True)

    def forward(self, image1, image2, iters=12, test_mode=False):
        assert test_mode and iters == 16
        return self.red(image1)
"""
FOUNDATION = """
import timm
import torch
from Utils import OWNER, Gain
assert OWNER == "foundation_stereo"

class FoundationStereo(Gain):
    def __init__(self, args):
        super().__init__()
        assert args["max_disp"] == args.max_disp == 416 and args.vit_size == "vitl" and not args.get("low_memory", False)
        self.args, self.backbone = args, timm.create_model("edgenext_small", pretrained=True, features_only=False)
        self.dino = torch.hub.load("facebookresearch/dinov2", "dinov2_vitl14", pretrained=False)

    def forward(self, image1, image2, iters=12, flow_init=None, test_mode=False, low_memory=False, init_disp=None):
        assert test_mode and iters == 32 and not self.args.mixed_precision
        return self.red(image1)
"""
HUBCONF = """
dependencies = ["torch"]

def dinov2_vitl14(pretrained=True):
    from torch import nn
    assert not pretrained
    return nn.Linear(1, 1)
"""
DEPTH_ANYTHING = """
import numpy as np
import torch
from torch import nn

class Transformer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))

class DepthAnythingV2(nn.Module):
    def __init__(self, encoder="vitl", features=256, out_channels=[256, 512, 1024, 1024], use_bn=False, use_clstoken=False):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(1))
        self.pretrained = Transformer({"vits": 384, "vitb": 768, "vitl": 1024, "vitg": 1536}[encoder])

    def image2tensor(self, raw_image, input_size=518):
        assert raw_image.dtype == np.uint8 and input_size == 518
        rgb = raw_image[..., ::-1].transpose(2, 0, 1).astype(np.float32)
        return torch.from_numpy(rgb)[None].repeat_interleave(2, 2).repeat_interleave(2, 3), raw_image.shape[:2]

    def forward(self, x):
        return self.gain * x[:, 0]
"""
CFG = "max_disp: 416\nhidden_dims: [128, 128, 128]\nmixed_precision: true\n"
FILES = {
    "raft_stereo": {
        "core/raft_stereo.py": RAFT,
        "core/update.py": COMMON,
        "core/utils/utils.py": "def pair(flow):\n    return flow[..., ::4, ::4], flow\n",
    },
    "crestereo": {
        "nets/crestereo.py": CRESTEREO,
        "nets/update.py": COMMON,
        "nets/__init__.py": "from .crestereo import CREStereo as Model\n",
    },
    "defom_stereo": {
        "core/defom_stereo.py": DEFOM,
        "core/update.py": COMMON,
        "depth_anything_v2/dpt.py": DEPTH_ANYTHING,
        "depth_anything_v2/__init__.py": "",
    },
    "selective_igev": {"Selective-IGEV/core/igev_stereo.py": SELECTIVE, "Selective-IGEV/core/update.py": COMMON},
    "igev_plusplus": {"core/igev_stereo.py": IGEV, "core/update.py": COMMON, "core_rt/rt_igev_stereo.py": ""},
    "foundation_stereo": {"core/foundation_stereo.py": FOUNDATION, "Utils.py": COMMON, "dinov2/hubconf.py": HUBCONF},
    "depth_anything": {"depth_anything_v2/dpt.py": DEPTH_ANYTHING},
}
CHECKPOINTS = {
    "raft_stereo": "raftstereo-middlebury.pth",
    "crestereo": "crestereo_eth3d.pth",
    "defom_stereo": "defomstereo_vits_sceneflow.pth",
    "selective_igev": "middlebury_finetune.pth",
    "igev_plusplus": "sceneflow.safetensors",
    "foundation_stereo": "model_best_bp2.pth",
    "depth_anything": "depth_anything_v2_vits.pth",
}


def make_standin(name: str, folder: Path) -> tuple[Path, Path]:
    """(clone, checkpoint) of that adapter's project. Needs torch."""
    import torch

    clone, checkpoint = folder / "clone", folder / "weights" / CHECKPOINTS[name]
    for file, text in FILES[name].items():
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_text(text.replace("{owner}", name))
    checkpoint.parent.mkdir()
    tensors = {"gain": torch.tensor([GAIN])}
    if name == "defom_stereo":
        held = "defomencoder.depth_anything."
        tensors |= {f"{held}gain": torch.ones(1), f"{held}pretrained.cls_token": torch.zeros(1, 1, 384)}
    if name == "depth_anything":
        tensors["pretrained.cls_token"] = torch.zeros(1, 1, 384)
    if name == "foundation_stereo":
        tensors |= {"dino.weight": torch.ones(1, 1), "dino.bias": torch.ones(1)}
        checkpoint.with_name("cfg.yaml").write_text(CFG)
    if checkpoint.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, checkpoint)
    elif name in ("defom_stereo", "foundation_stereo"):
        torch.save({"model": tensors, "step": 7, "best": np.float64(1.5)}, checkpoint)
    else:
        prefix = "" if name in ("crestereo", "depth_anything") else "module."  # as data-parallel training leaves them
        torch.save({prefix + key: value for key, value in tensors.items()}, checkpoint)
    return clone, checkpoint


def red_over_four(image: np.ndarray) -> np.ndarray:
    """What every stand-in says of a (H, W, 3) BGR image, (H, W) float32."""
    return GAIN * image[..., 2].astype(np.float32)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timm whose backbones are empty, and not to be fetched."""

    from torch import nn

    def create_model(name: str, pretrained: bool = False, **kwargs: object) -> object:
        assert not pretrained, "the checkpoint holds these weights"
        return nn.Identity()

    module = ModuleType("timm")
    module.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)
