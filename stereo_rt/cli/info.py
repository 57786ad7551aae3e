"""`stereo-rt info`: what a file is and holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def info(
    what: Annotated[list[str], typer.Argument(metavar="FILE...", help="Any file that goes in or comes out, or a SOURCE.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Describe images, maps, clouds, videos, calibrations, networks, manifests and sources."""
    import json

    from ..describe import describe

    facts = [{"file": text, **describe(text)} for text in what]
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for each in facts:
        typer.echo(f"{each.pop('file')}: {each.pop('kind')}")
        for line in _lines(each):
            typer.echo(f"  {line}")


def _lines(facts: dict[str, Any]) -> list[str]:
    """'name  value' in columns; a group of facts is indented below its name."""
    width = max((len(name) for name in facts), default=0)
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value and not all(isinstance(v, (int, float)) for v in value.values()):
            lines += [name, *(f"  {line}" for line in _lines(value))]
        else:
            lines.append(f"{name:<{width}}  {_text(name, value)}")
    return lines


def _text(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        separator = "x" if name == "size" else " to " if name.endswith("_m") or name == "indices" else ", "
        return separator.join(map(str, value))
    if name == "valid" and value is not None:
        return f"{value:.1%}"
    return "unknown" if value is None else str(value)
