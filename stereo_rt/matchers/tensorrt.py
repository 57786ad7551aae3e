"""TensorRTMatcher: a network's engine on an NVIDIA GPU. Engines are made by `stereo-rt build`, never here."""

from __future__ import annotations

import logging

import numpy as np

from ..config import MatchConfig
from ..engine.build import build_command, find_engine, judge
from ..engine.cache import Entry
from ..engine.cuda import device_index
from ..engine.flavour import available, load
from ..engine.gpu import Gpu, find_gpu
from ..engine.jetson import missing
from ..engine.running import LoadedEngine
from ..errors import ModelError
from ..frames import Disparity
from .base import MatcherSpec
from .grid import Grid
from .models import ModelFile, find_model

log = logging.getLogger(__name__)


class TensorRTMatcher:
    """Runs match.model on match.device: 'auto', 'cuda' or 'cuda:N'. Normalisation and masking happen in the engine.

    trained: False for random weights, which have no accuracy that the parity gate could judge. entry: an engine of it that
    fits, where somebody has chosen one; None for the first that does.
    engine_key: hash of all that the engine depends on (engine/key.py).
    Raises ModelError (no engine fits: nothing was loaded yet), MissingExtra, CheckFailed (the parity gate said no).
    """

    def __init__(self, match: MatchConfig, *, trained: bool = True, entry: Entry | None = None) -> None:
        index = device_index(match.device)
        model, gpu = find_model(match.model), find_gpu(index)
        if gpu is None:
            raise ModelError(f"there is no NVIDIA GPU cuda:{index} here, which the tensorrt backend needs; use --backend onnx")
        entry = entry or usable_engine(model, gpu)
        self._engine = LoadedEngine(entry, index)
        try:
            if trained and (entry.sidecar.parity is None or entry.sidecar.parity.gpu != gpu.name):
                log.info("%s: the first run of this engine on %s; comparing it with ONNX Runtime", model.name, gpu.name)
                judge(entry, model, self._engine, gpu, say=log.info)
        except BaseException:
            self._engine.close()
            raise
        width, height = entry.sidecar.key.size
        self.engine_key = entry.sidecar.key.digest
        self._fp32_command = build_command(model, gpu, "fp32", entry.sidecar.key.flavour)
        self._all_numbers = True
        self.spec = MatcherSpec(
            name=model.name,
            backend="tensorrt",
            width=width,
            height=height,
            max_disparity_px=entry.sidecar.max_disparity_px,
            has_confidence=entry.sidecar.has_confidence,
            sha256=model.sha256,
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        assert self.spec.width and self.spec.height
        grid, engine = Grid((left.shape[1], left.shape[0]), (self.spec.width, self.spec.height)), self._engine
        grid.enter_into(left, engine.images[0])
        engine.upload_left()
        grid.enter_into(right, engine.images[1])
        engine.infer()
        out = grid.leave(engine.maps[0], engine.maps[1])
        if grid.content_size == grid.frame_size:  # then `out` lies in the engine's own buffers
            out = Disparity(out.disparity_px.copy(), out.confidence.copy())
        if self._all_numbers and np.isnan(out.disparity_px.max()):
            self._all_numbers = False
            log.warning(
                "%s: its engine gave %.2g %% of a frame no number; those pixels are left out (%s makes an engine that cannot "
                "overflow, in its place)",
                self.spec.name,
                np.isnan(out.disparity_px).mean() * 100,
                self._fp32_command,
            )
        return out

    def network_ms(self, repeats: int) -> list[float]:
        """See NetworkTimer: by CUDA events."""
        return self._engine.network_ms(repeats)

    def close(self) -> None:
        self._engine.close()


def usable_engine(model: ModelFile, gpu: Gpu) -> Entry:
    """The engine of a network for this GPU, in whichever flavour is installed. Raises ModelError, MissingExtra."""
    flavours, problem = available(), None
    for name in flavours:
        try:
            return find_engine(model, load(name), gpu)
        except ModelError as e:
            problem = problem or e
    raise problem or missing("the tensorrt backend", "tensorrt")
