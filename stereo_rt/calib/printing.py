"""Printing: a board on a sheet of paper, true to scale, with a ruler to check the printer; as PDF, SVG or PNG."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np

from ..atomic import write_bytes
from ..errors import UsageError
from .artwork import Artwork, artwork, raster
from .boards import Board

PAPERS_MM = {"a4": (210.0, 297.0), "a3": (297.0, 420.0), "letter": (215.9, 279.4)}
MARGIN_MM = 8.0
"""Most printers reach this near to the edge."""
FOOT_MM = 17.0
"""For the ruler and what is written beside it."""
RULER_MM = 100
TEXT_MM = 3.2
PNG_DPI = 300
CURVE = 0.5522847498
"""Length of a Bezier curve's handles that make a quarter of a circle, for radius 1."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """width_mm, height_mm: of the paper as it lies. art: all that is black, in mm from its top left. texts: (x, y, words)."""

    width_mm: float
    height_mm: float
    art: Artwork
    texts: tuple[tuple[float, float, str], ...]


def lay_out(board: Board, paper: str = "a4") -> Sheet:
    """The board in the middle of the paper, upright or lying as it fits. Raises UsageError when it is too large."""
    if paper not in PAPERS_MM:
        raise UsageError(f"--paper {paper}: known are {', '.join(PAPERS_MM)}")
    art = artwork(board)
    box = np.array(art.bounds_m) * 1000
    size = box[2:] - box[:2]
    short, long = PAPERS_MM[paper]
    fits = 0.0
    for width, height in ((short, long), (long, short)) if size[1] >= size[0] else ((long, short), (short, long)):
        room = np.array([width - 2 * MARGIN_MM, height - 2 * MARGIN_MM - FOOT_MM])
        if (size <= room).all():
            shift = MARGIN_MM + (room - size) / 2 - box[:2]
            rects = np.column_stack([art.rects[:, :2] * 1000 + shift, art.rects[:, 2:] * 1000])
            circles = np.column_stack([art.circles[:, :2] * 1000 + shift, art.circles[:, 2:] * 1000])
            marks, texts = _foot(board, height)
            return Sheet(width, height, Artwork(np.concatenate([rects, marks]), circles), texts)
        fits = max(fits, float((room / size).min()))
    raise UsageError(
        f"the board is {size[0]:.0f}x{size[1]:.0f} mm and does not fit on {paper} with its ruler; "
        f"take a larger --paper, fewer columns and rows, or squares of {np.floor(1000 * board.square_m * fits):.0f} mm"
    )


def write_sheet(sheet: Sheet, path: Path) -> None:
    """Write .pdf, .svg or .png, told by the suffix: the whole file or none. Raises UsageError, OutputError."""
    writers = {".pdf": to_pdf, ".svg": to_svg, ".png": to_png}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path}: is none of {', '.join(writers)}; name the file board.pdf")
    write_bytes(path, writers[path.suffix.lower()](sheet))


def _foot(board: Board, height_mm: float) -> tuple[np.ndarray, tuple[tuple[float, float, str], ...]]:
    """The ruler's rectangles, and the words: which board, and what to check."""
    x, y = MARGIN_MM, height_mm - MARGIN_MM - TEXT_MM - 3
    ticks = [(x + mm - 0.1, y - (5 if mm % 50 == 0 else 3), 0.2, 5 if mm % 50 == 0 else 3) for mm in range(0, RULER_MM + 1, 10)]
    bar = (x - 0.1, y, RULER_MM + 0.2, 0.4)
    beside = x + RULER_MM + 4
    return np.array([*ticks, bar]), (
        (beside, y - 2.5, f"{RULER_MM} mm if printed at 100 %"),
        (beside, y + 1.5, "(actual size, no scaling)"),
        (x, height_mm - MARGIN_MM, f"stereo-rt {board}   Glue it flat onto something stiff."),
    )


def to_svg(sheet: Sheet) -> bytes:
    """One path for all rectangles, so that neighbours show no seam."""
    path = "".join(f"M{x:.4f} {y:.4f}h{w:.4f}v{h:.4f}h{-w:.4f}z" for x, y, w, h in _rounded(sheet.art.rects))
    circles = "".join(f'<circle cx="{x:.4f}" cy="{y:.4f}" r="{r:.4f}"/>' for x, y, r in sheet.art.circles)
    texts = "".join(f'<text x="{x:.2f}" y="{y:.2f}">{escape(words)}</text>' for x, y, words in sheet.texts)
    w, h = sheet.width_mm, sheet.height_mm
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}mm" height="{h}mm" viewBox="0 0 {w} {h}">'
        f'<rect width="{w}" height="{h}" fill="#fff"/><path d="{path}"/>{circles}'
        f'<g font-family="Helvetica, Arial, sans-serif" font-size="{TEXT_MM}">{texts}</g></svg>\n'
    ).encode()


def to_pdf(sheet: Sheet) -> bytes:
    """One page with one filled path (ISO 32000-1: operators re, m, c, f, Tj), in mm scaled to points, y upwards."""
    flip = sheet.height_mm
    drawing = [f"{x:.4f} {flip - y - h:.4f} {w:.4f} {h:.4f} re" for x, y, w, h in sheet.art.rects]
    drawing += [_pdf_circle(x, flip - y, r) for x, y, r in sheet.art.circles]
    words = [f"1 0 0 1 {x:.2f} {flip - y:.2f} Tm ({_pdf_text(text)}) Tj" for x, y, text in sheet.texts]
    point = 72 / 25.4
    lines = (f"{point:.8f} 0 0 {point:.8f} 0 0 cm 0 g", *drawing, "f", f"BT /F {TEXT_MM} Tf", *words, "ET")
    content = zlib.compress("\n".join(lines).encode())
    page = f"/MediaBox [0 0 {sheet.width_mm * point:.4f} {sheet.height_mm * point:.4f}]"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R {page} /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>".encode(),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    file, places = b"%PDF-1.6\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return file + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        count,
        table,
        count,
        len(file),
    )


def to_png(sheet: Sheet) -> bytes:
    """Grey, at PNG_DPI, which the file states (chunk pHYs), so that it prints true to scale too."""
    px_per_mm = PNG_DPI / 25.4
    image = np.rint(255 * raster(sheet.art, px_per_mm, (0, 0, sheet.width_mm, sheet.height_mm))).astype(np.uint8)
    scale = TEXT_MM * px_per_mm / 30  # this font's capitals are 22 px high at scale 1
    for x, y, text in sheet.texts:
        at = round(x * px_per_mm), round(y * px_per_mm)
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 0, round(2 * scale), cv2.LINE_AA)
    png = cv2.imencode(".png", image)[1].tobytes()
    header = 33  # the signature and the first chunk
    size = b"pHYs" + struct.pack(">IIB", *[round(px_per_mm * 1000)] * 2, 1)
    return png[:header] + struct.pack(">I", 9) + size + struct.pack(">I", zlib.crc32(size)) + png[header:]


def _rounded(rects: np.ndarray) -> np.ndarray:
    """To a ten-thousandth of a millimetre, edges that touch still touching."""
    start, stop = np.round(rects[:, :2], 4), np.round(rects[:, :2] + rects[:, 2:], 4)
    return np.column_stack([start, np.round(stop - start, 4)])


def _pdf_circle(x: float, y: float, r: float) -> str:
    k = CURVE * r
    quarters = ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))
    curves = [
        f"{x + a * r + c * k:.4f} {y + b * r + d * k:.4f} {x + c * r + a * k:.4f} {y + d * r + b * k:.4f} "
        f"{x + c * r:.4f} {y + d * r:.4f} c"
        for a, b, c, d in quarters
    ]
    return f"{x + r:.4f} {y:.4f} m " + " ".join(curves) + " h"


def _pdf_text(text: str) -> str:
    return "".join("\\" + c if c in "()\\" else c for c in text)
