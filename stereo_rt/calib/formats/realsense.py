"""RealSense D400 coefficient table as JSON ("rectified.0.fx": ..., "baseline": in mm), as read out of the camera.

The D400 rectifies its stereo streams itself, so what is read is the rectified geometry of one resolution: the one of
the frames, or the first listed. The raw lens model in the same table (for Y16 calibration images) is not read.
A table has 16 slots; those that its camera does not use hold zeros.
"""

from __future__ import annotations

import re

from ...errors import CalibrationError
from ...geometry import RectifiedRig
from .document import Document
from .fields import Fields, pixels

NAME = "RealSense D400 JSON"
_KEY = re.compile(r"rectified\.(\d{1,3})\.width")
_SQUARE = 1e-3


def recognises(document: Document) -> bool:
    return any(isinstance(key, str) and _KEY.fullmatch(key) for key in document.tree)


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> RectifiedRig:
    table = Fields(documents[0].tree)
    slots = sorted(int(found[1]) for key in table.tree if (found := _KEY.fullmatch(str(key))))
    used = [slot for slot in slots if all(table.number(f"rectified.{slot}.{key}") for key in ("width", "height", "fx"))]
    sizes = {slot: (_pixels(table, slot, "width"), _pixels(table, slot, "height")) for slot in used}
    if not sizes:
        raise CalibrationError("none of its resolutions is filled in; read the table out of the camera again")
    fitting = [slot for slot, size in sizes.items() if frame_size in (None, size)]
    if not fitting:
        known = ", ".join("{}x{}".format(*size) for size in sizes.values())
        raise CalibrationError("has no {}x{} among its resolutions ({known})".format(*(frame_size or (0, 0)), known=known))
    fx, fy, cx, cy = (table.number(f"rectified.{fitting[0]}.{key}") for key in ("fx", "fy", "ppx", "ppy"))
    if fx <= 0 or abs(fy / fx - 1) > _SQUARE:
        raise CalibrationError("its rectified pixels are not square; the file looks damaged")
    # The table's baseline is T_x of the right eye, negative in the right order.
    return RectifiedRig(*sizes[fitting[0]], fx_px=fx, cx_px=cx, cy_px=cy, baseline_m=-table.number("baseline") / 1000)


def _pixels(table: Fields, slot: int, key: str) -> int:
    name = f"rectified.{slot}.{key}"
    return pixels(table.number(name), name)
