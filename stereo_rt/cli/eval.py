"""`stereo-rt eval`: accuracy and confidence quality against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import matching_command

if TYPE_CHECKING:
    from ..config import Config


@matching_command
def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="FOLDER of Middlebury, ETH3D, KITTI, InStereo2K, SceneFlow or our layout, or LAYOUT:FOLDER."
        ),
    ],
    against: Annotated[
        str | None, typer.Option("--against", metavar="sgbm|NAME|FILE.onnx", help="Measure a second matcher beside it.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--scenes", metavar="N", min=1, help="Only so many, spread evenly over the dataset.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", metavar="all|NAME,...", help="Compare ways to tell right from wrong.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")] = None,
    report_file: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page to look at.")] = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="DIR", help="Write disparity and confidence here.")] = None,
    *,
    cfg: Config,
) -> None:
    """Measure accuracy and confidence quality on scenes with ground truth."""
    import json
    from contextlib import ExitStack, closing

    from rich.console import Console

    from ..atomic import write_bytes
    from ..confidence import chosen
    from ..datasets import open_dataset
    from ..evaluation import report
    from ..evaluation.album import Album
    from ..evaluation.page import page
    from ..evaluation.report import Observer, saver
    from ..evaluation.study import ConfidenceStudy, study_table
    from ..evaluation.table import table
    from ..matchers import create_matcher

    methods = chosen(confidence) if confidence else {}
    scenes = open_dataset(dataset)
    if count is not None and count < len(scenes):
        scenes = [scenes[k * len(scenes) // count] for k in range(count)]
    runs = [cfg.match]
    if against == "sgbm":
        runs.append(cfg.match.model_copy(update={"backend": "sgbm"}))
    elif against:
        backend = "auto" if cfg.match.backend == "sgbm" else cfg.match.backend
        runs.append(cfg.match.model_copy(update={"model": against, "backend": backend}))
    with ExitStack() as stack:
        first, *others = [stack.enter_context(closing(create_matcher(match))) for match in runs]
        status = stack.enter_context(Console(stderr=True).status("matching"))
        albums = [Album() for _ in runs] if report_file else []
        study = ConfidenceStudy(methods, first) if methods else None
        watching: list[Observer] = [*albums[:1], *([saver(save)] if save else []), *([study] if study else [])]
        results = [report.evaluate(first, scenes, watching, done=status.update)]
        results += [report.evaluate(matcher, scenes, albums[1:], done=status.update) for matcher in others]
    typer.echo(table(results))
    figures = results[0] | ({"against": results[1]} if against else {})
    if study:
        figures["confidence_methods"] = study.result()
        typer.echo(f"\n{study_table(figures['confidence_methods'])}")
    if json_file:
        write_bytes(json_file, json.dumps(figures, indent=1, allow_nan=False).encode())
    if report_file:
        name = Path(dataset).resolve().name
        write_bytes(report_file, page(name, results, albums, figures.get("confidence_methods")).encode())
