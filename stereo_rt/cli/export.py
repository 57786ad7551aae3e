"""`stereo-rt export`: a network as one ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingExtra, UsageError


class Precision(str, Enum):
    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def export(
    what: Annotated[
        str, typer.Argument(metavar="NAME|FILE|DIR", help="Shipped network, .onnx or .safetensors, or a run's folder.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.onnx", help="File to write.")],
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Input size, multiples of 32; else its own.")
    ] = None,
    precision: Annotated[Precision, typer.Option("--precision", help="fp16 is for GPUs, int8 for CPUs.")] = Precision.fp32,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="An untrained network of that name, to measure its speed.")
    ] = False,
    student_size: Annotated[
        str | None, typer.Option("--student-size", metavar="ROW", help="Size of the network, where the weights do not say it.")
    ] = None,
) -> None:
    """Write a network as ONNX and check on rendered pairs that it still gives the same answers."""
    if out.suffix != ".onnx":
        raise UsageError(f"-o {out}: the file's name must end in .onnx")
    wanted = None if size is None else pixels(size)
    _need_packages()
    from ..engine.export import export_checked
    from ..engine.origin import made_up, open_origin

    origin = made_up(what) if random_weights else open_origin(what, student_size)
    grid = wanted or origin.size
    try:
        export_checked(origin.net, out, grid, origin.facts, precision.value, trained=not random_weights, say=typer.echo)
    except ValueError as e:
        raise UsageError(f"--size {e}") from None
    typer.echo(f"{out}: {origin.facts['name']}, {grid[0]}x{grid[1]}, {precision.value}, {out.stat().st_size / 1e6:.1f} MB")


def export_resized(what: str, out: Path, size: tuple[int, int], say: Callable[[str], None]) -> None:
    """A trained network for inputs of another (width, height), in FP32. Raises UsageError for one that does not fit."""
    _need_packages()
    from ..engine.export import export_checked
    from ..engine.origin import open_origin

    origin = open_origin(what)
    try:
        export_checked(origin.net, out, size, origin.facts, say=say)
    except ValueError as e:
        raise UsageError(f"--size {e}") from None


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("export", "train") from None


def pixels(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size {text}: is not WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)
