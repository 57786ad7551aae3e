"""Labelled: a pair of images on disk with what is known of its disparity; and what the readers of layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import SourceError, StereoError
from ..post.leftright import disagreement_px
from ..sinks.files import read_pfm
from ..sources.images import read_image, to_uint8

SEEN_TWICE_PX = 1.0
"""Where the truth of both eyes differs by more, the right eye sees something else."""


class SizesDiffer(SourceError):
    """Two maps of one pair."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What a Labelled holds once it is read.

    left, right: (H, W, 3) uint8 BGR. truth_px: (H, W) float32 of the left image, x_right = x_left - d, NaN where it is not
    known. occluded: (H, W) bool, True where the right eye does not see the point; None when nobody marked it.
    weight: (H, W) float32 in [0, 1], how far a label is to be trusted; None for a measured one.
    """

    left: np.ndarray
    right: np.ndarray
    truth_px: np.ndarray
    occluded: np.ndarray | None = None
    weight: np.ndarray | None = None


@dataclass(frozen=True)
class Labelled:
    """name: the pair's place below the folder `dataset`, with slashes. read: gets it from the disk."""

    name: str
    read: Callable[[], Sample]
    dataset: Path = Path()

    @property
    def set(self) -> str:
        """What it is counted with: the first folder below the dataset, or the folder it lies in, where that is the dataset."""
        first, slash, _ = self.name.partition("/")
        return first if slash else (self.dataset / self.name).resolve().parent.name

    @property
    def place(self) -> Path:
        """For people: where it is."""
        itself = self.name in (".", self.dataset.resolve().name)
        return self.dataset if itself else self.dataset / self.name

    def load(self) -> Sample:
        """The pair. Raises SourceError: a file is missing, damaged, or of another size than the left image."""
        try:
            sample = self.read()
            for what in ("right", "truth_px", "occluded", "weight"):
                if (values := getattr(sample, what)) is not None:
                    _check_sizes(sample.left, values, f"the left image and '{what}'")
        except SizesDiffer as e:
            raise SourceError(f"{self.place}: {e}; get this scene again") from None
        except SourceError:
            raise
        except StereoError as e:  # a map in one of our own formats
            raise SourceError(str(e)) from None
        return sample


def folders_with(folder: Path, names: Iterable[str], depth: int) -> list[Path]:
    """The folders that hold all of `names`, at most so many levels below `folder` (itself included), in order."""
    first, *others = names
    found = [f.parent for level in range(depth + 1) for f in folder.glob("*/" * level + first)]
    return sorted(f for f in found if all((f / name).exists() for name in others))


def below(folder: Path, place: Path) -> str:
    """The name of a scene: its path below the dataset, or its own name when it is the dataset."""
    relative = place.relative_to(folder).as_posix()
    return place.resolve().name if relative == "." else relative


def read_colour(file: Path) -> np.ndarray:
    """(H, W, 3) uint8 BGR, whatever the file holds. Raises SourceError."""
    image = read_image(file)
    image = to_uint8(image, 8 if image.dtype == np.uint16 else 0)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def read_scaled(file: Path, scale: float) -> np.ndarray:
    """(H, W) float32 disparity of a grey image that holds it times `scale`; NaN where it holds 0. Raises SourceError."""
    raw = read_image(file)
    if raw.ndim != 2:
        raise SourceError(f"{file}: is a colour image, and disparities are stored in grey; get this file again")
    return np.where(raw > 0, raw / np.float32(scale), np.float32(np.nan)).astype(np.float32)


def read_positive_pfm(file: Path) -> np.ndarray:
    """(H, W) float32 disparity of a PFM, NaN where it is not finite or not above zero. Raises StereoError."""
    values = read_pfm(file)
    values[~(values > 0)] = np.nan
    return values


def hidden_by(truth_px: np.ndarray, seen_twice: np.ndarray) -> np.ndarray:
    """(H, W) bool: True where the truth (H, W) is known and the mask (H, W) of what both eyes see is not set.

    Raises SizesDiffer.
    """
    _check_sizes(truth_px, seen_twice, "the disparity and the mask of what both eyes see")
    return np.isfinite(truth_px) & ~seen_twice


def occluded_by(left_px: np.ndarray, right_px: np.ndarray) -> np.ndarray:
    """(H, W) bool from the truth of both eyes, (H, W) each: True where the right eye sees another point, or none.

    False where either is not known. Raises SizesDiffer.
    """
    _check_sizes(left_px, right_px, "the disparities of both eyes")
    with np.errstate(invalid="ignore"):
        outside = np.arange(left_px.shape[1], dtype=np.float32) - left_px < -0.5
        return outside | (disagreement_px(left_px, right_px) > SEEN_TWICE_PX)


def _check_sizes(one: np.ndarray, other: np.ndarray, what: str) -> None:
    if one.shape[:2] != other.shape[:2]:
        sizes = " and ".join(f"{m.shape[1]}x{m.shape[0]}" for m in (one, other))
        raise SizesDiffer(f"{what} differ in size ({sizes})")
