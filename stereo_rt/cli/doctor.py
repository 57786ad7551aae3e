"""`stereo-rt doctor`: is this machine ready, and what to do where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

COLOURS = {"ok": typer.colors.GREEN, "note": typer.colors.YELLOW, "problem": typer.colors.RED}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine; exit code 3 when something that the loop needs is broken."""
    import json
    from dataclasses import asdict

    from ..doctor import examine
    from ..errors import CheckFailed

    findings = examine()
    broken = sorted({f.topic for f in findings if f.state == "problem"})
    if as_json:
        typer.echo(json.dumps({"ok": not broken, "findings": [asdict(f) for f in findings]}, indent=1))
    else:
        for f in findings:
            typer.echo(f"{typer.style(f'{f.state:<8}', fg=COLOURS[f.state])} {f.topic:<13} {f.detail}")
            if f.remedy:
                typer.echo(f"{'':<22} -> {f.remedy}")
    if broken:
        raise CheckFailed(f"{', '.join(broken)}: not ready; do what stands beside each problem above")
