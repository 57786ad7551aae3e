"""Confidence from the maps and images alone: no second run, no look inside the matcher."""

from __future__ import annotations

import cv2
import numpy as np

from .base import Evidence, falling

WINDOW_PX = 9
GAIN_WINDOW_PX = 31
"""Exposure and vignetting differ between the eyes over wide areas, errors over narrow ones."""
GREY_LEVELS = 255.0


def variance(evidence: Evidence, window_px: int = WINDOW_PX) -> np.ndarray:
    """1 / (1 + s), s the standard deviation of the disparity in a window, in px.

    VAR of Haeusler, Nair and Kondermann, "Ensemble learning for confidence measures in stereo vision", CVPR 2013.
    """
    disparity = evidence.estimate.disparity_px
    known = np.isfinite(disparity)
    values = np.where(known, disparity, 0).astype(np.float64)
    window = (window_px, window_px)
    share, mean, square = (cv2.blur(m, window) for m in (known.astype(np.float64), values, values * values))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.maximum(square / share - (mean / share) ** 2, 0))
    return falling(np.where(known, spread, np.nan))


def variance_numpy(evidence: Evidence) -> np.ndarray:
    """Plain twin of variance."""
    r = WINDOW_PX // 2
    disparity = evidence.estimate.disparity_px.astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(disparity, r, mode="reflect"), (WINDOW_PX, WINDOW_PX))
    known = np.isfinite(windows)
    count = np.maximum(known.sum((2, 3)), 1)
    mean = np.where(known, windows, 0).sum((2, 3)) / count
    spread = np.sqrt(np.where(known, (windows - mean[..., None, None]) ** 2, 0).sum((2, 3)) / count)
    return falling(np.where(np.isfinite(disparity), spread, np.nan))


def photometric(evidence: Evidence) -> np.ndarray:
    """1 - a, a the mean absolute grey difference (of 1) in a window between left and right warped to it; 0 out of view.

    The reprojection error of self-supervised stereo (Godard, Mac Aodha and Brostow, "Unsupervised monocular depth
    estimation with left-right consistency", CVPR 2017), in its L1 form. The warped image is first brought to the left one's
    brightness by the ratio of their means in a window of GAIN_WINDOW_PX, so that a difference in gain is no error.
    """
    left, right = (grey(image) for image in (evidence.left, evidence.right))
    height, width = left.shape
    columns = np.arange(width, dtype=np.float32) - evidence.estimate.disparity_px
    seen = (columns >= 0) & (columns <= width - 1)  # False for NaN
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    warped = cv2.remap(right, np.where(seen, columns, -1).astype(np.float32), rows, cv2.INTER_LINEAR)
    among = seen.astype(np.float32)
    wide = (GAIN_WINDOW_PX, GAIN_WINDOW_PX)
    gain = (cv2.blur(left * among, wide) + 1) / (cv2.blur(warped * among, wide) + 1)
    window = (WINDOW_PX, WINDOW_PX)
    apart = cv2.blur(np.abs(left - gain * warped) * among, window) / np.maximum(cv2.blur(among, window), 1e-6)
    return np.where(seen, np.clip(1 - apart / GREY_LEVELS, 0, 1), 0).astype(np.float32)


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) float32, 0 to GREY_LEVELS."""
    return (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image).astype(np.float32)
