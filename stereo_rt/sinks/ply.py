"""PLY: coloured point clouds as every mesh viewer opens them (binary, little endian)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..atomic import write_bytes
from ..errors import StereoError
from ..post.cloud import Cloud

_RECORD = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])
_TYPES = {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8", "uchar": "u1", "uint8": "u1", "char": "i1"}
_TYPES |= {"int8": "i1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4"}
_TYPES |= {"uint": "u4", "uint32": "u4"}
_HEADER = re.compile(rb"ply\r?\n(.{0,4000}?)end_header\r?\n", re.DOTALL)


def write_ply(path: Path | str, cloud: Cloud) -> None:
    """Write points in metres and their colours. Raises OutputError."""
    rows = np.empty(len(cloud.points_m), _RECORD)
    for name, column in zip("xyz", cloud.points_m.T, strict=True):
        rows[name] = column
    for name, column in zip(("red", "green", "blue"), cloud.colors_rgb.T, strict=True):
        rows[name] = column
    names = {"<f4": "float", "|u1": "uchar"}
    properties = "\n".join(f"property {names[_RECORD[n].str]} {n}" for n in _RECORD.names or ())
    comment = "comment metres; x right, y down, z forward from the left eye"
    header = f"ply\nformat binary_little_endian 1.0\n{comment}\nelement vertex {len(rows)}\n{properties}\nend_header\n"
    write_bytes(Path(path), header.encode(), rows.tobytes())


def read_ply(path: Path | str) -> Cloud:
    """Read the vertices of a binary PLY; colours are black where it has none. Raises StereoError."""
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise StereoError(f"{path}: cannot be read ({e.strerror}); check the path") from None
    header = _HEADER.match(data)
    if not header:
        raise StereoError(f"{path}: is not a PLY file, its header is missing or cut short; check the file")
    order, count, layout = _layout(path, header[1].decode("latin-1").splitlines())
    record = np.dtype([(name, order + kind) for name, kind in layout])
    if len(data) - header.end() < count * record.itemsize:
        raise StereoError(f"{path}: is cut short, its {count} points do not fit in it; write or copy it again")
    rows = np.frombuffer(data, record, count, header.end())
    with np.errstate(over="ignore"):
        points = np.stack([rows[axis].astype(np.float32) for axis in "xyz"], axis=1)
    colored = all(name in (record.names or ()) for name in ("red", "green", "blue"))
    colors = [rows[name].astype(np.uint8) for name in ("red", "green", "blue")] if colored else [np.zeros(count, np.uint8)] * 3
    return Cloud(points, np.stack(colors, axis=1))


def _layout(path: Path | str, lines: list[str]) -> tuple[str, int, list[tuple[str, str]]]:
    """Byte order, number of vertices, and their (name, type) columns. Raises StereoError."""
    order, count = "", -1
    columns: list[tuple[str, str]] = []
    for words in (line.split() for line in lines):
        if words[:1] == ["format"] and len(words) > 1:
            order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(words[1], "")
        elif words[:2] == ["element", "vertex"] and len(words) == 3 and re.fullmatch(r"\d{1,10}", words[2]):
            count = int(words[2])
        elif words[:1] == ["element"]:
            break  # what follows the vertices is not read
        elif words[:1] == ["property"] and len(words) == 3 and words[1] in _TYPES:
            columns.append((words[2], _TYPES[words[1]]))
    names = [name for name, _ in columns]
    if not order or count < 0 or not set("xyz") <= set(names) or len(set(names)) != len(names):
        raise StereoError(f"{path}: is no binary PLY that starts with vertices of x, y and z; convert it to one")
    return order, count, columns
