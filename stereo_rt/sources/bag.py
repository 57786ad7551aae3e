"""Recordings of a robot: two image topics, paired by the time stamps in their headers.

The topics are given (run.mcap?left=/cam/left/image_raw&right=/cam/right/image_raw), or found by the words in EYES.
Their calibration is the CameraInfo beside them; a topic called image_rect holds rectified images.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from ..calib.formats.ours import from_yaml
from ..calib.rig import StereoRig
from ..config import CaptureConfig
from ..errors import CalibrationError, EyesSwapped, SourceError, StereoError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from ..rosmsg import CAMERA_INFO, COMPRESSED, IMAGE, read_image, read_rig, stamp_ns
from .pairing import PairQueue
from .recording import Recording
from .uri import SourceUri, show

log = logging.getLogger(__name__)

EYES = (("left", "right"), ("infra1", "infra2"), ("cam0", "cam1"))
ROOM = 16
"""Images of an eye that may wait for the other one, which a recorder may have written later."""


@dataclass(frozen=True)
class Topic:
    """kind: its message, such as sensor_msgs/Image. count: messages, None where the file does not say.

    readable: the message is one of ours, in an encoding we decode.
    """

    kind: str
    count: int | None
    readable: bool


class Bag(Protocol):
    """An open recording: what is in it, and its messages in order of time. One pass of messages() at a time.

    calibration_yaml: what our own recorder kept in it. Everything raises SourceError where the file is damaged.
    """

    name: str
    duration_s: float | None

    @property
    def topics(self) -> Mapping[str, Topic]: ...

    @property
    def calibration_yaml(self) -> str | None: ...

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of recording in ns, message) of readable topics."""
        ...

    def close(self) -> None: ...


@contextlib.contextmanager
def damage_said(name: str, sentence: str) -> Iterator[None]:
    """Whatever a parser raises inside becomes SourceError("name: sentence"); parsers let many types out on damaged bytes."""
    try:
        yield
    except StereoError:
        raise
    except Exception as e:
        log.debug("%s: %r", name, e)
        raise SourceError(f"{name}: {sentence}") from None


def open_bag(path: str) -> Bag:
    """Raises SourceError, MissingExtra."""
    if path.lower().endswith(".bag"):
        from .rosbag import Ros1Bag

        return Ros1Bag(path)
    from .mcap import McapBag

    return McapBag(path)


def open_recording(uri: SourceUri, capture: CaptureConfig, realtime: bool) -> Recording:
    """The source of `uri`, with its own calibration. Raises SourceError, MissingExtra."""
    bag = open_bag(uri.paths[0])
    try:
        eyes = eye_topics(bag, uri.options)
        calibration = calibration_of(bag, eyes)  # first: a bag has one pass at a time
        recording = Recording(uri.text, BagReel(bag, eyes, capture.max_skew_ms), loop=capture.loop, realtime=realtime)
        recording.calibration = calibration
        return recording
    except BaseException:
        bag.close()
        raise


def eye_topics(bag: Bag, options: Mapping[str, str]) -> tuple[str, str]:
    """The left and the right image topic. Raises SourceError when they are not there, or not clear."""
    images = {
        name for name, topic in bag.topics.items() if topic.readable and topic.kind in (IMAGE, COMPRESSED) and topic.count != 0
    }
    example = f"{bag.name}?left=/left/image_raw&right=/right/image_raw"
    if options:
        given = tuple("/" + options.get(eye, "").lstrip("/") for eye in ("left", "right"))
        chosen = tuple(name if name in images else name[1:] for name in given)
        if missing := [name for name, found in zip(given, chosen, strict=True) if found not in images]:
            known = ", ".join(sorted(images)) or "none"
            raise SourceError(
                f"{bag.name}: has no images in '{show(missing[0])}'; give both eyes, of these topics: {show(known)}"
            )
        if chosen[0] == chosen[1]:
            raise SourceError(f"{bag.name}: both eyes are {show(chosen[0])}; name the other eye's topic, as in '{example}'")
        return chosen[0], chosen[1]
    pairs = [
        (name, name.replace(a, b)) for a, b in EYES for name in sorted(images) if a in name and name.replace(a, b) in images
    ]
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        found = " or ".join(f"'{bag.name}?left={a}&right={b}'" for a, b in pairs[:2])
        raise SourceError(f"{bag.name}: holds {len(pairs)} pairs of image topics; choose one, such as {found}")
    raise SourceError(
        f"{bag.name}: no two image topics are named as a left and a right one "
        f"(images: {show(', '.join(sorted(images)) or 'none')}); name them, as in '{example}'"
    )


def calibration_of(bag: Bag, eyes: tuple[str, str]) -> StereoRig | RectifiedRig | None:
    """What the recording says of the two topics' geometry. None, with a warning, where that is no stereo calibration."""
    try:
        if (text := bag.calibration_yaml) is not None:
            return from_yaml(text, bag.name)
        infos = _camera_infos(bag, eyes)
        if infos is None:
            return None
        return read_rig(*infos, rectified="image_rect" in eyes[0], name=PurePosixPath(bag.name).stem)
    except CalibrationError as e:
        way = f"; read it as '{show(bag.name)}?left={eyes[1]}&right={eyes[0]}'" if isinstance(e, EyesSwapped) else ""
        log.warning("%s: the calibration in it is not used: %s%s", bag.name, e, way)
        return None


def _camera_infos(bag: Bag, eyes: tuple[str, str]) -> tuple[Any, Any] | None:
    """The first CameraInfo of each eye: of the nearest camera_info beside or above the images."""
    topics = [next((t for t in _beside(eye) if t in bag.topics and bag.topics[t].kind == CAMERA_INFO), None) for eye in eyes]
    left, right = topics
    if left is None or right is None or left == right or not (bag.topics[left].readable and bag.topics[right].readable):
        return None
    found: dict[str, Any] = {}
    for topic, _, message in bag.messages((left, right)):
        found.setdefault(topic, message)
        if len(found) == 2:
            return found[left], found[right]
    return None


def _beside(topic: str) -> Iterator[str]:
    return (str(parent / "camera_info") for parent in PurePosixPath(topic).parents)


@dataclass(frozen=True, eq=False)
class _Shot:
    stamp_ns: int
    message: Any


class BagReel:
    """One pass over two image topics. index counts pairs, with those of which one eye was lost. Owns the bag."""

    def __init__(self, bag: Bag, eyes: tuple[str, str], max_skew_ms: float) -> None:
        self._bag, self._eyes, self._max_skew_ms = bag, eyes, max_skew_ms
        counts = [count for eye in eyes if (count := bag.topics[eye].count) is not None]
        self.length = min(counts) if counts else None
        self.fps = (self.length - 1) / bag.duration_s if self.length and self.length > 1 and bag.duration_s else None
        self._before = 0  # images given up in earlier passes
        self._start()
        first = self.next()
        if first is None:
            raise SourceError(f"{bag.name}: {eyes[0]} and {eyes[1]} hold no image; look with: stereo-rt info {bag.name}")
        self.size = first.size
        self._first: StereoFrame | None = first

    @property
    def unpaired(self) -> int:
        return self._before + self._queue.pairer.unpaired

    def next(self) -> StereoFrame | None:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        while not self._ready:
            found = next(self._messages, None)
            if found is None:
                self._finish()
                return None
            topic, log_ns, message = found
            shot = _Shot(stamp_ns(message) or log_ns, message)
            self._ready.extend(self._queue.push(0 if topic == self._eyes[0] else 1, shot))
        left, right = self._ready.popleft()
        index = self._pairs + self._queue.pairer.unpaired
        self._pairs += 1
        try:
            images = read_image(left.message), read_image(right.message)
            if images[0].shape != images[1].shape:
                shapes = " and ".join("x".join(map(str, image.shape[1::-1])) for image in images)
                raise SourceError(
                    f"the eyes' images are {shapes}, or one is grey and the other in colour; choose topics of one kind"
                )
        except SourceError as e:
            raise SourceError(f"{self._bag.name}: {e}") from None
        return StereoFrame(*images, index, left.stamp_ns, right.stamp_ns - left.stamp_ns)

    def rewind(self) -> None:
        self._before += self._queue.pairer.unpaired
        self._start()

    def close(self) -> None:
        self._bag.close()

    def _start(self) -> None:
        self._messages = self._bag.messages(self._eyes)
        self._queue: PairQueue[_Shot] = PairQueue(self._max_skew_ms, ROOM)
        self._ready: deque[tuple[_Shot, _Shot]] = deque()
        self._pairs = 0
        self._first = None

    def _finish(self) -> None:
        """Say what found no partner."""
        pairer = self._queue.pairer
        if not self._pairs and pairer.least_skew_ms is not None:
            raise SourceError(
                f"{self._bag.name}: no two images are within {self._max_skew_ms:g} ms, the nearest are "
                f"{pairer.least_skew_ms:.1f} ms apart; if they belong together, allow it with: "
                f"--set capture.max_skew_ms={pairer.least_skew_ms * 1.2:.0f}"
            )
        if pairer.unpaired:
            log.warning("%s: %d images had no partner in the other eye", self._bag.name, pairer.unpaired)
