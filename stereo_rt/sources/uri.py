"""What the user types for a source, read into a SourceUri. Nothing is opened here; files must exist.

SOURCE                                   kind        one path per eye, left first, separated by a comma
left.png,right.png                       images
leftdir,rightdir                         images      paired by number where the names carry the same ones, else by order
left_%04d.png,right_%04d.png             images
left.mp4,right.mp4                       video
sbs.mp4?layout=sbs                       video       one file holds both eyes; tb: the left eye on top
v4l2:///dev/video0?layout=sbs&fourcc=MJPG    v4l2    also width=, height=, fps=, as the device delivers them
v4l2:///dev/video0,/dev/video2           v4l2
csi://0,1                                csi         sensor numbers on a Jetson
gst://PIPELINE || PIPELINE               gstreamer   as gst-launch-1.0 takes them, without the sink: commas are part of a
gst://PIPELINE?layout=sbs                gstreamer   pipeline's caps, so two pipelines are separated by a double bar
rtsp://a,rtsp://b                        rtsp        also rtsps://
run.mcap, run.bag                        mcap, bag   also left=, right=: the topics of the eyes
synthetic://room?key=value               synthetic   its options are checked by the synthetic camera; also synthetic://board

A comma, a question mark or an equals sign inside a file name is understood as long as the file exists.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from ..errors import SourceError

Kind = Literal["images", "video", "v4l2", "csi", "gstreamer", "rtsp", "mcap", "bag", "synthetic"]
Layout = Literal["sbs", "tb"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mjpeg", ".h264"})
SCHEMES = ("v4l2", "csi", "gst", "rtsp", "rtsps", "synthetic")
OPTIONS: dict[Kind, tuple[str, ...]] = {
    "images": ("layout",),
    "video": ("layout",),
    "v4l2": ("layout", "fourcc", "width", "height", "fps"),
    "csi": ("width", "height", "fps"),
    "gstreamer": ("layout",),
    "rtsp": ("layout",),
    "mcap": ("left", "right"),
    "bag": ("left", "right"),
}
VALUES = {
    "layout": (r"sbs|tb", "sbs (side by side) or tb (top and bottom)"),
    "fourcc": (r"[A-Za-z0-9]{4}", "four letters, such as MJPG or YUYV"),
    "width": (r"[1-9]\d{1,4}", "a number of pixels, 16 or more"),
    "height": (r"[1-9]\d{1,4}", "a number of pixels, 16 or more"),
    "fps": (r"[1-9]\d{0,3}(\.\d{1,6})?", "frames per second, such as 30"),
    "left": (r"/?[\w~]+(/[\w~]+)*", "a topic, such as /left/image_raw"),
    "right": (r"/?[\w~]+(/[\w~]+)*", "a topic, such as /right/image_raw"),
}
PATTERN = re.compile(r"%0?\d*d")
_TAIL = re.compile(r"[^=&?/\\]*=[^=&?]*(&[^=&?]*=[^=&?]*)*")


@dataclass(frozen=True)
class SourceUri:
    """paths: one per eye, left first, or a single one that holds both. text: what the user typed."""

    kind: Kind
    paths: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    text: str = field(default="", compare=False)

    @property
    def layout(self) -> Layout | None:
        """How one image holds both eyes; None where each eye has its own."""
        return self.options.get("layout")  # type: ignore[return-value]


def parse_source(uri: str) -> SourceUri:
    """Read what the user typed. Raises SourceError: what is wrong, and what to type instead."""
    text = uri.strip()
    if not text:
        raise SourceError("the source is empty; give left.png,right.png, or try: stereo-rt demo")
    if "\0" in text:
        raise SourceError(f"{show(text)}: a source cannot hold a zero byte; type it again")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if not scheme:
        return _files(text)
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name not in SCHEMES:
        hint = _meant(name, SCHEMES, "://") or f"known are {', '.join(s + '://' for s in SCHEMES)}, and plain file names"
        raise SourceError(f"{show(text)}: '{name}://' is not a kind of source; {hint}")
    read = {"v4l2": _v4l2, "csi": _csi, "gst": _gstreamer, "rtsp": _rtsp, "rtsps": _rtsp, "synthetic": _synthetic}[name]
    return read(text, rest)


def show(text: str) -> str:
    """The text on one line, short enough for a sentence."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= 120 else f"{line[:117]}..."


def option_error(error: ValidationError, options: type[BaseModel]) -> str:
    """What is wrong with an option of a source, as the end of a sentence."""
    problem = error.errors()[0]
    key = show(str(problem["loc"][0]))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(options.model_fields), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(options.model_fields)}"
        return f"the option '{key}' does not exist; {hint}"
    return f"{key}={show(str(problem['input']))} is wrong: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _synthetic(text: str, rest: str) -> SourceUri:
    scene, options = _split_options(text, rest)
    return SourceUri("synthetic", (scene.strip("/"),), options, text)


def _v4l2(text: str, rest: str) -> SourceUri:
    rest, options = _split_options(text, rest)
    devices = [p.strip().removeprefix("v4l2://") for p in rest.split(",")]
    devices = [f"/dev/video{d}" if d.isdecimal() else d for d in devices]
    if not all(re.fullmatch(r"/dev/[\w./:@+-]+", d) for d in devices):
        raise SourceError(
            f"{show(text)}: a camera is named by its device file, such as v4l2:///dev/video0; list them with: stereo-rt doctor"
        )
    return _checked("v4l2", devices, options, text)


def _csi(text: str, rest: str) -> SourceUri:
    rest, options = _split_options(text, rest)
    sensors = [p.strip() for p in rest.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,2}", s) for s in sensors):
        raise SourceError(f"{show(text)}: sensors are numbers; the first two are csi://0,1")
    return _checked("csi", [str(int(s)) for s in sensors], options, text)


def _gstreamer(text: str, rest: str) -> SourceUri:
    # A pipeline may hold '?' itself (uri=rtsp://cam?x=1), so only our own option at the very end is taken off.
    own = re.search(r"\?layout=([^?&=\s]*)\s*$", rest)
    pipelines = [p.strip() for p in (rest[: own.start()] if own else rest).split("||")]
    if not all(pipelines):
        raise SourceError(f"{show(text)}: a pipeline is empty; try: gst://videotestsrc || videotestsrc")
    return _checked("gstreamer", pipelines, {"layout": own[1]} if own else {}, text, same_ok=True)


def _rtsp(text: str, rest: str) -> SourceUri:
    # A camera's address may have a query of its own; only our option is taken out of it.
    layout = re.search(r"[?&]layout=([^?&=,]*)$", text)
    urls = re.split(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)", text[: layout.start()] if layout else text)
    for url in urls:
        if not re.fullmatch(r"rtsps?://[^\s/]+(/\S*)?", url, re.IGNORECASE):
            raise SourceError(
                f"{show(url)}: is not the address of an RTSP stream, such as rtsp://camera/left,rtsp://camera/right"
            )
    return _checked("rtsp", urls, {"layout": layout[1]} if layout else {}, text)


def _files(text: str) -> SourceUri:
    if text.startswith("/dev/"):
        raise SourceError(f"{show(text)}: a camera is named with its scheme; did you mean v4l2://{show(text)}?")
    names, options = _split_names(text)
    for name in names:
        if not _exists(name):
            raise SourceError(_missing(name))
    kinds = [_file_kind(name) for name in names]
    if kinds[0] in ("mcap", "bag"):
        if len(names) > 1:
            raise SourceError(f"{show(text)}: a recording holds both eyes; give {show(names[0])} alone")
        return SourceUri(kinds[0], (names[0],), _known(kinds[0], options, text), text)
    if len(set(kinds)) > 1:
        raise SourceError(f"{show(text)}: one eye is {kinds[0]} and the other is {kinds[1]}; give two of a kind")
    return _checked(kinds[0], names, options, text)


def _split_names(text: str) -> tuple[list[str], dict[str, str]]:
    """File names and options. A split whose names all exist wins, so that ',' and '?' may be part of a name."""
    readings: list[tuple[list[str], dict[str, str]]] = []
    for body, options in _option_readings(text):
        commas = [i for i, c in enumerate(body) if c == ","][:64]
        splits = [[body]] + [[body[:i], body[i + 1 :]] for i in commas]
        readings += [([_home(n) for n in names], options) for names in splits]
    for names, options in readings:
        if all(n and _exists(n) for n in names):
            return names, options
    body, options = _split_options(text, text)
    names = [_home(n) for n in body.split(",")]
    if len(names) > 2 and all(n and _exists(n) for n in names):
        raise SourceError(f"{show(text)}: names {len(names)} files where a pair has two; give left,right")
    if not all(names):
        raise SourceError(f"{show(text)}: a name beside the comma is empty; give left,right, for example left.png,right.png")
    return names, options


def _option_readings(text: str) -> list[tuple[str, dict[str, str]]]:
    head, _, tail = text.rpartition("?")
    plain: tuple[str, dict[str, str]] = (text, {})
    return [plain, (head, _pairs(tail))] if head and _TAIL.fullmatch(tail) else [plain]


def _split_options(text: str, rest: str) -> tuple[str, dict[str, str]]:
    head, mark, tail = rest.rpartition("?")
    if not mark:
        return rest, {}
    if not _TAIL.fullmatch(tail):
        raise SourceError(f"{show(text)}: '?{show(tail)}' is not key=value; options go last, as in sbs.mp4?layout=sbs")
    return head, _pairs(tail)


def _pairs(tail: str) -> dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in (p.partition("=") for p in tail.split("&"))}


def _home(name: str) -> str:
    """The shell expands only the first ~ of a pair."""
    name = name.strip()
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError:
        return name


def _exists(name: str) -> bool:
    try:
        path = Path(name)
        if PATTERN.search(path.name) and not set(name) & set(",?"):
            return path.parent.is_dir()
        return path.exists()
    except (OSError, ValueError):
        return False


def _file_kind(name: str) -> Kind:
    path = Path(name)
    suffix = path.suffix.lower()
    if PATTERN.search(path.name) and not path.exists():
        if suffix in IMAGE_SUFFIXES:
            return "images"
        raise SourceError(f"{show(name)}: a %d pattern names images; end it with .png, .jpg or another image suffix")
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        return "images"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in (".mcap", ".bag"):
        return "mcap" if suffix == ".mcap" else "bag"
    raise SourceError(f"{show(name)}: '{show(suffix)}' is no image, video or recording we know; convert it to png or mp4")


def _missing(name: str) -> str:
    if "*" in name:
        return f"{show(name)}: wildcards are not expanded; write the number as %04d, or give the folder"
    path = Path(name)
    try:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()][:5000], n=1, cutoff=0.6)
    except (OSError, ValueError):
        return f"{show(name)}: the folder does not exist; look with: ls {show(str(path.parent))}"
    hint = f"did you mean {show(str(path.parent / near[0]))}?" if near else f"look with: ls {show(str(path.parent))}"
    return f"{show(name)}: does not exist; {hint}"


def _meant(word: str, known: tuple[str, ...], suffix: str = "") -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}{suffix}'?" if near else ""


def _known(kind: Kind, options: dict[str, str], text: str) -> dict[str, str]:
    for key, value in options.items():
        if key not in OPTIONS[kind]:
            hint = _meant(key, OPTIONS[kind]) or f"it takes {', '.join(OPTIONS[kind]) or 'none'}"
            raise SourceError(f"{show(text)}: the option '{show(key)}' does not exist for this kind of source; {hint}")
        pattern, wanted = VALUES[key]
        if not re.fullmatch(pattern, value, re.ASCII) or (key in ("width", "height") and int(value) < 16):
            raise SourceError(f"{show(text)}: {key}={show(value)} should be {wanted}")
    return options


def _checked(kind: Kind, paths: list[str], options: dict[str, str], text: str, *, same_ok: bool = False) -> SourceUri:
    """What holds for every kind: one path per eye, or one path and a layout."""
    _known(kind, options, text)
    layout = options.get("layout")
    if len(paths) > 2:
        raise SourceError(f"{show(text)}: names {len(paths)} images of a pair, which has two; give left,right")
    if len(paths) == 2 and layout:
        raise SourceError(f"{show(text)}: layout={layout} is for one path that holds both eyes; give one path, or drop it")
    if len(paths) == 1 and not layout:
        split = "; where one image holds both eyes, add ?layout=sbs or ?layout=tb" if "layout" in OPTIONS[kind] else ""
        raise SourceError(f"{show(text)}: the second eye is missing; give left,right{split}")
    if len(paths) == 2 and not same_ok and _same(*paths):
        raise SourceError(f"{show(text)}: both eyes are the same; name the right eye, or give it once with ?layout=sbs")
    return SourceUri(kind, tuple(paths), options, text)


def _same(a: str, b: str) -> bool:
    try:
        return a == b or Path(a).resolve() == Path(b).resolve()
    except (OSError, ValueError, RuntimeError):
        return a == b
