"""Reading calibrations: which format a file is in is told by its content. One small module a format."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ...errors import CalibrationError
from ...geometry import RectifiedRig
from ..rig import StereoRig
from . import depthai, kalibr, kitti, middlebury, opencv, ours, realsense, ros, zed
from .document import Document, load
from .ours import write_calibration

__all__ = ["read_calibration", "write_calibration"]


class Format(Protocol):
    """What each module of this package provides."""

    NAME: str

    def recognises(self, document: Document) -> bool:
        """Whether the (first) document is in this format, right or wrong."""
        ...

    def read(self, documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig | RectifiedRig:
        """The rig the documents describe. Raises CalibrationError."""
        ...


# Formats known by a line of their text come first: their files need not be parsed as YAML to be told apart.
FORMATS: tuple[Format, ...] = (zed, middlebury, kitti, opencv, ours, depthai, realsense, kalibr, ros)


def read_calibration(path: str | Path, frame_size: tuple[int, int] | None = None) -> StereoRig | RectifiedRig:
    """The rig in a calibration file: StereoRig for a raw pair, RectifiedRig where the format describes rectified images.

    path: a file, or two joined by a comma (ROS left.yaml,right.yaml; OpenCV intrinsics.yml,extrinsics.yml).
    frame_size: (width, height) of one eye's image. It fills in for a file that states none, if the principal point is near
    its middle, and chooses among several resolutions; the rig returned may still be of another size (see its `scaled`).
    Raises CalibrationError: one sentence that names the file.
    """
    try:
        documents = _documents(Path(path))
        for candidate in FORMATS:
            if candidate.recognises(documents[0]):
                return candidate.read(documents, frame_size)
        names = ", ".join(f.NAME for f in FORMATS)
        raise CalibrationError(f"is in no calibration format that is read here ({names}); calibrate with: stereo-rt calibrate")
    except CalibrationError as e:
        raise CalibrationError(f"{path}: {e}") from None


def _documents(path: Path) -> tuple[Document, ...]:
    parts = str(path).split(",")
    if len(parts) != 2 or path.is_file():
        return (load(path),)
    return load(Path(parts[0].strip())), load(Path(parts[1].strip()))
