"""Teachers: what labels pairs for a student. Each is a Matcher; its view from the right eye is a mirrored pair's.

student_m, FILE.onnx          a network, as it is
finer:student_m               one of our own networks, at several input sizes and upside down; what these agree on
sgbm                          OpenCV's semi-global matching
raft_stereo, ...              another project's network from the user's clone, by a name of adapters.ADAPTERS
external:MODULE:FUNCTION      the same through an adapter of the user's own: see open_external
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..config import MatchConfig
from ..errors import ModelError, UsageError
from ..frames import Disparity
from ..matchers import create_matcher
from ..matchers.base import Matcher, MatcherSpec
from ..matchers.models import find_model
from ..matchers.torch import TorchMatcher
from .adapters import ADAPTERS, MONO, open_adapter

FINER, EXTERNAL = "finer:", "external:"
STEREO = [name for name in ADAPTERS if name not in MONO]
SCALES = (1.0, 1.5, 2.0)
"""Input sizes of a finer teacher, in the network's own; the widest reach comes first."""
REACH = 0.9
"""A scaled view is not asked where the widest one sees more than this share of the scaled view's largest disparity."""
AGREE_PX, AGREE_RATIO = 1.0, 0.03
"""Two estimates agree when they differ by at most AGREE_PX + AGREE_RATIO * d."""


class Adapter(Protocol):
    """Makes a Matcher of another project's network.

    clone: folder of that project's code. checkpoint: its weights. device: as in --device. Raises StereoError.
    """

    def __call__(self, clone: Path, checkpoint: Path, device: str) -> Matcher: ...


def open_teacher(name: str, match: MatchConfig, clone: Path | None = None, checkpoint: Path | None = None) -> Matcher:
    """The teacher of that name (grammar above) on match.device. Raises ModelError, UsageError, MissingExtra."""
    if name.startswith(EXTERNAL):
        return open_external(name.removeprefix(EXTERNAL), clone, checkpoint, match.device)
    if name in MONO:
        raise UsageError(f"{name} sees one eye and knows no disparity; a teacher is one of {', '.join(STEREO)}, or a network")
    if name in ADAPTERS:
        return open_adapter(name, clone, checkpoint, match.device)
    if not name.endswith(".onnx") and (near := difflib.get_close_matches(name, STEREO, n=1, cutoff=0.8)):
        raise UsageError(f"there is no teacher named '{name}'; did you mean '{near[0]}'?")
    if clone or checkpoint:
        raise UsageError(
            f"--teacher-clone and --teacher-checkpoint go with another project's network, not with {name}; "
            f"there are {', '.join(STEREO)} and external:MODULE:FUNCTION"
        )
    if name.startswith(FINER):
        return FinerTeacher(match.model_copy(update={"model": name.removeprefix(FINER)}))
    if name == "sgbm":
        return create_matcher(match.model_copy(update={"backend": "sgbm"}))
    return create_matcher(match.model_copy(update={"backend": "onnx", "model": name}))


def open_external(adapter: str, clone: Path | None, checkpoint: Path | None, device: str) -> Matcher:
    """adapter: MODULE:FUNCTION, the function an Adapter. Raises UsageError, ModelError: what is missing."""
    if clone is None or checkpoint is None:
        raise UsageError(
            f"--teacher {EXTERNAL}{adapter} needs --teacher-clone DIR and --teacher-checkpoint FILE: "
            "the other project's code and weights"
        )
    for path, there in ((clone, clone.is_dir()), (checkpoint, checkpoint.is_file())):
        if not there:
            kind = "folder" if path is clone else "file"
            raise ModelError(f"{path}: there is no such {kind}; get the other project's code and weights first")
    module, _, function = adapter.partition(":")
    try:
        make: Adapter = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as e:
        raise ModelError(
            f"the adapter '{adapter}' cannot be imported ({e}); it is MODULE:FUNCTION, the module on PYTHONPATH"
        ) from None
    matcher = make(clone, checkpoint, device)
    if not isinstance(matcher, Matcher):
        raise ModelError(f"the adapter '{adapter}' gave a {type(matcher).__name__}, which is no Matcher (matchers/base.py)")
    return matcher


class FinerTeacher:
    """One of our own networks asked several times about a pair, each time at another input size or upside down.

    Errors of the single answers are partly independent, and a larger input matches in finer steps. Needs torch.
    Raises ModelError for a network that is not ours: the input of any other ONNX file is fixed.
    """

    def __init__(self, match: MatchConfig, scales: Sequence[float] = SCALES) -> None:
        self._views = [TorchMatcher(match, scale) for scale in scales]
        first = self._views[0].spec
        self.spec = MatcherSpec(
            name=f"{FINER}{first.name}@{','.join(f'{scale:g}' for scale in scales)}",
            backend="torch",
            width=first.width,
            height=first.height,
            max_disparity_px=first.max_disparity_px,
            has_confidence=True,
            sha256=first.sha256,
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        widest, *others = [[view(left, right), upside_down(view, left, right)] for view in self._views]
        answers = list(widest)
        for view, both in zip(self._views[1:], others, strict=True):
            beyond = widest[0].disparity_px > REACH * reach_px(view.spec, left.shape[1], left.shape[0])
            answers += [Disparity(a.disparity_px, np.where(beyond, np.float32(0), a.confidence)) for a in both]
        return fuse(answers)

    def close(self) -> None:
        for view in self._views:
            view.close()


def upside_down(matcher: Matcher, left: np.ndarray, right: np.ndarray) -> Disparity:
    """The same map from the pair turned top to bottom, which leaves disparities as they are."""
    seen = matcher(np.ascontiguousarray(left[::-1]), np.ascontiguousarray(right[::-1]))
    return Disparity(seen.disparity_px[::-1], seen.confidence[::-1])


def fuse(answers: Sequence[Disparity]) -> Disparity:
    """Several maps of one pair as one: the median weighted by confidence; confident is what they agree on.

    Confidence = mean over the answers of c_k * [|d_k - d| <= AGREE_PX + AGREE_RATIO * d]. NaN where none has a value.
    """
    disparities_px = np.stack([a.disparity_px for a in answers])
    weights = np.where(np.isfinite(disparities_px), np.stack([a.confidence for a in answers]), 0)
    order = np.argsort(disparities_px, axis=0, kind="stable")  # NaN comes last
    summed = np.take_along_axis(weights, order, 0).cumsum(axis=0)
    middle = np.argmax(summed >= 0.5 * summed[-1], axis=0)
    fused = np.take_along_axis(disparities_px, np.take_along_axis(order, middle[None], 0), 0)[0]
    with np.errstate(invalid="ignore"):
        agree = np.abs(disparities_px - fused) <= AGREE_PX + AGREE_RATIO * fused
    return Disparity(fused, (weights * agree).mean(axis=0).astype(np.float32))


def reach_px(spec: MatcherSpec, width: int, height: int) -> float:
    """The largest disparity a network finds in frames of this size, in px of the frame."""
    grid = spec.grid_for((width, height))
    return spec.max_disparity_px if grid is None else spec.max_disparity_px * max(width / grid[0], height / grid[1])


def network_of(name: str) -> str | None:
    """The network of ours behind a teacher's name, which can be asked for more than labels; None for the other kinds.

    Needs torch and onnx. Raises ModelError for a network that does not exist.
    """
    if name == "sgbm" or name in ADAPTERS or name.startswith(EXTERNAL):
        return None
    from ..nets.weights import load_network

    path = find_model(name.removeprefix(FINER)).path
    try:
        load_network(path)
    except ModelError:
        return None
    return str(path.resolve())
