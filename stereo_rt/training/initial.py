"""Weights to begin with: of another run, of a file of weights, or of an ONNX file of ours, as far as they fit."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..nets.predictions import StereoNet
from ..nets.weights import load_network
from . import checkpoint
from .batch import Stream

NORM_BATCHES = 4
"""Batches that tell what the batch norms of an exported network saw."""
TRAINED_RMS = 2.0
"""Weights before a batch norm have this root mean square, times the root of their fan-in, after a training from nothing (0.6 to
3.2, layer by layer, after 33,000 pairs). Folded ones are smaller by up to ten times."""


def initialise(net: nn.Module, source: Path, stream: Stream) -> tuple[int, int]:
    """Copy what fits by name and shape, so that one size can begin with another; returns (tensors that fit, of how many).

    source: a run's folder (its averaged weights), a .safetensors file or an .onnx file. The batch norms of the latter
    are folded into its convolutions: they are unfolded with the statistics of the stream's first batches, so that the
    network says in training what it said in use, and learns as fast as it did. Raises ModelError.
    """
    if not source.exists():
        raise ModelError(f"{source}: does not exist; --init takes a run's folder, a .safetensors file or an .onnx file")
    if source.suffix == ".onnx":
        return _from_folded(net, load_network(source)[0].state_dict(), source, stream)
    weights, _ = checkpoint.load(source / checkpoint.AVERAGE if source.is_dir() else source)
    return _copy_fitting(net, weights, source)


def _copy_fitting(net: nn.Module, weights: dict[str, Tensor], source: Path) -> tuple[int, int]:
    own = net.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise ModelError(f"{source}: none of its weights fit this network; begin with another file, or without --init")
    net.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def _from_folded(net: nn.Module, folded: dict[str, Tensor], source: Path, stream: Stream) -> tuple[int, int]:
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    weights = dict(folded)
    for name, norm in norms.items():
        conv = name.removesuffix("norm") + "conv"
        bias = weights.pop(f"{conv}.bias", None)
        if bias is not None and bias.shape == norm.bias.shape:
            # A norm undoes the scale of the weights before it, but a step of the optimizer is as long as ever.
            weight = weights[f"{conv}.weight"]
            rms = weight.square().mean((1, 2, 3)).sqrt().clamp(min=1e-12)
            growth = TRAINED_RMS / weight[0].numel() ** 0.5 / rms
            for part in (conv, name.removesuffix("norm") + "beside"):
                if f"{part}.weight" in weights:
                    weights[f"{part}.weight"] = weights[f"{part}.weight"] * growth.view(-1, 1, 1, 1)
            unit = {"weight": 1 / growth, "running_mean": torch.zeros_like(bias)}
            unit |= {"bias": bias, "running_var": torch.full_like(bias, 1 - norm.eps)}
            weights |= {f"{name}.{key}": value for key, value in unit.items()}
    fits = _copy_fitting(net, weights, source)
    _adopt_statistics(net, [norms[name] for name in norms if f"{name}.bias" in weights], stream)
    return fits


def _adopt_statistics(net: nn.Module, norms: list[nn.BatchNorm2d], stream: Stream) -> None:
    """Batch norms that change nothing but by a bias come to normalise by what they see, and to undo it: in training,
    where they go by the statistics of the batch, the network stays what it was."""
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        seen[norm].append((x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    predict, training = cast(StereoNet, net).predict, net.training
    net.eval()
    with torch.no_grad():
        for step in range(NORM_BATCHES):
            batch = stream.batch(step)
            predict(batch.left, batch.right)
        for norm in norms:
            mean, square = (torch.stack(values).mean(0) for values in zip(*seen[norm], strict=True))
            variance = (square - mean * mean).clamp(min=0)
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.bias.add_(norm.weight * mean)
            norm.weight.mul_(torch.sqrt(variance + norm.eps))
    for hook in hooks:
        hook.remove()
    net.train(training)
