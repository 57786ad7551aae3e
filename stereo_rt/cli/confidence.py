"""`stereo-rt confidence`: a confidence of one's own, learned on hand-made cues."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import UsageError
from .options import matching_command
from .progress import progress_bar
from .training import quiet_threads

if TYPE_CHECKING:
    from ..config import Config

app = typer.Typer(help="Fit a confidence to a matcher's errors.", no_args_is_help=True, rich_markup_mode=None)
SYNTHETIC = "synthetic"


@app.callback()
def root() -> None:
    pass


@matching_command
def fit(
    scenes: Annotated[
        str, typer.Argument(metavar="SCENES", help="synthetic (drawn, exact truth), or a labelled FOLDER as for training.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.onnx", help="The fitted regressor.")],
    kind: Annotated[
        Literal["forest", "boosting", "neighbours"], typer.Option("--kind", help="What is fitted to the cues.")
    ] = "forest",
    count: Annotated[int, typer.Option("--scenes", min=2, help="Drawn scenes; of a folder, at most so many.")] = 80,
    pixels: Annotated[int, typer.Option("--pixels", min=1, help="Taken from each scene.")] = 250,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Turns in which scenes are left out.")] = 4,
    *,
    cfg: Config,
) -> None:
    """Learn to tell right from wrong (|e| < 1 px + 3 %) by cues such as the left-right difference and curvature.

    Settings are chosen by cross-validation that never shares a scene. Use the file with --confidence-from or eval --confidence.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"-o {out}: a regressor is stored as ONNX; name it {out.stem or 'confidence'}.onnx")
    quiet_threads()
    from contextlib import closing

    from ..confidence import fitting
    from ..confidence.samples import collect, drawn_scenes
    from ..datasets import open_dataset
    from ..matchers import create_matcher

    if scenes == SYNTHETIC:
        given, total = drawn_scenes(count), count
    else:
        labelled = open_dataset(scenes)[:count]
        given, total = (pair.load() for pair in labelled), len(labelled)
    with closing(create_matcher(cfg.match)) as matcher, progress_bar("match") as progress:
        samples = collect(given, matcher, pixels, done=lambda k: progress(k, total))
        name = matcher.spec.name
    fitted = fitting.fit(samples, kind, name, f"{total} of {scenes}", folds)
    fitting.write(fitted, out)
    card, scores = fitted.card, fitted.card.scores
    settings = ", ".join(f"{name} {value:g}" for name, value in card.settings.items())
    typer.echo(
        f"{out}: {kind} ({settings}) on {len(card.windows_px)} cues of {name}; "
        f"{scores['samples']} pixels of {total} scenes, {scores['right']:.0%} right; on scenes left out: "
        f"ROC-AUC {scores['roc_auc']:.3f}, log loss {scores['log_loss']:.3f}"
    )


app.command()(fit)
