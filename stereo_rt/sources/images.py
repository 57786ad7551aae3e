"""Image pairs: two files, two folders, two %04d patterns, or images that hold both eyes.

Images become uint8: 16-bit ones are shifted by as many bits as the first pair needs, so that brightness does not flicker.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np

from ..config import CaptureConfig
from ..errors import SourceError
from ..frames import StereoFrame
from .split import check_same_size, split_eyes
from .uri import IMAGE_SUFFIXES, PATTERN, SourceUri, show

log = logging.getLogger(__name__)
DEFAULT_FPS = 10.0


class ImageReel:
    """Pairs of image files, or of halves of one file. index counts pairs, stamp_ns = index / fps."""

    unpaired = 0

    def __init__(self, uri: SourceUri, capture: CaptureConfig) -> None:
        self._layout = uri.layout
        self._files = pair_files(uri.paths, [list_images(path) for path in uri.paths])
        self._next = 0
        self._shift = 0
        self._period_ns = 1e9 / (capture.fps or DEFAULT_FPS)
        self.fps: float | None = capture.fps or DEFAULT_FPS
        self.length: int | None = len(self._files)
        self.size = (0, 0)
        left, _ = self._load(0)
        self.size = (left.shape[1], left.shape[0])

    def next(self) -> StereoFrame | None:
        if self._next >= len(self._files):
            return None
        index, self._next = self._next, self._next + 1
        left, right = self._load(index)
        return StereoFrame(left, right, index, round(index * self._period_ns))

    def rewind(self) -> None:
        self._next = 0

    def close(self) -> None:
        self._next = len(self._files)

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        files = self._files[index]
        images = [read_image(f) for f in files]
        if self._layout:
            left, right = split_eyes(images[0], self._layout, str(files[0]))
        else:
            left, right = images
            check_same_size(left, right, str(files[0]), str(files[1]))
        size = (left.shape[1], left.shape[0])
        if self.size not in ((0, 0), size):
            raise SourceError(
                f"{files[0]}: is {size[0]}x{size[1]} but the sequence began with {self.size[0]}x{self.size[1]}; "
                "keep images of one size in a folder"
            )
        return self._same_depth(left, right, str(files[0]))

    def _same_depth(self, left: np.ndarray, right: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Both eyes as uint8 with the same number of channels."""
        if uint16 := [image for image in (left, right) if image.dtype == np.uint16]:
            shift = max(0, int(max(image.max() for image in uint16)).bit_length() - 8)
            if shift > self._shift:
                if self._next > 1:
                    log.warning("%s: brighter than the images before it; 16-bit values are divided by %d now", name, 1 << shift)
                self._shift = shift
        left, right = (to_uint8(image, self._shift) for image in (left, right))
        if left.ndim != right.ndim:
            left, right = (cv2.cvtColor(i, cv2.COLOR_GRAY2BGR) if i.ndim == 2 else i for i in (left, right))
        return left, right


def to_uint8(image: np.ndarray, shift: int) -> np.ndarray:
    """(H, W[, 3]) uint8 as it is, uint16 divided by 2**shift."""
    return image if image.dtype == np.uint8 else (image >> shift).astype(np.uint8)


def read_image(file: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) BGR, uint8 or uint16, as stored; transparency is dropped. Raises SourceError."""
    try:
        data = np.fromfile(file, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except OSError as e:
        raise SourceError(f"{file}: cannot be read ({e.strerror}); look with: ls -l {file}") from None
    except cv2.error:
        image = None
    cut = file.suffix.lower() in (".jpg", ".jpeg") and cut_short(data.tobytes())
    if image is None or cut:
        raise SourceError(
            f"{file}: is not a whole image (damaged, truncated, or of another kind); copy it again or leave it out"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{file}: holds {image.dtype} values; convert it to an 8-bit or 16-bit image")
    if image.ndim == 3:
        image = image[:, :, 0] if image.shape[2] < 3 else image[:, :, :3]
    return np.ascontiguousarray(image)


def cut_short(jpeg: bytes) -> bool:
    """Whether the end of a JPEG is missing, which a decoder does not say: it fills the rest with grey.

    A whole one has an end behind its last scan, and maybe padding behind that; the end of a thumbnail comes before.
    """
    return jpeg.rfind(b"\xff\xd9") < jpeg.rfind(b"\xff\xda")


def list_images(path: str) -> list[Path]:
    """The files a name, folder or %d pattern stands for, in order of their numbers. Raises SourceError."""
    try:
        found = _matching(Path(path))
    except OSError as e:
        raise SourceError(f"{show(path)}: cannot be listed ({e.strerror}); look with: ls -ld {show(path)}") from None
    if not found:
        raise SourceError(f"{show(path)}: no image fits this folder or pattern; look with: ls {show(str(Path(path).parent))}")
    return in_order(found)


def in_order(files: list[Path]) -> list[Path]:
    """The files sorted by name, numbers in it by their value."""
    return sorted(files, key=lambda f: [int(p) if p.isdecimal() else p for p in re.split(r"([0-9]+)", f.name)])


def _matching(place: Path) -> list[Path]:
    if place.is_dir():
        return [f for f in place.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
    if place.exists():
        return [place]
    before, after = (re.escape(part) for part in PATTERN.split(place.name, maxsplit=1))
    wanted = re.compile(f"{before}\\d+{after}")
    return [f for f in place.parent.iterdir() if wanted.fullmatch(f.name)]


def pair_files(names: tuple[str, ...], eyes: list[list[Path]]) -> list[tuple[Path, ...]]:
    """Files in pairs: by the numbers in their names where both eyes use the same ones, else by order.

    Where one path holds both eyes its files stay alone. Raises SourceError when a file has no partner.
    """
    if len(eyes) == 1:
        return [(f,) for f in eyes[0]]
    left, right = eyes
    by_number = [{_numbers(f): f for f in files} for files in (left, right)]
    shared = by_number[0].keys() & by_number[1].keys()
    lonely = [f for files in by_number for number, f in files.items() if number not in shared]
    numbered = bool(shared) and [len(files) for files in by_number] == [len(left), len(right)]
    if len(left) != len(right):
        example = f" ({lonely[0].name} has no partner)" if numbered else ""
        raise SourceError(
            f"{show(names[0])} holds {len(left)} images but {show(names[1])} holds {len(right)}{example}; "
            "remove those without a partner"
        )
    if not numbered:
        return list(zip(left, right, strict=True))
    if lonely:
        raise SourceError(f"{lonely[0]}: the other eye has no image of this number; remove it or add its partner")
    return [(f, by_number[1][_numbers(f)]) for f in left]


def _numbers(file: Path) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"[0-9]+", file.stem))
