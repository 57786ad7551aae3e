"""TorchMatcher: one of our own networks in torch, its weights read from the same ONNX file. For development and GPUs."""

from __future__ import annotations

import numpy as np

from ..config import MatchConfig
from ..errors import MissingExtra, ModelError
from ..frames import Disparity
from .base import MatcherSpec
from .cores import usable_cores
from .grid import Grid
from .models import find_model
from .tensors import clean_outputs, fill_input


class TorchMatcher:
    """Runs match.model on match.device: 'auto', 'cpu', 'cuda' or 'cuda:N'. Raises ModelError, MissingExtra."""

    def __init__(self, match: MatchConfig) -> None:
        try:
            import onnx  # noqa: F401
            import torch
        except ImportError:
            raise MissingExtra("the torch backend", "train") from None
        from ..nets.weights import load_student

        self._torch = torch
        model = find_model(match.model)
        net, metadata = load_student(model.path)
        self._device = _device(match.device)
        self._net = net.to(self._device)
        if self._device.type == "cpu":
            torch.set_num_threads(match.threads or usable_cores())
        width, height = (int(n) for n in metadata["input_size"].split("x"))
        self._inputs = [np.empty((1, 3, height, width), np.float32) for _ in range(2)]
        self.spec = MatcherSpec(
            name=model.name,
            backend="torch",
            width=width,
            height=height,
            max_disparity_px=float(net.size.max_disparity_px),
            has_confidence=True,
            sha256=model.sha256,
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        torch = self._torch
        height, width = self._inputs[0].shape[2:]
        grid = Grid((left.shape[1], left.shape[0]), (width, height))
        for image, tensor in zip((left, right), self._inputs, strict=True):
            fill_input(grid.enter(image), tensor)
        with torch.inference_mode():
            maps = self._net(*(torch.from_numpy(t).to(self._device) for t in self._inputs))
            disparity_px, confidence = (m[0, 0].cpu().numpy() for m in maps)
        return grid.leave(*clean_outputs(disparity_px, confidence))

    def close(self) -> None:
        del self._net


def _device(device: str):
    import torch

    try:
        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError):  # unknown name, or a torch built without it
        raise ModelError(f"the device '{device}' does not work in torch here; use --device auto or cpu") from None
    return chosen
