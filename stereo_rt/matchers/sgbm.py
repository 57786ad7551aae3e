"""SgbmMatcher: OpenCV's semi-global matching on grey images of any size, with a confidence that we add.

The pair is matched twice, once from each eye, side by side on two threads. The left map is dense; the right one keeps
only matches whose cost is at least UNIQUENESS_PERCENT better than the next, and so serves as the witness. Where the two do not
agree, the left map is filled along the row from the surface behind, as the kits of the benchmarks do it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from ..config import MatchConfig, SgbmConfig
from ..frames import Disparity
from ..holes import fill_rows
from .base import MatcherSpec

MODES = {
    "3way": cv2.StereoSGBM_MODE_SGBM_3WAY,
    "5path": cv2.StereoSGBM_MODE_SGBM,
    "8path": cv2.StereoSGBM_MODE_HH,
}
UNIQUENESS_PERCENT = 10
WINDOW_PX = 9
SPREAD_PX = 2.0
AGREED = 0.2
"""Confidence from which on the eyes agree: about a pixel apart on a smooth surface."""
FIXED_POINT = 16  # OpenCV's disparities are int16 in sixteenths of a pixel
NO_CHECK = 1_000_000  # OpenCV takes 0 and less for 1 px


class SgbmMatcher:
    """Needs no network and no grid. max_disparity_px counts on the frames' own grid."""

    def __init__(self, match: MatchConfig) -> None:
        settings = match.sgbm
        self._reach = settings.max_disparity_px
        self._left, self._right = _semi_global(settings, 0), _semi_global(settings, UNIQUENESS_PERCENT)
        self._other_eye = ThreadPoolExecutor(1, thread_name_prefix="sgbm")
        self.spec = MatcherSpec(
            name=f"sgbm_{settings.mode}",
            backend="sgbm",
            width=None,
            height=None,
            max_disparity_px=float(self._reach),
            has_confidence=True,
        )

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Disparity:
        left, right = _grey(left), _grey(right)
        seen_right = self._other_eye.submit(self._match, self._right, right[:, ::-1], left[:, ::-1])
        seen_left = self._match(self._left, left, right)
        confidence = agreement(seen_left, np.ascontiguousarray(seen_right.result()[:, ::-1]))
        filled = fill_rows(seen_left, confidence >= AGREED)
        confidence[np.isnan(filled)] = 0
        return Disparity(filled, confidence)

    def _match(self, matching: cv2.StereoSGBM, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(H, W) float32 px, -1 where there is no match. Padding lets the first columns be matched as well."""
        padded = (cv2.copyMakeBorder(image, 0, 0, self._reach, 0, cv2.BORDER_REPLICATE) for image in (first, second))
        return matching.compute(*padded)[:, self._reach :].astype(np.float32) / FIXED_POINT

    def close(self) -> None:
        self._other_eye.shutdown()


def agreement(left_px: np.ndarray, right_px: np.ndarray) -> np.ndarray:
    """(H, W) float32 confidence exp(-e) / (1 + s / SPREAD_PX) of the left map; 0 where either eye has no match.

    left_px, right_px: (H, W) float32 disparities on the left and the right grid, negative where there is none.
    e = |d_l(x) - d_r(x - d_l)| in px, with d_r at the nearest pixel: the left-right check, made gradual.
    s = standard deviation of d_l in a window of WINDOW_PX: edges and ragged matches are seldom right.
    """
    height, width = left_px.shape
    columns = np.arange(width, dtype=np.float32) - left_px
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    partner = cv2.remap(right_px, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=-1)
    window = (WINDOW_PX, WINDOW_PX)
    variance = cv2.sqrBoxFilter(left_px, cv2.CV_32F, window) - np.square(cv2.blur(left_px, window))
    confidence = np.exp(-cv2.absdiff(left_px, partner)) / (1 + np.sqrt(np.maximum(variance, 0)) / np.float32(SPREAD_PX))
    confidence[(left_px < 0) | (partner < 0)] = 0
    return confidence


def agreement_numpy(left_px: np.ndarray, right_px: np.ndarray) -> np.ndarray:
    """Plain twin of agreement."""
    width = left_px.shape[1]
    columns = np.rint(np.arange(width) - left_px).astype(int)
    partner = np.take_along_axis(right_px, np.clip(columns, 0, width - 1), axis=1)
    partner = np.where((columns >= 0) & (columns < width), partner, -1)
    r = WINDOW_PX // 2
    padded = np.pad(left_px.astype(np.float64), r, mode="reflect")
    spread = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW_PX, WINDOW_PX)).std(axis=(2, 3))
    confidence = np.exp(-np.abs(left_px - partner)) / (1 + spread / SPREAD_PX)
    return np.where((left_px < 0) | (partner < 0), 0, confidence).astype(np.float32)


def _semi_global(settings: SgbmConfig, uniqueness_percent: int) -> cv2.StereoSGBM:
    area = settings.block_px**2
    return cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=settings.max_disparity_px,
        blockSize=settings.block_px,
        P1=8 * area,
        P2=96 * area,
        disp12MaxDiff=NO_CHECK,
        preFilterCap=63,
        uniquenessRatio=uniqueness_percent,
        mode=MODES[settings.mode],
    )


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
