"""OpenCV FileStorage (YAML, XML or JSON) with two cameras, R and T; in one file, or intrinsics and extrinsics apart.

There is no standard for the names, so the usual ones are understood (M1, K1, cameraMatrix1, cameraMatrixL, K_LEFT, ...).
Nor does the file state a unit: T up to 2 is taken as metres, T from 20 on as millimetres, and in between as neither.
Four coefficients mean the pinhole model unless the file says fisheye (distortion_model, or names such as D_LEFT_FE).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from ...errors import CalibrationError
from ..rig import CameraModel, Distortion, StereoRig
from .document import MATRIX_TAGS, Document
from .fields import Fields, fits_frames, pixels, whole

NAME = "OpenCV YAML/XML"
log = logging.getLogger(__name__)

_EYES = (("1", "l", "left"), ("2", "r", "right"))
# Names as they are after _squeezed: lower case, letters and digits only.
_MATRIX = ("m", "k", "mtx", "cameramatrix", "intrinsic", "intrinsics", "intrinsicmatrix")
_DISTORTION = ("d", "dist", "distcoeff", "distcoeffs", "distortion", "distortioncoeffs", "distortioncoefficients")
_ROTATION = ("r", "rotation", "rotationmatrix")
_TRANSLATION = ("t", "translation", "translationvector")
_SIZE = ("imagesize", "size")
SIZE_LINE = "imageSize: [width, height]"


def recognises(document: Document) -> bool:
    marks = (*MATRIX_TAGS, "<opencv_storage")
    return document.text.startswith("%YAML:1.0") or any(mark in document.text for mark in marks)


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> StereoRig:
    if len(documents) == 1 and (partner := documents[0].partner("intrinsic", "extrinsic")):
        documents = (*documents, partner)
    storage = Fields({_squeezed(key): value for d in documents for key, value in d.tree.items()})
    rotation, translation = _numbers(storage, _ROTATION, 9, 3), _numbers(storage, _TRANSLATION, 3)
    stated = _image_size(storage)
    size = stated or frame_size
    if size is None:
        raise CalibrationError(f"states no image size; add the line '{SIZE_LINE}'")
    left, right = (_camera(storage, eye, size) for eye in _EYES)
    if stated is None:
        for camera in (left, right):
            fits_frames(camera.K, size, SIZE_LINE)
    R = rotation if rotation.size == 9 else cv2.Rodrigues(rotation)[0]
    return StereoRig(left, right, R, _metres(translation), name=documents[0].path.stem)


def _camera(storage: Fields, eye: tuple[str, ...], size: tuple[int, int]) -> CameraModel:
    fisheye = _names(_DISTORTION, eye, "fe")
    model: Distortion = "pinhole"
    if any(name in storage for name in fisheye) or _says_fisheye(storage):
        model = "fisheye"
    K = _numbers(storage, _names(_MATRIX, eye), 9)
    return CameraModel(*size, K=K, dist=_numbers(storage, (*_names(_DISTORTION, eye), *fisheye)), model=model)


def _metres(T: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(T)
    if length <= 2:
        return T
    if length < 20:
        raise CalibrationError(
            f"T is {length:g} long, which may be centimetres, millimetres or chessboard squares; write T in metres"
        )
    log.info("T is %g long and taken as millimetres: a baseline of %g m", length, length / 1000)
    return T / 1000


def _image_size(storage: Fields) -> tuple[int, int] | None:
    for name in _SIZE:
        if name in storage:
            return storage.size(name)
    for width, height in (("imagewidth", "imageheight"), ("width", "height")):
        if width in storage:
            return pixels(storage.number(width), width), pixels(storage.number(height), height)
    return None


def _numbers(storage: Fields, names: Iterable[str], *counts: int) -> np.ndarray:
    """The first of the names that is there, as a flat array: a matrix or a plain list."""
    for name in (names := tuple(names)):
        if name in storage:
            if not isinstance(storage.value(name), dict):
                return storage.numbers(name, *counts)
            matrix = storage.section(name)
            sizes = matrix.numbers("sizes", 1, 2) if "sizes" in matrix else (matrix.number("rows"), matrix.number("cols"))
            claimed = whole(float(np.prod(sizes)), name)
            return matrix.numbers("data", *([claimed] if not counts or claimed in counts else counts))
    raise CalibrationError(
        f"holds no '{names[0].upper()}' (or another usual name for it), which a stereo rig needs; "
        "save all that stereoCalibrate returned"
    )


def _names(roots: Iterable[str], eye: tuple[str, ...], suffix: str = "") -> tuple[str, ...]:
    return tuple(name + suffix for root in roots for e in eye for name in (root + e, e + root))


def _says_fisheye(storage: Fields) -> bool:
    said = (storage.tree.get(name) for name in ("distortionmodel", "model", "cameramodel"))
    return any(isinstance(word, str) and word.lower() in ("fisheye", "equidistant") for word in said)


def _squeezed(key: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def write(rig: StereoRig) -> tuple[str, ...]:
    """One FileStorage YAML, named as OpenCV's samples do, T in metres. Raises CalibrationError."""
    if rig.left.size != rig.right.size or rig.left.model != rig.right.model:
        raise CalibrationError("one OpenCV file holds two eyes of one size and one lens model only")
    width, height = rig.size
    text = f"%YAML:1.0\n---\nimage_width: {width}\nimage_height: {height}\n"
    if rig.left.model == "fisheye":
        text += 'distortion_model: "fisheye"\n'
    for number, eye in enumerate((rig.left, rig.right), start=1):
        text += _matrix(f"M{number}", eye.K) + _matrix(f"D{number}", eye.dist[None])
    return (text + _matrix("R", rig.R_right_left) + _matrix("T", rig.T_right_left_m),)


def _matrix(name: str, values: np.ndarray) -> str:
    rows, cols = values.shape
    return f"{name}: !!opencv-matrix\n   rows: {rows}\n   cols: {cols}\n   dt: d\n   data: {values.ravel().tolist()}\n"
