"""OnnxMono: a monocular network in ONNX Runtime: ours, or any other in one ONNX file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..config import MatchConfig
from ..errors import ModelError
from ..matchers.file import first_line
from ..matchers.grid import Grid
from ..matchers.models import find_model
from ..matchers.onnx import open_session
from ..matchers.tensors import fill_input

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1]: what networks that say nothing of their own in their metadata are fed with, as is usual."""
OURS = "rgb_0_1"


class OnnxMono:
    """A shipped name or a FILE.onnx on match.device, with one image (1, 3, H, W) in and one map of H x W values out.

    Files whose metadata says `normalisation: rgb_0_1` get RGB in [0, 1]; all others RGB by ImageNet's mean and deviation.
    Its map is taken for inverse depth; base.OfDepth is for others. Raises ModelError.
    """

    def __init__(self, model: str, match: MatchConfig) -> None:
        found = find_model(model)
        self.name = found.name
        device = "auto" if match.backend == "openvino" else match.device  # that one has devices of its own
        self._session = open_session(found.path, device, match.threads)
        self._size = _grid(found.path, self._session.get_inputs(), self._session.get_outputs())
        self._input = self._session.get_inputs()[0].name
        self._image = np.empty((1, 3, *self._size[::-1]), np.float32)
        ours = self._session.get_modelmeta().custom_metadata_map.get("normalisation") == OURS
        mean, deviation = ((0.0,) * 3, (1.0,) * 3) if ours else (IMAGENET_MEAN, IMAGENET_DEVIATION)
        self._mean, self._deviation = (np.array(v, np.float32).reshape(3, 1, 1) for v in (mean, deviation))
        try:
            self(np.zeros((*self._size[::-1], 3), np.uint8))  # the first run is slow; better here than on the first frame
        except Exception as e:  # ONNX Runtime's exceptions share no base of their own
            raise ModelError(f"{found.path}: does not run as a monocular network ({first_line(e)}); check the file") from None

    def __call__(self, left: np.ndarray) -> np.ndarray:
        grid = Grid((left.shape[1], left.shape[0]), self._size)
        fill_input(grid.enter(left), self._image)
        self._image -= self._mean
        self._image /= self._deviation
        seen = self._session.run(None, {self._input: self._image})[0]
        width, height = grid.content_size
        content = seen.reshape(self._size[::-1])[:height, :width].astype(np.float32)
        return content if grid.content_size == grid.frame_size else cv2.resize(content, grid.frame_size)

    def close(self) -> None:
        del self._session


def _grid(path: Path, inputs: list, outputs: list) -> tuple[int, int]:
    """(width, height) of the network's image. Raises ModelError."""
    shape = tuple(inputs[0].shape) if inputs else ()
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3:
        takes = ", ".join(f"{t.name} ({', '.join(map(str, t.shape))})" for t in inputs) or "nothing"
        raise ModelError(f"{path}: is not a monocular network, which takes one image (1, 3, H, W); this one takes {takes}")
    if not all(isinstance(n, int) for n in shape) or shape[0] != 1:
        raise ModelError(f"{path}: its input size is not fixed {shape}; export it with a fixed size such as (1, 3, 384, 512)")
    height, width = shape[2:]
    made = outputs[0].shape
    if all(isinstance(n, int) for n in made) and [n for n in made if n != 1] != [height, width]:
        raise ModelError(f"{path}: its output is {tuple(made)}, not one map of {width}x{height}; check the file")
    return width, height
