"""Stereo against left only: the same network pretrained twice, with the right image and without, and what came of it.

DIR/stereo, DIR/left_only   the two runs
DIR/compare.json            their errors on scenes that trained nobody, and the budget
DIR/compare.svg             these errors by step
DIR/compare.png             what they rebuild of the same pairs
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...atomic import write_bytes
from .. import checkpoint
from ..folder import RECIPE
from ..parallel import Crew
from ..recipe import PretrainRecipe, Recipe
from ..session import Plan
from ..svg import line_plot
from ..table import read_rows
from .objective import held_out_errors
from .session import checked, held_out_of, load_rebuilder, run_pretraining
from .sheet import sheet

MODES = {"stereo": False, "left_only": True}
"""Name of the run, and whether it is without the right image."""


def run_comparison(recipe: Recipe, plan: Plan, crew: Crew, say: Callable[[str], None]) -> int | None:
    """Both runs, one after the other, and the report once both have begun to be judged. As session.run_training; with
    plan.resume whatever there is of the two goes on."""
    asked = _both(checked(recipe))
    for mode in MODES:
        own = recipe.model_copy(update={"pretrain": asked[mode]})
        place = plan.folder / mode
        there = replace(plan, folder=place, resume=plan.resume and (place / RECIPE).is_file())
        signum = run_pretraining(own, there, crew, lambda line, mode=mode: say(f"{mode}: {line}"))  # type: ignore[misc]
        if signum is not None:
            return signum
    if crew.leads:
        for line in report(recipe, plan.folder, crew):
            say(line)
    return None


def report(recipe: Recipe, folder: Path, crew: Crew) -> list[str]:
    """Write the three files from what the runs left, as far as both were judged; the lines to be told. Raises OutputError."""
    scores = {mode: {row["step"]: row for row in read_rows(folder / mode / "eval.csv")} for mode in MODES}
    steps = sorted(scores["stereo"].keys() & scores["left_only"].keys())
    if not steps:
        return ["not both were judged yet: go on with the same command and --resume"]
    last = {mode: rows[steps[-1]] for mode, rows in scores.items()}
    facts = {mode: json.loads((folder / mode / checkpoint.STATE).read_text()) for mode in MODES}
    asked, batches = checked(recipe), held_out_of(recipe, crew)
    networks = {mode: (load_rebuilder(recipe.network, folder / mode, crew.device), own) for mode, own in _both(asked).items()}
    stereo, alone = (held_out_errors(net, batches, own) for net, own in networks.values())
    summary = {
        "network": recipe.network,
        "budget": {"steps": recipe.steps, "batch": recipe.batch, "size": list(recipe.size), "seed": recipe.seed},
        "masked": {"ratio": asked.ratio, "patch_px": asked.patch_px, "normalised": asked.normalised},
        "runs": {mode: {**row, "seconds": facts[mode]["seconds"]} for mode, row in last.items()},
        "pairs": len(stereo),
        "pairs_better_in_stereo": int((stereo < alone).sum()),
        "gain": float((alone - stereo).mean()),
        "gain_standard_error": float((alone - stereo).std() / len(stereo) ** 0.5),
    }
    write_bytes(folder / "compare.json", json.dumps(summary, indent=1).encode())
    plotted = {mode: [rows[step] for step in steps] for mode, rows in scores.items()}
    write_bytes(folder / "compare.svg", _plot(plotted).encode())
    sheet(folder / "compare.png", batches[0], networks)
    return [
        f"step {steps[-1]:.0f}, error of what was hidden, on scenes that trained nobody: stereo {last['stereo']['error']:.4f}, "
        f"left only {last['left_only']['error']:.4f}; stereo with misplaced right images {last['stereo']['misplaced']:.4f}",
        f"gain {summary['gain']:.4f} ± {summary['gain_standard_error']:.4f} (standard error), "
        f"{summary['pairs_better_in_stereo']} of {len(stereo)} pairs better in stereo",
        f"{folder}: compare.json, compare.svg, compare.png",
    ]


def _both(asked: PretrainRecipe) -> dict[str, PretrainRecipe]:
    return {mode: asked.model_copy(update={"left_only": left_only}) for mode, left_only in MODES.items()}


def _plot(scores: Mapping[str, list[dict[str, Any]]]) -> str:
    lines = {mode.replace("_", " "): [(row["step"], row["error"]) for row in rows] for mode, rows in scores.items()}
    lines["stereo, misplaced"] = [(row["step"], row["misplaced"]) for row in scores["stereo"]]
    values = [y for points in lines.values() for _, y in points]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) + 1e-6
    return line_plot("Error of the hidden patches, on scenes that trained nobody, by step", lines, low - margin, high + margin)
