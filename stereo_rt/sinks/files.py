"""The file formats of results: PFM, 16-bit PNG and NPZ, each written and read back here.

Inside, disparity and depth are float32 with NaN for invalid; what stands for invalid in a file is said at its writer.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np

from ..atomic import write_bytes
from ..errors import OutputError, StereoError

PNG16_SCALE = 256
"""Steps per pixel of disparity in a 16-bit PNG, as KITTI has them."""
CONFIDENCE_SCALE = 65535
MM_PER_M = 1000

_PFM_HEADER = re.compile(rb"P([fF])\s+(\d{1,6})\s+(\d{1,6})\s+([-+0-9.eE]{1,32})(?:\r\n|\s)")
_BAD_NPZ = (ValueError, EOFError, OSError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
_FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def write_pfm(path: Path | str, values: np.ndarray) -> None:
    """Write a (H, W) map as little-endian PFM, bottom row first as the format asks; NaN becomes +inf. Raises OutputError."""
    data = np.where(np.isnan(values), np.float32(np.inf), values).astype("<f4")[::-1]
    height, width = data.shape
    write_bytes(Path(path), f"Pf\n{width} {height}\n-1.0\n".encode(), data.tobytes())


def read_pfm(path: Path | str) -> np.ndarray:
    """Read a one-channel PFM: (H, W) float32, top row first, NaN where the file holds no finite number.

    Raises StereoError when it is not a whole one-channel PFM.
    """
    data = _read_bytes(path)
    header = _PFM_HEADER.match(data)
    if not header:
        raise StereoError(f"{path}: is not a PFM file (no 'Pf' header with a size and a scale); check the file")
    if header[1] == b"F":
        raise StereoError(f"{path}: is a colour PFM with three channels, and a disparity map has one; check the file")
    width, height = int(header[2]), int(header[3])
    try:
        scale = float(header[4])
    except ValueError:
        raise StereoError(f"{path}: its PFM scale '{header[4].decode()}' is not a number; check the file") from None
    if width < 1 or height < 1 or scale == 0:
        raise StereoError(f"{path}: its PFM header describes no image ({width}x{height}, scale {scale:g}); check the file")
    if len(data) - header.end() < 4 * width * height:
        raise StereoError(f"{path}: is cut short, {width}x{height} pixels do not fit in it; write or copy it again")
    flat = np.frombuffer(data, "<f4" if scale < 0 else ">f4", width * height, header.end())
    values = flat.reshape(height, width)[::-1].astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def write_png16(path: Path | str, disparity_px: np.ndarray) -> None:
    """Write disparity times 256 as uint16, 0 where invalid; a valid value never becomes 0.

    Raises OutputError for a value the format cannot hold (256 px or more), or below zero.
    """
    valid = np.isfinite(disparity_px)
    steps = np.rint(np.where(valid, disparity_px, 0) * PNG16_SCALE)
    if steps.max(initial=0) > 65535:
        raise OutputError(
            f"{path}: a disparity of {np.nanmax(disparity_px):.1f} px does not fit in png16, which ends at 255.99 px; "
            "use --format pfm"
        )
    if steps.min(initial=0) < 0:
        raise OutputError(
            f"{path}: a disparity of {np.nanmin(disparity_px):.2f} px is negative, which png16 cannot hold; use --format pfm"
        )
    _write_png(path, np.where(valid, np.maximum(steps, 1), 0))


def read_png16(path: Path | str) -> np.ndarray:
    """(H, W) float32 disparity in px, NaN where the file holds 0. Raises StereoError."""
    return _read_scaled(path, PNG16_SCALE)


def write_depth_mm(path: Path | str, depth_m: np.ndarray) -> int:
    """Write depth as uint16 millimetres, 0 where invalid. Returns how many valid depths lay beyond 65.535 m and became 0.

    Raises OutputError.
    """
    valid = np.isfinite(depth_m)
    mm = np.rint(np.where(valid, depth_m, 0) * MM_PER_M)
    beyond = mm > 65535
    _write_png(path, np.where(valid & ~beyond, np.maximum(mm, 1), 0))
    return int(beyond.sum())


def read_depth_mm(path: Path | str) -> np.ndarray:
    """(H, W) float32 depth in metres, NaN where the file holds 0. Raises StereoError."""
    return _read_scaled(path, MM_PER_M)


def write_confidence(path: Path | str, confidence: np.ndarray) -> None:
    """Write confidence times 65535 as uint16. Raises OutputError."""
    _write_png(path, np.rint(np.clip(np.nan_to_num(confidence), 0, 1) * CONFIDENCE_SCALE))


def write_filled(path: Path | str, filled: np.ndarray) -> None:
    """Write a (H, W) bool mask as uint16: 65535 where True, 0 elsewhere. Raises OutputError."""
    _write_png(path, filled * 65535)


def read_confidence(path: Path | str) -> np.ndarray:
    """(H, W) float32 confidence in [0, 1]. Raises StereoError."""
    return read_uint16(path).astype(np.float32) / CONFIDENCE_SCALE


def write_npz(path: Path | str, **arrays: np.ndarray) -> None:
    """Write named arrays, uncompressed: noise in the last bits of floats does not shrink. Raises OutputError."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(Path(path), buffer.getbuffer())


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """The named arrays of a file. Raises StereoError when it is damaged, or holds Python objects."""
    try:
        with np.load(io.BytesIO(_read_bytes(path)), allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError
            return {name: file[name] for name in file.files}
    except (
        ValueError,
        EOFError,
        OSError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        raise StereoError(f"{path}: is not a whole .npz file of plain arrays; write or copy it again") from None


def read_uint16(path: Path | str) -> np.ndarray:
    """(H, W) uint16 of a one-channel 16-bit PNG. Raises StereoError."""
    data = np.frombuffer(_read_bytes(path), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise StereoError(f"{path}: is not a whole image; write or copy it again")
    if image.dtype != np.uint16 or image.ndim != 2:
        raise StereoError(f"{path}: is no 16-bit one-channel image ({image.dtype}, shape {image.shape}); check the file")
    return image


def _read_scaled(path: Path | str, scale: int) -> np.ndarray:
    raw = read_uint16(path)
    return np.where(raw > 0, raw.astype(np.float32) / np.float32(scale), np.float32(np.nan))


def _write_png(path: Path | str, values: np.ndarray) -> None:
    done, data = cv2.imencode(".png", values.astype(np.uint16), _FAST_PNG)
    if not done:
        raise OutputError(f"{path}: OpenCV could not encode the PNG; check its build with: stereo-rt doctor")
    write_bytes(Path(path), data.data)


def _read_bytes(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise StereoError(f"{path}: cannot be read ({e.strerror}); check the path") from None
