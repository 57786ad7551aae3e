"""View: one moment at which the board was looked for in both eyes; and a whole set of them, from image files."""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import CalibrationError, SourceError, UsageError
from ..matchers.cores import usable_cores
from ..sources.images import in_order, list_images, pair_files, read_image
from ..sources.split import split_eyes
from ..sources.uri import IMAGE_SUFFIXES
from .boards import Board
from .detect import Detection, detect, same_way_up

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class View:
    """name: of the left image's file. files: left and right image, or one that holds both side by side."""

    name: str
    left: Detection | None
    right: Detection | None
    files: tuple[Path, ...] = ()


def find_views(
    left: str, right: str | None, board: Board, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[View]:
    """Look for the board in every pair, on all cores. left, right: a folder, a file or a glob each; right None: side by side.

    Pairs are made in sorted order (numbers by value). An image that cannot be read counts as one without a board, and is
    named in the log. progress: told the views done and in all. Raises SourceError, UsageError; CalibrationError when the
    images differ in size.
    """
    pairs = pair_images(left, right)
    views: list[View] = []
    with ThreadPoolExecutor(min(usable_cores(), len(pairs))) as pool:
        for view in pool.map(lambda files: _view(files, board), pairs):
            views.append(view)
            progress(len(views), len(pairs))
    sizes = [_size_of(views, eye) for eye in ("left", "right")]
    if None not in sizes and sizes[0] != sizes[1]:
        left_size, right_size = ("{}x{}".format(*size) for size in sizes if size is not None)
        raise CalibrationError(
            f"the left images are {left_size} and the right ones {right_size}; film with both cameras in the same mode"
        )
    return views


def pair_images(left: str, right: str | None) -> list[tuple[Path, ...]]:
    """The files of each pair; one file a pair when right is None. Raises SourceError, UsageError."""
    eyes = [_images(place) for place in (left, right) if place is not None]
    if right is None and {"left", "right"} <= {f.stem.lower().rstrip("0123456789_-") for f in eyes[0]}:
        raise UsageError(
            f"{left} holds left and right images, and alone it would be read as side by side; "
            f"give '{Path(left) / 'left*'}' '{Path(left) / 'right*'}'"
        )
    return pair_files((left, right) if right is not None else (left,), eyes)


def load_pair(files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Both eyes' images, (H, W) or (H, W, 3) uint8, of a pair as View.files has it. Raises SourceError."""
    images = [_uint8(read_image(file)) for file in files]
    return split_eyes(images[0], "sbs", str(files[0])) if len(images) == 1 else (images[0], images[1])


def _images(place: str) -> list[Path]:
    path = Path(place)
    if any(c in place for c in "*?[") and not path.exists():
        found = [f for f in map(Path, glob.glob(place)) if f.suffix.lower() in IMAGE_SUFFIXES]  # noqa: PTH207 (absolute ones too)
        if not found:
            raise SourceError(f"{place}: no image fits this pattern; look with: ls {path.parent}")
        return in_order(found)
    if not path.exists():
        raise SourceError(f"{place}: does not exist; give a folder of images or a quoted pattern such as 'left*.png'")
    return list_images(place)


def _view(files: tuple[Path, ...], board: Board) -> View:
    try:
        left_image, right_image = load_pair(files)
    except SourceError as e:
        log.warning("left out: %s", e)
        return View(files[0].stem, None, None, files)
    left, right = detect(board, left_image), detect(board, right_image)
    if left is not None and right is not None:
        right = same_way_up(board, left, right)
    return View(files[0].stem, left, right, files)


def _uint8(image: np.ndarray) -> np.ndarray:
    """16-bit images stretched to their own range: corners do not mind the brightness."""
    return image if image.dtype == np.uint8 else cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)  # type: ignore[call-overload, no-any-return]


def _size_of(views: list[View], eye: str) -> tuple[int, int] | None:
    """(width, height) of one eye's images; None where it never saw the board. Raises CalibrationError when they differ."""
    sizes: dict[tuple[int, int], str] = {}
    for view in views:
        if (found := getattr(view, eye)) is not None:
            sizes.setdefault(found.size, view.name)
    if len(sizes) > 1:
        (first, name), (other, odd) = list(sizes.items())[:2]
        raise CalibrationError(
            f"the {eye} images differ in size: {name} is {first[0]}x{first[1]} and {odd} is {other[0]}x{other[1]}; "
            "calibrate with images of one camera mode only"
        )
    return next(iter(sizes), None)
