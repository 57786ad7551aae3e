"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def gmacs(net: nn.Module, size: tuple[int, int] = (640, 480)) -> float:
    """Billions of multiply-adds of the convolutions and matrix products for one pair of (width, height)."""
    width, height = size
    image = torch.zeros(1, 3, height, width, device=next(net.parameters()).device)
    training = net.training
    net.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(image, image)
    net.train(training)
    return counter.get_total_flops() / 2 / 1e9
