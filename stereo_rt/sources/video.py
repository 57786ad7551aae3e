"""Videos: one file per eye, paired by time stamp, or one file that holds both eyes."""

from __future__ import annotations

import logging

from ..config import CaptureConfig
from ..errors import SourceError
from ..frames import StereoFrame
from .clip import Clip, Picture, open_clip
from .pairing import Pairer
from .split import eye_size, split_eyes
from .uri import Layout, SourceUri

log = logging.getLogger(__name__)


def open_video(uri: SourceUri, capture: CaptureConfig) -> PairReel | SplitReel:
    clips: list[Clip] = []
    try:
        for path in uri.paths:
            clips.append(open_clip(path))
        return SplitReel(clips[0], uri.layout) if uri.layout else PairReel(clips[0], clips[1], capture.max_skew_ms)
    except BaseException:
        for clip in clips:
            clip.close()
        raise


class SplitReel:
    """One video cut in two. index counts pictures, with those that were damaged."""

    unpaired = 0

    def __init__(self, clip: Clip, layout: Layout) -> None:
        self._clip = clip
        self._layout = layout
        self.fps, self.length = clip.fps, clip.length
        self.size = eye_size(clip.size, layout, clip.name)

    def next(self) -> StereoFrame | None:
        index = self._clip.count + self._clip.damaged
        picture = self._clip.read()
        if picture is None:
            check_whole(self._clip)
            return None
        left, right = split_eyes(picture.image, self._layout, self._clip.name)
        return StereoFrame(left, right, index, picture.stamp_ns)

    def rewind(self) -> None:
        self._clip.rewind()

    def close(self) -> None:
        self._clip.close()


class PairReel:
    """Two videos, paired by time stamp. index counts pairs, with those of which one eye was lost."""

    def __init__(self, left: Clip, right: Clip, max_skew_ms: float) -> None:
        if left.size != right.size:
            raise SourceError(
                f"{left.name} is {left.size[0]}x{left.size[1]} but {right.name} is {right.size[0]}x{right.size[1]}; "
                "both eyes must have one size, scale one of them"
            )
        self._clips = (left, right)
        self._max_skew_ms = max_skew_ms
        self._before = 0  # images given up in earlier passes
        self._left: Picture | None = None
        self._right: Picture | None = None
        self.size = left.size
        self.fps = left.fps
        known = [clip.length for clip in self._clips if clip.length is not None]
        self.length = min(known) if known else None
        self._start()

    @property
    def unpaired(self) -> int:
        return self._before + self._pairer.unpaired

    def next(self) -> StereoFrame | None:
        while True:
            left, right = self._left or self._clips[0].read(), self._right or self._clips[1].read()
            self._left, self._right = left, right
            if left is None or right is None:
                self._finish()
                return None
            verdict = self._pairer.match(left.stamp_ns, right.stamp_ns)
            if verdict != "drop right":
                self._left = None
            if verdict != "drop left":
                self._right = None
            if verdict == "pair":
                index = self._pairs + self._pairer.unpaired
                self._pairs += 1
                return StereoFrame(left.image, right.image, index, left.stamp_ns, right.stamp_ns - left.stamp_ns)

    def rewind(self) -> None:
        self._before += self._pairer.unpaired
        for clip in self._clips:
            clip.rewind()
        self._start()

    def close(self) -> None:
        for clip in self._clips:
            clip.close()

    def _start(self) -> None:
        self._pairer = Pairer(self._max_skew_ms)
        self._pairs = 0
        self._left = self._right = None
        self._finished = False

    def _finish(self) -> None:
        """Account for every image that found no partner, and say what is missing."""
        if self._finished:
            return
        self._finished = True
        for clip, waiting in zip(self._clips, (self._left, self._right), strict=True):
            left_over = int(waiting is not None)
            while clip.read() is not None:
                left_over += 1
            self._pairer.unpaired += left_over
        names = f"{self._clips[0].name},{self._clips[1].name}"
        if not self._pairs:
            least_ms = self._pairer.least_skew_ms
            if least_ms is None:
                raise SourceError(f"{names}: no picture could be decoded; check them with: ffprobe FILE")
            raise SourceError(
                f"{names}: no two pictures are within {self._max_skew_ms:g} ms, the nearest are {least_ms:.1f} ms apart; "
                f"if they belong together, allow it with: --set capture.max_skew_ms={least_ms * 1.2:.0f}"
            )
        if self._pairer.unpaired:
            log.warning("%s: %d of the pictures had no partner in the other eye", names, self._pairer.unpaired)
        for clip in self._clips:
            check_whole(clip)


def check_whole(clip: Clip) -> None:
    """Raises SourceError when the container promised clearly more than could be read.

    Both frames and time must be short: an edit list hides frames on purpose, a variable rate makes their number a
    guess, and headers round.
    """
    missing = (clip.length or 0) - clip.count
    if clip.end_ns is not None and missing > 2 and (clip.end_ns - clip.last_ns) * (clip.fps or 30.0) > 3.5e9:
        raise SourceError(
            f"{clip.name}: ends after {clip.count} of the {clip.length} frames its header promises; "
            "it is truncated or damaged, copy or record it again (the frames before are whole)"
        )
    if clip.damaged:
        log.warning("%s: %d packets were damaged and could not be decoded", clip.name, clip.damaged)
