"""The settings of a run: one schema, one precedence (defaults < YAML file < --set < flags), saved with every output."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from . import paths
from .errors import ConfigError, FlagError

# PyYAML lets KeyError, AttributeError and TypeError out on ill-typed scalars such as `!!bool x`.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError, KeyError, AttributeError, TypeError)


def _parse_size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"'{value}' is not WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def _is_range(text: str) -> bool:
    """YAML 1.1 reads 1:30 as the number 90, in base 60."""
    return text.count(":") == 1 and set(text) <= set("0123456789.: ")


def _parse_range(value: Any) -> Any:
    if isinstance(value, (int, float)):
        raise ValueError("a range needs two ends; in YAML write [0.3, 10] or '0.3:10' in quotes")
    if not isinstance(value, str):
        return value
    low, colon, high = value.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(low or 0), float(high or "inf")
    except ValueError:
        raise ValueError(f"'{value}' is not MIN:MAX in metres, such as 0.3:10") from None


def _check_range(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= value[0] < value[1]:
        raise ValueError(f"{value[0]:g}:{value[1]:g} is empty: MIN must be at least 0 and below MAX")
    return value


def _split(value: Any) -> Any:
    return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value


Size = Annotated[
    tuple[Annotated[int, Field(ge=16, le=16384)], Annotated[int, Field(ge=16, le=16384)]], BeforeValidator(_parse_size)
]
Metres = Annotated[float, Field(allow_inf_nan=True)]
Range = Annotated[tuple[Metres, Metres], BeforeValidator(_parse_range), AfterValidator(_check_range)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


AnySection = TypeVar("AnySection", bound=Section)
LISTING = "list them with: stereo-rt config show"


class CaptureConfig(Section):
    """What is asked of a camera, and how patiently. None leaves the camera's own choice.

    width, height: of one eye, in pixels. exposure, gain: in the driver's own units.
    """

    width: Annotated[int, Field(ge=16)] | None = None
    height: Annotated[int, Field(ge=16)] | None = None
    fps: Annotated[float, Field(gt=0)] | None = None
    fourcc: Annotated[str, Field(min_length=4, max_length=4)] = "MJPG"
    auto_exposure: bool | None = None
    exposure: float | None = None
    gain: float | None = None
    auto_white_balance: bool | None = None
    max_skew_ms: Annotated[float, Field(gt=0)] = 8.0
    timeout_s: Annotated[float, Field(gt=0)] = 2.0
    reopen_s: Annotated[float, Field(gt=0)] = 0.5
    reopen_max_s: Annotated[float, Field(gt=0)] = 10.0
    swap: bool = False
    loop: bool = False


class CalibConfig(Section):
    """file: a calibration in any format we read. rectified: the frames are rectified already.

    size: grid to rectify to, (width, height); None lets the command choose. alpha: 0 keeps only pixels seen by both
    eyes, 1 keeps every source pixel. force: go on in spite of a 'redo' verdict. probe: check the first frames.
    """

    file: Path | None = None
    rectified: bool = False
    size: Size | None = None
    alpha: Fraction = 0.0
    force: bool = False
    probe: bool = True


class SgbmConfig(Section):
    max_disparity_px: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] = 128
    block_px: Annotated[int, Field(ge=1, le=21)] = 5
    mode: Literal["3way", "5path", "8path"] = "3way"


class MatchConfig(Section):
    """model: a shipped name or an .onnx file. threads: CPU threads of the network, 0 for one a core."""

    model: str = "student_s"
    backend: Literal["auto", "onnx", "openvino", "tensorrt", "torch", "sgbm"] = "auto"
    device: str = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    sgbm: SgbmConfig = SgbmConfig()


def _parse_fill(value: Any) -> Any:
    return ("rows" if value else "none") if isinstance(value, bool) else value


class PostConfig(Section):
    """What is kept of a disparity map. Thresholds keep values >= them.

    confidence_from: a method of stereo_rt/confidence, as find_method reads it; None takes what the matcher gives.
    fill: what is invented where nothing is kept, and marked as filled: nothing; the background along rows (also: true);
    or what the monocular network `mono` says: NAME, FILE.onnx, or an adapter's name with its clone and checkpoint.
    mono_says: what its map holds, larger where it is nearer or where it is further.
    """

    confidence_from: str | None = None
    min_confidence: Fraction = 0.5
    range_m: Range = (0.0, float("inf"))
    edge_px: Annotated[int, Field(ge=0, le=15)] = 1
    edge_step_px: Annotated[float, Field(gt=0)] = 1.0
    left_right: bool = False
    left_right_px: Annotated[float, Field(gt=0)] = 1.0
    speckle_px: Annotated[int, Field(ge=0)] = 0
    speckle_step_px: Annotated[float, Field(gt=0)] = 1.0
    temporal: Annotated[float, Field(ge=0, lt=1)] = 0.0
    temporal_step_px: Annotated[float, Field(gt=0)] = 1.0
    temporal_gap_ms: Annotated[float, Field(gt=0)] = 250.0
    fill: Annotated[Literal["none", "rows", "mono"], BeforeValidator(_parse_fill)] = "none"
    mono: str | None = None
    mono_says: Literal["inverse_depth", "depth"] = "inverse_depth"
    mono_clone: str | None = None
    mono_checkpoint: str | None = None

    @model_validator(mode="after")
    def _mono_is_named(self) -> PostConfig:
        if self.fill == "mono" and self.mono is None:
            raise ValueError("fill: mono needs a monocular network; name it, such as --set post.mono=FILE.onnx")
        return self


class ViewConfig(Section):
    """range_m: what the colour bar spans, fixed so that colours do not flicker."""

    range_m: Range = (0.5, 10.0)
    colormap: Literal["turbo", "viridis", "magma", "gray"] = "turbo"
    headless: bool = False
    web: str | None = None
    token: Annotated[str | None, Field(repr=False)] = None
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 80


class OutputConfig(Section):
    formats: Annotated[
        tuple[Literal["pfm", "png16", "npz", "depth_mm", "ply", "mp4", "mcap"], ...], BeforeValidator(_split)
    ] = ("pfm", "depth_mm")


class RunConfig(Section):
    max_frames: Annotated[int, Field(ge=1)] | None = None
    queue: Annotated[int, Field(ge=1, le=64)] = 4


class Config(Section):
    """Everything a run depends on."""

    capture: CaptureConfig = CaptureConfig()
    calib: CalibConfig = CalibConfig()
    match: MatchConfig = MatchConfig()
    post: PostConfig = PostConfig()
    view: ViewConfig = ViewConfig()
    output: OutputConfig = OutputConfig()
    run: RunConfig = RunConfig()


def load(file: Path | None = None, assignments: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> Config:
    """Resolve a configuration. assignments are 'section.key=value'; flags map 'section.key' to values, None is skipped.

    file: a path, or the bare name of a shipped file such as 'quality'.
    Raises ConfigError naming the setting, what is wrong with it, and the nearest known name; FlagError where the file is right.
    """
    return resolved(Config, lambda: read_tree(_find(file)) if file else {}, assignments, flags, LISTING)


def resolved(
    schema: type[AnySection],
    read: Callable[[], dict[str, Any]],
    assignments: Iterable[str],
    flags: Mapping[str, Any] | None,
    listing: str,
) -> AnySection:
    """What a file says, read anew by each call of read, with settings replaced. Raises as load does."""
    try:
        return validated(schema, overridden(read(), assignments, flags), listing)
    except ConfigError as e:
        validated(schema, read(), listing)
        raise FlagError(str(e)) from None


def overridden(tree: dict[str, Any], assignments: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tree with settings replaced, in place; see load. Raises ConfigError."""
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: expected section.key=value, such as --set post.min_confidence=0.7")
        try:
            _put(tree, key.strip(), value if _is_range(value) else yaml.safe_load(value))
        except _NOT_YAML:
            raise ConfigError(f"--set {text}: the value is not valid YAML; quote it") from None
    for key, value in (flags or {}).items():
        if value is not None:
            _put(tree, key, value)
    return tree


def validate(tree: Mapping[str, Any]) -> Config:
    """Check a tree of plain values against the schema. Raises ConfigError."""
    return validated(Config, tree, LISTING)


def changed(config: Config, section: str, **values: Any) -> Config:
    """The same with settings of a section replaced, as a flag does. Raises FlagError."""
    tree = dump(config)
    try:
        return validate(tree | {section: tree[section] | values})
    except ConfigError as e:
        raise FlagError(str(e)) from None


def validated(schema: type[AnySection], tree: Mapping[str, Any], listing: str) -> AnySection:
    """The same for any schema. listing: what to do about an unknown key that resembles none."""
    try:
        return schema.model_validate(tree)
    except ValidationError as e:
        raise ConfigError(_sentence(e, schema, listing)) from None


def dump(config: Config) -> dict[str, Any]:
    """The configuration as plain values; validate(dump(c)) == c, but for the token: a secret is not saved with outputs."""
    view = config.view.model_dump() | {"token": None}
    return config.model_dump() | {"calib": _plain_calib(config.calib), "view": view}


def to_yaml(config: Config) -> str:
    return yaml.safe_dump(_plain(dump(config)), sort_keys=False)


def _plain_calib(calib: CalibConfig) -> dict[str, Any]:
    return calib.model_dump() | {"file": None if calib.file is None else str(calib.file)}


def _plain(value: Any) -> Any:
    """Tuples as lists: safe YAML and JSON have no tuples."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _find(file: Path) -> Path:
    shipped = paths.configs() / f"{file}.yaml"
    return shipped if not file.suffix and not file.exists() and shipped.is_file() else file


def read_tree(file: Path) -> dict[str, Any]:
    """The sections of a YAML file as plain values. Raises ConfigError."""
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as e:
        shipped = ", ".join(sorted(f.stem for f in paths.configs().glob("*.yaml")))
        raise ConfigError(f"{file}: cannot be read ({e.strerror}); shipped ones: {shipped}") from None
    except _NOT_YAML as e:
        where = getattr(e, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{file}: is not valid YAML{line}; check it with: stereo-rt config check {file}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: holds a {type(tree).__name__} where sections such as 'match:' are expected")
    return {name: section for name, section in tree.items() if section is not None}


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    for name in sections:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"{dotted}: '{name}' is a value, not a section")
        tree = branch
    tree[key] = value


def _sentence(error: ValidationError, schema: type[BaseModel], listing: str) -> str:
    """The first problem, as one sentence."""
    problem = error.errors()[0]
    where = ".".join(str(p) for p in problem["loc"])[:80]
    if problem["type"] == "extra_forbidden":
        known = sorted(_keys(schema))
        near = difflib.get_close_matches(where, known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else listing
        return f"the setting '{where}' does not exist; {hint}"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"the setting '{where}' is wrong: {reason[:1].lower()}{reason[1:]} (got {reprlib.repr(problem['input']):.60})"


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in schema.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _keys(info.annotation, f"{prefix}{name}.")
