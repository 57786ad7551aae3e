"""Our own networks in torch: as they are in memory, or their weights read from the same ONNX file. For development and GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..config import MatchConfig
from ..errors import MissingExtra, ModelError
from ..frames import Disparity
from .base import MatcherSpec
from .cores import usable_cores
from .grid import Grid, grid_size
from .models import find_model, twins
from .tensors import clean_outputs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..nets.predictions import StereoNet


class NetMatcher:
    """Any network of ours, as it is in memory, on a grid of size (width, height). device: the network's.

    net: the network itself, for those who look at more than its maps. others: see MatcherSpec.
    """

    def __init__(
        self,
        net: StereoNet,
        size: tuple[int, int],
        device: torch.device,
        name: str,
        sha256: str | None = None,
        others: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.net, self._device = net, device
        self._pixels: dict[tuple[int, int], Tensor] = {}
        width, height = size
        self.spec = MatcherSpec(
            name=name,
            backend="torch",
            width=width,
            height=height,
            max_disparity_px=float(net.max_disparity_px),
            has_confidence=True,
            sha256=sha256,
            others=others,
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        import torch

        with torch.inference_mode():
            return self.leave(left, *self.net(*self.enter(left, right)))

    def enter(self, left: np.ndarray, right: np.ndarray) -> tuple[Tensor, Tensor]:
        """What the network takes for this pair: two (1, 3, height, width) tensors on its device."""
        grid = self._grid(left)
        both = self._buffers(grid.network_size)
        for image, pixels in zip((left, right), both, strict=True):
            grid.enter_into(image, pixels[0].numpy())
        left_rgb, right_rgb = (_normalised(pixels.to(self._device)) for pixels in both)
        return left_rgb, right_rgb

    def _buffers(self, size: tuple[int, int]) -> Tensor:
        """(2, 1, height, width, 3) uint8 for the pixels of both eyes on a grid."""
        import torch

        if size not in self._pixels:
            shape = (2, 1, size[1], size[0], 3)
            self._pixels[size] = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        return self._pixels[size]

    def leave(self, left: np.ndarray, disparity_px: Tensor, confidence: Tensor) -> Disparity:
        """The network's maps, (1, 1, height, width) each, on the grid of the pair whose left image this is."""
        maps = (m[0, 0].float().cpu().numpy() for m in (disparity_px, confidence))
        return self._grid(left).leave(*clean_outputs(*maps))

    def _grid(self, image: np.ndarray) -> Grid:
        frame_size = (image.shape[1], image.shape[0])
        network_size = self.spec.grid_for(frame_size)
        assert network_size is not None
        return Grid(frame_size, network_size)

    def close(self) -> None:
        del self.net


def _normalised(pixels: Tensor) -> Tensor:
    """matchers/tensors.py: fill_input, on the device. (1, H, W, 3) uint8 BGR -> (1, 3, H, W) float32 RGB in [0, 1]."""
    return pixels.flip(-1).permute(0, 3, 1, 2).contiguous().float() * (1 / 255)


class TorchMatcher(NetMatcher):
    """Runs match.model on match.device: 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'. Raises ModelError, MissingExtra.

    scale: size of the input grid, in the file's own (a network in torch is not bound to one size).
    """

    def __init__(self, match: MatchConfig, scale: float = 1.0) -> None:
        try:
            import onnx  # noqa: F401
            import torch
        except ImportError:
            raise MissingExtra("the torch backend", "train") from None
        from ..devices import choose_device
        from ..nets.mono_unet import MonoUNet
        from ..nets.weights import load_network

        model = find_model(match.model)
        net, metadata = load_network(model.path)
        if isinstance(net, MonoUNet):
            raise ModelError(
                f"{model.path}: is a monocular network, which matches nothing; fill holes from it with: "
                f"--set post.fill=mono --set post.mono={match.model}"
            )
        device = choose_device(match.device)
        if device.type == "cpu":
            torch.set_num_threads(match.threads or usable_cores())

        def scaled(size: tuple[int, int]) -> tuple[int, int]:
            width, height = (round(side * scale / net.multiple_px) * net.multiple_px for side in size)
            return width, height

        size, others = scaled(grid_size(metadata["input_size"])), tuple(scaled(twin.size) for twin in twins(match.model))
        super().__init__(net.to(device), size, device, model.name, model.sha256, others)
