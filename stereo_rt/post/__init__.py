"""Post-processing: a matcher's disparity becomes a DepthResult, smoothed, masked and, when asked, filled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import PostConfig
from ..frames import DepthResult, Disparity, StereoFrame
from ..geometry import RectifiedRig
from ..holes import fill_rows
from . import leftright, mask, speckle
from .leftright import mirrored
from .prior import Prior, prior_of
from .temporal import Smoother

__all__ = ["Post", "mirrored"]


class Post:
    """Applies a PostConfig to every frame. One thread calls; another may assign `config`, which the next frame uses."""

    def __init__(self, config: PostConfig) -> None:
        self.config = config
        self.note = ""
        """Why the latest frame was not filled, where it was to be; else empty."""
        self._smoother = Smoother()

    def reset(self) -> None:
        """Forget the frames so far."""
        self._smoother.reset()

    def __call__(
        self,
        disparity: Disparity,
        frame: StereoFrame,
        rig: RectifiedRig,
        stage_ms: Mapping[str, float],
        right: Disparity | None = None,
        mono: np.ndarray | None = None,
    ) -> DepthResult:
        """frame: the rectified pair on the grid of disparity and rig. stage_ms: travels into the result.

        right: the right eye's view of the disparity (see mirrored), used when config.left_right is on.
        mono: (H, W) relative inverse depth of the left image (mono/base.py), which config.fill = "mono" fills from.
        The result's disparity is smoothed but not masked; only at filled pixels is it replaced, and the confidence 0.
        """
        config = self.config  # one read, so that a change from another thread never splits a frame
        disparity_px = self._smooth(disparity.disparity_px, frame, config)
        kept = _trusted(disparity_px, disparity.confidence, right, config)
        confidence, filled = disparity.confidence, None
        if config.fill != "none":
            values = self._values(disparity_px, kept, mono, config)
            filled = ~kept & mask.in_range(values, rig, config.range_m)
            disparity_px = np.where(filled, values, disparity_px)
            confidence = np.where(filled, np.float32(0), confidence)
            kept |= filled
        kept &= mask.in_range(disparity_px, rig, config.range_m)
        return DepthResult(
            disparity_px=disparity_px,
            confidence=confidence,
            mask=kept,
            rig=rig,
            left=frame.left,
            index=frame.index,
            stamp_ns=frame.stamp_ns,
            skew_ns=frame.skew_ns,
            arrived_ns=frame.arrived_ns,
            stage_ms=stage_ms,
            filled=filled,
            mono=mono,
        )

    def _values(self, disparity_px: np.ndarray, kept: np.ndarray, mono: np.ndarray | None, config: PostConfig) -> np.ndarray:
        """What to fill with, (H, W) px, NaN where nothing is known."""
        if config.fill == "rows":
            return fill_rows(disparity_px, kept)
        found = (
            prior_of(mono, disparity_px, kept) if mono is not None else Prior(None, "there is no monocular map of this frame")
        )
        self.note = found.why
        return np.full(disparity_px.shape, np.nan, np.float32) if found.values_px is None else found.values_px

    def _smooth(self, disparity_px: np.ndarray, frame: StereoFrame, config: PostConfig) -> np.ndarray:
        if config.temporal == 0:
            self._smoother.reset()
            return disparity_px
        return self._smoother(
            disparity_px, frame.index, frame.stamp_ns, config.temporal, config.temporal_step_px, config.temporal_gap_ms
        )


def _trusted(disparity_px: np.ndarray, confidence: np.ndarray, right: Disparity | None, config: PostConfig) -> np.ndarray:
    """(H, W) bool: confident, away from edges, confirmed by the other eye, part of something."""
    kept = np.isfinite(disparity_px) & (confidence >= np.float32(config.min_confidence))
    if config.edge_px:
        kept &= ~mask.edges(disparity_px, config.edge_px, config.edge_step_px)
    if config.left_right and right is not None:
        kept &= leftright.consistent(disparity_px, right.disparity_px, config.left_right_px)
    if config.speckle_px:
        kept &= ~speckle.speckles(disparity_px, kept, config.speckle_px, config.speckle_step_px)
    return kept
