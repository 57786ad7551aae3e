"""The flags that commands share, and how they become a Config."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..config import Config


def _shared(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="YAML file with settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=V", help="Override one setting; repeatable.")] = None,
    calib: Annotated[Path | None, typer.Option("--calib", help="Calibration file, in any format we read.")] = None,
    rectified: Annotated[bool | None, typer.Option("--rectified", help="The frames are rectified already.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME|FILE.onnx", help="Network to run.")] = None,
    backend: Annotated[str | None, typer.Option("--backend", help="auto, onnx, openvino, tensorrt, torch or sgbm.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Grid to rectify to.")] = None,
    range_: Annotated[str | None, typer.Option("--range", metavar="MIN:MAX", help="Depth to keep, in metres.")] = None,
    min_conf: Annotated[float | None, typer.Option("--min-conf", help="Confidence to keep, 0 to 1.")] = None,
    confidence_from: Annotated[
        str | None,
        typer.Option("--confidence-from", metavar="METHOD", help="learned, left_right, entropy, mc_dropout:15, FILE.onnx, ..."),
    ] = None,
    fill: Annotated[str | None, typer.Option("--fill", help="Invent values in holes: none, rows, or mono.")] = None,
    max_frames: Annotated[int | None, typer.Option("--max-frames", help="Stop after so many frames.")] = None,
    headless: Annotated[bool | None, typer.Option("--headless", help="Open no window and no web page.")] = None,
    swap: Annotated[bool | None, typer.Option("--swap", help="Exchange the left and right images.")] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Use a calibration whose verdict is 'redo'.")] = None,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")] = False,
) -> None:
    pass


MATCHING = ("config", "set_", "model", "backend", "device", "verbose", "quiet")
CAPTURE = ("calib", "rectified", "size", "swap", "force", "max_frames")
CAPTURING = ("config", "set_", "max_frames", "headless", "swap", "verbose", "quiet")
CHECKING = ("config", "set_", "calib", "rectified", "swap", "max_frames", "verbose", "quiet")
LABELLING = ("config", "set_", *CAPTURE, "device", "min_conf", "verbose", "quiet")


def loop_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(..., cfg: Config)` the shared flags: it receives them resolved as its `cfg` argument."""
    return _with_flags(command, tuple(inspect.signature(_shared).parameters))


def matching_command(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that matches pairs but has no camera, calibration or mask: only the flags MATCHING."""
    return _with_flags(command, MATCHING)


def labelling_command(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that labels pairs, with a matcher of its own choice: only the flags LABELLING."""
    return _with_flags(command, LABELLING)


def capturing_command(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that only looks at raw pairs: only the flags CAPTURING."""
    return _with_flags(command, CAPTURING)


def checking_command(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that looks at a source through its calibration and matches nothing: only the flags CHECKING."""
    return _with_flags(command, CHECKING)


def _with_flags(command: Callable[..., None], flags: tuple[str, ...]) -> Callable[..., None]:
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "cfg"]
    shared = {name: inspect.signature(_shared).parameters[name] for name in flags}
    # Not typing.get_type_hints: Python 3.10's wraps whatever defaults to None in Optional, which hides the flags' names.
    hints = inspect.get_annotations(_shared, eval_str=True) | inspect.get_annotations(
        command, globals={**command.__globals__, "Config": object}, eval_str=True
    )

    def wrapped(**values: Any) -> None:
        command(cfg=resolve({name: values.pop(name) for name in shared}), **values)

    parameters = [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in [*own, *shared.values()]]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def resolve(values: dict[str, Any]) -> Config:
    """Set up logging and load the configuration the flags describe; a flag that is absent is not set. Raises ConfigError."""
    from ..config import load

    values = dict.fromkeys(inspect.signature(_shared).parameters) | values
    level = logging.ERROR if values["quiet"] else (logging.WARNING, logging.INFO, logging.DEBUG)[min(values["verbose"], 2)]
    logging.basicConfig(level=level, format="stereo-rt: %(message)s", force=True)
    return load(
        values["config"],
        values["set_"] or (),
        {
            "calib.file": values["calib"],
            "calib.rectified": values["rectified"],
            "calib.size": values["size"],
            "calib.force": values["force"],
            "match.model": values["model"],
            "match.backend": values["backend"],
            "match.device": values["device"],
            "post.range_m": values["range_"],
            "view.range_m": _display(values["range_"]),
            "post.min_confidence": values["min_conf"],
            "post.confidence_from": values["confidence_from"],
            "post.fill": values["fill"],
            "run.max_frames": values["max_frames"],
            "view.headless": values["headless"],
            "capture.swap": values["swap"],
        },
    )


def _display(range_: str | None) -> str | None:
    """The colour bar follows --range where both ends are given."""
    low, _, high = (range_ or "").partition(":")
    return range_ if low and high else None
