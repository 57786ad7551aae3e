"""The score of a network while it is trained: a row for eval.csv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ..datasets import open_dataset
from ..evaluation.report import evaluate
from ..matchers.torch import NetMatcher
from ..nets.predictions import StereoNet

Judge = Callable[[nn.Module], dict[str, float]]
"""A network in eval mode -> its figures by name."""


def judge_on(dataset: str | Path, device: torch.device) -> Judge:
    """Mean figures over the scenes of a dataset, as `stereo-rt eval` has them. Raises SourceError, here and when called, and
    UsageError."""
    scenes = open_dataset(dataset)

    def judge(net: nn.Module) -> dict[str, float]:
        stereo = cast(StereoNet, net)
        mean = evaluate(NetMatcher(stereo, stereo.grid, device, "in training", others=stereo.others), scenes)["mean"]
        noc, confidence = mean["noc"] or {}, mean["confidence"] or {}
        figures = {name: mean["all"].get(name) for name in ("epe", "bad1", "bad2", "bad3")}
        figures |= {"bad1_noc": noc.get("bad1"), "bad2_noc": noc.get("bad2"), "ause": confidence.get("ause")}
        return {name: float("nan") if value is None else value for name, value in figures.items()}

    return judge
