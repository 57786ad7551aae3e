"""Do two forms of one network still give the same answers? Judged on rendered pairs whose truth is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.metrics import error_rates
from ..matchers.onnx import open_session
from ..matchers.tensors import fill_input
from ..sources.synthetic import SyntheticCamera

if TYPE_CHECKING:
    import torch

BASELINES_M = (0.06, 0.18, 0.48)
"""One pair each, another room each time: at 640 px wide they reach from a few pixels to beyond 150."""
MANY = 4 * len(BASELINES_M)
"""Pairs that tell whether coarser numbers make errors larger: where nothing can be matched they change guesses, by more than
that in a single pair."""


@dataclass(frozen=True)
class Allowed:
    """What a second form of a network may change, as Parity has it. better: any change that makes errors smaller as well."""

    epe_px: float
    bad1: float
    better: bool = False

    def __str__(self) -> str:
        return f"{self.epe_px} px and {self.bad1} %" + (" more" if self.better else "")


SAME = Allowed(0.02, 0.1)
"""Another way to compute the same."""
NO_WORSE = Allowed(0.05, 0.5, better=True)
"""Coarser numbers: single pixels change, in both directions."""

Images = tuple[np.ndarray, ...]
Estimator = Callable[[np.ndarray, np.ndarray], Images]
"""left, right (1, 3, H, W) float32 RGB in [0, 1] -> disparity in px and confidence, (H, W) float32 each; or, of a
monocular network, relative inverse depth alone."""


@dataclass(frozen=True, eq=False)
class TruePair:
    """left, right: (1, 3, H, W) float32 RGB in [0, 1]. truth_px: (H, W) float32."""

    left: np.ndarray
    right: np.ndarray
    truth_px: np.ndarray


@dataclass(frozen=True)
class Parity:
    """How far a network's second form is from its first.

    mean_px: mean difference of their disparities. epe_change_px, bad1_change: of the errors against the truth, second
    minus first, bad1 in percentage points. finite: the second gave numbers everywhere.
    """

    mean_px: float
    epe_change_px: float
    bad1_change: float
    finite: bool

    def within(self, allowed: Allowed) -> bool:
        changes = (self.epe_change_px, self.bad1_change)
        epe_px, bad1 = changes if allowed.better else map(abs, changes)
        return self.finite and epe_px < allowed.epe_px and bad1 < allowed.bad1

    @property
    def holds(self) -> bool:
        return self.within(SAME)

    def __str__(self) -> str:
        if not self.finite:
            return "values that are not finite"
        return f"EPE {self.epe_change_px:+.4f} px, bad-1 {self.bad1_change:+.3f} %, {self.mean_px:.4f} px apart on average"


def true_pairs(size: tuple[int, int], seeds: Iterable[int] = range(len(BASELINES_M))) -> list[TruePair]:
    """Rendered pairs of (width, height), one for each seed, the same ones every time."""
    pairs = []
    for seed in seeds:
        camera = SyntheticCamera(size=size, seed=seed, baseline_m=BASELINES_M[seed % len(BASELINES_M)])
        frame = camera.frame(0)
        images = [np.empty((1, 3, size[1], size[0]), np.float32) for _ in range(2)]
        for image, tensor in zip((frame.left, frame.right), images, strict=True):
            fill_input(image, tensor)
        pairs.append(TruePair(images[0], images[1], camera.ground_truth(0).disparity_px))
    return pairs


def onnx_estimator(path: Path) -> Estimator:
    """One of our exported files, in ONNX Runtime on the CPU. Raises ModelError."""
    session = open_session(path, "cpu", 0)
    one_eye = len(session.get_inputs()) == 1

    def estimate(left: np.ndarray, right: np.ndarray) -> Images:
        maps = session.run(None, {"image": left} if one_eye else {"left": left, "right": right})
        return tuple(m[0, 0] for m in maps)

    return estimate


def torch_estimator(net: torch.nn.Module) -> Estimator:
    """A network in torch, on the device that it is on."""
    import torch

    from ..nets.mono_unet import MonoUNet

    device = next(net.parameters()).device

    def estimate(left: np.ndarray, right: np.ndarray) -> Images:
        images = [torch.from_numpy(image).to(device) for image in (left, right)]
        with torch.inference_mode():
            maps = (net(images[0]),) if isinstance(net, MonoUNet) else net(*images)
        return tuple(m[0, 0].float().cpu().numpy() for m in maps)

    return estimate


def compare(first: Estimator, second: Estimator, pairs: Sequence[TruePair]) -> Parity:
    """All pixels of all pairs together. Relative inverse depth is compared as the disparity that it fits best."""
    truth_px = np.stack([pair.truth_px for pair in pairs])
    maps = [[estimate(pair.left, pair.right) for pair in pairs] for estimate in (first, second)]
    if not all(np.isfinite(values).all() for found in maps[1] for values in found):
        return Parity(np.nan, np.nan, np.nan, finite=False)
    before_px, after_px = (
        np.stack(
            [values[0] if len(values) > 1 else _fitted(values[0], truth) for values, truth in zip(found, truth_px, strict=True)]
        )
        for found in maps
    )
    before, after = error_rates(truth_px, before_px), error_rates(truth_px, after_px)
    assert before and after, "rendered pairs have truth"
    changes = {key: (after[key] or 0.0) - (before[key] or 0.0) for key in ("epe", "bad1")}
    return Parity(float(np.abs(after_px - before_px).mean()), changes["epe"], changes["bad1"], finite=True)


def _fitted(relative: np.ndarray, truth_px: np.ndarray) -> np.ndarray:
    """The map in px: with the scale and shift of least squares."""
    scale, shift = np.polyfit(relative.ravel().astype(np.float64), truth_px.ravel(), 1)
    return (scale * relative + shift).astype(np.float32)
