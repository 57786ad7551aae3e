"""Middlebury and ETH3D calib.txt: cam0=[f 0 cx; 0 f cy; 0 0 1], doffs, baseline in mm, width, height. Rectified images."""

from __future__ import annotations

import re

from ...errors import CalibrationError
from ...geometry import RectifiedRig
from .document import Document
from .fields import Fields, pixels

NAME = "Middlebury/ETH3D calib.txt"
_LINE = re.compile(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)
_TOLERANCE_PX = 0.5


def recognises(document: Document) -> bool:
    return re.search(r"^[ \t]*cam0[ \t]*=", document.text, re.MULTILINE) is not None


def read(documents: tuple[Document, ...], frame_size: tuple[int, int] | None) -> RectifiedRig:
    lines = Fields({key: re.sub(r"[\[\];,]", " ", value).split() for key, value in _LINE.findall(documents[0].text)})
    K0, K1 = (lines.numbers(cam, 9).reshape(3, 3) for cam in ("cam0", "cam1"))
    if abs(K0[0, 0] - K0[1, 1]) > _TOLERANCE_PX or abs(K0[0, 0] - K1[0, 0]) > _TOLERANCE_PX:
        raise CalibrationError("the focal lengths of cam0 and cam1 differ, so the images are not rectified")
    doffs = _one(lines, "doffs") if "doffs" in lines else float(K1[0, 2] - K0[0, 2])
    if abs(doffs - (K1[0, 2] - K0[0, 2])) > _TOLERANCE_PX:
        raise CalibrationError(f"doffs is {doffs:g} and contradicts cam0 and cam1, which say {K1[0, 2] - K0[0, 2]:g}")
    baseline_mm = _one(lines, "baseline")
    if 0 < baseline_mm < 1:
        raise CalibrationError(f"the baseline is {baseline_mm:g} mm; this format counts in mm, and that looks like metres")
    return RectifiedRig(
        pixels(_one(lines, "width"), "width"),
        pixels(_one(lines, "height"), "height"),
        fx_px=float(K0[0, 0]),
        cx_px=float(K0[0, 2]),
        cy_px=float(K0[1, 2]),
        baseline_m=baseline_mm / 1000,
        doffs_px=doffs,
    )


def _one(lines: Fields, key: str) -> float:
    return float(lines.numbers(key, 1)[0])


def write_rectified(rig: RectifiedRig) -> tuple[str, ...]:
    """calib.txt; the bounds of the disparity (ndisp, vmin, vmax) belong to a scene and are left out."""
    f, cx, cy, doffs = map(float, (rig.fx_px, rig.cx_px, rig.cy_px, rig.doffs_px))
    return (
        f"cam0=[{f!r} 0 {cx!r}; 0 {f!r} {cy!r}; 0 0 1]\ncam1=[{f!r} 0 {cx + doffs!r}; 0 {f!r} {cy!r}; 0 0 1]\n"
        f"doffs={doffs!r}\nbaseline={1000 * rig.baseline_m!r}\nwidth={rig.width}\nheight={rig.height}\n",
    )
