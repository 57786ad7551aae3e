"""The rectification probe: do matching points of a rectified pair lie on the same row, and to the left in the right image?

Corners are matched by ORB descriptors over a wide band of rows, kept when mutual, and refined to a fraction of a pixel by
Lucas-Kanade flow. Their vertical offsets are not the same everywhere (a roll between the eyes makes them grow with x),
so a plane is fitted to them and judged over the whole image, wherever the corners happened to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..frames import StereoFrame

CORNERS = 800
HAMMING_MAX = 50
"""Descriptors of 256 bits that differ in more are different corners."""
BAND = 0.1
"""Rows searched above and below, as a share of the height: enough for a pair that was never rectified."""
REFINED_MAX_PX = 1.5
MIN_MATCHES = 40
VERTICAL_LIMIT_PX = 0.5
"""Well rectified recordings stay below 0.4; matchers begin to lose detail about here."""
GROSS_LIMIT_PX = 5.0
"""No stale calibration does this; the sign of disparity says nothing then either."""
NEGATIVE_LIMIT = 0.7
CHECK = "stereo-rt calibrate check SOURCE --calib FILE"


@dataclass(frozen=True)
class Probe:
    """What the matches of a rectified pair (or of several) say. Offsets are left minus right, NaN without matches.

    vertical_px: median vertical offset. vertical_spread_px: median distance from the fitted plane.
    vertical_rms_px: root mean square of that plane over the image, the figure to judge.
    negative_share: share of matches whose disparity is below -1 px. size: (width, height) of the images.
    """

    matches: int
    vertical_px: float
    vertical_spread_px: float
    vertical_rms_px: float
    negative_share: float
    size: tuple[int, int]

    @property
    def vertical_sigma_px(self) -> float:
        """About one standard deviation of vertical_rms_px: the noise (1.5 median deviations) of 3 coefficients."""
        return float(1.5 * self.vertical_spread_px * np.sqrt(3 / max(self.matches, 1)))


def probe_pair(left: np.ndarray, right: np.ndarray) -> Probe:
    """Probe one pair of rectified images, (H, W) or (H, W, 3) uint8."""
    return summarise(match_corners(left, right), (left.shape[1], left.shape[0]))


def advice(probe: Probe) -> list[str]:
    """Warnings for the user, one sentence each; none when all is well or the matches are too few to tell."""
    if probe.matches < MIN_MATCHES:
        return []
    width, height = probe.size
    off = f"this pair is about {probe.vertical_rms_px:.1f} px off vertically at {width}x{height}"
    if probe.vertical_rms_px > GROSS_LIMIT_PX:
        return [
            f"{off}: it is not rectified, or not by its own calibration; "
            "pass that with --calib FILE, and try --swap in case left and right are exchanged"
        ]
    if probe.negative_share > NEGATIVE_LIMIT:
        return ["left and right look swapped (near things move the wrong way between the images); try --swap"]
    if probe.vertical_rms_px - 2 * probe.vertical_sigma_px > VERTICAL_LIMIT_PX:
        return [f"{off}: the calibration no longer fits the cameras and depth suffers; see how, with: {CHECK}"]
    return []


class RectificationProbe:
    """Gathers matches over the first frames, as one frame may be poor.

    Call it with rectified frames: None asks for more, a list of warnings (perhaps empty) is the verdict.
    """

    EVERY = 5
    """Frames between looks: neighbours show the same things."""
    ENOUGH = 120
    """Matches for a verdict, if they agree to SIGMA_PX."""
    SIGMA_PX = 0.1
    MAX_LOOKS = 20

    def __init__(self) -> None:
        self._frames = 0
        self._looks: list[np.ndarray] = []
        self._size = (0, 0)

    def __call__(self, frame: StereoFrame) -> list[str] | None:
        self._frames += 1
        if (self._frames - 1) % self.EVERY:
            return None
        if frame.size != self._size:
            self._looks, self._size = [], frame.size
        self._looks.append(match_corners(frame.left, frame.right))
        probe = self.probe
        settled = probe.matches >= self.ENOUGH and probe.vertical_sigma_px <= self.SIGMA_PX
        return advice(probe) if settled or len(self._looks) >= self.MAX_LOOKS else None

    @property
    def probe(self) -> Probe:
        """What all frames looked at so far say together."""
        return summarise(np.concatenate([np.zeros((0, 4)), *self._looks]), self._size)


def match_corners(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N, 4) matches of two (H, W) or (H, W, 3) uint8 images: x, y in the left one, and x, y offset left minus right."""
    grey_left, grey_right = _grey(left), _grey(right)
    orb = cv2.ORB.create(CORNERS, nlevels=1, fastThreshold=10)
    (points_left, words_left), (points_right, words_right) = (orb.detectAndCompute(g, None) for g in (grey_left, grey_right))
    if words_left is None or words_right is None:
        return np.zeros((0, 4))
    mutual = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words_left, words_right)
    close = [m for m in mutual if m.distance <= HAMMING_MAX]
    a = np.array([points_left[m.queryIdx].pt for m in close], np.float32).reshape(-1, 2)
    b = np.array([points_right[m.trainIdx].pt for m in close], np.float32).reshape(-1, 2)
    kept = np.abs(a - b)[:, 1] <= BAND * len(grey_left)
    a, b = a[kept], b[kept]
    if not len(a):
        return np.zeros((0, 4))
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    refined, found, _ = cv2.calcOpticalFlowPyrLK(grey_left, grey_right, a, b.copy(), winSize=(15, 15), maxLevel=0, flags=flags)
    good = (found[:, 0] > 0) & (np.abs(refined - b).max(axis=1) <= REFINED_MAX_PX)
    return np.concatenate([a, a - refined], axis=1)[good].astype(np.float64)


def summarise(matches: np.ndarray, size: tuple[int, int]) -> Probe:
    """What (N, 4) matches, as match_corners gives them, say of images of (width, height)."""
    if not len(matches):
        return Probe(0, np.nan, np.nan, np.nan, np.nan, size)
    x, y, dx, dy = matches.T
    # Coordinates in [-1, 1] have mean square 1/3 over the image, whence the weights of the slopes below.
    design = np.stack([np.ones_like(x), 2 * x / size[0] - 1, 2 * y / size[1] - 1], axis=1)
    plane = _least_absolute(design, dy)
    return Probe(
        matches=len(matches),
        vertical_px=float(np.median(dy)),
        vertical_spread_px=float(np.median(np.abs(dy - design @ plane))),
        vertical_rms_px=float(np.sqrt(plane**2 @ [1, 1 / 3, 1 / 3])),
        negative_share=float(np.mean(dx < -1)),
        size=size,
    )


def _least_absolute(design: np.ndarray, values: np.ndarray, steps: int = 20, floor: float = 0.05) -> np.ndarray:
    """Coefficients of least absolute error, by iteratively reweighted least squares (wrong matches hardly count)."""
    root = np.ones(len(values))
    for _ in range(steps):
        solution = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        root = 1 / np.sqrt(np.maximum(np.abs(values - design @ solution), floor))
    return solution


def _grey(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
