"""What a monocular prior is worth: the error of what is filled in where stereo is not sure, against other ways to fill.

    python tools/prior_gain.py --mono NAME|FILE.onnx [--stand-in D] [--dataset FOLDER] [--drawn N] [--matcher NAME ...]

--stand-in D: the truth itself, distorted by D, instead of a network: 0 is exact, 0.1 halves the error of rows,
about 0.5 is no better than rows. It tells what a network would have to reach.
--dataset: scenes with ground truth, as stereo-rt eval takes them. --drawn: so many drawn scenes that trained nobody.
--matcher: sgbm, a shipped name or a FILE.onnx; repeatable. --json FILE keeps every figure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stereo_rt.atomic import write_bytes
from stereo_rt.config import Config, MatchConfig
from stereo_rt.datasets import open_dataset
from stereo_rt.errors import StereoError
from stereo_rt.evaluation.filling import FillingStudy, MonoMap, filling_table
from stereo_rt.evaluation.report import evaluate
from stereo_rt.holes import fill_rows
from stereo_rt.matchers import create_matcher
from stereo_rt.mono import open_mono
from stereo_rt.sinks.files import write_pfm


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mono", action="append", default=[], metavar="NAME|FILE.onnx")
    parser.add_argument("--stand-in", action="append", type=float, default=[], metavar="D")
    parser.add_argument("--clone", type=Path, help="code of an adapter's network")
    parser.add_argument("--checkpoint", type=Path, help="weights of an adapter's network")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER")
    parser.add_argument("--drawn", type=int, default=0, metavar="N")
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"), help="of drawn scenes")
    parser.add_argument("--matcher", action="append", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = {name: dict(judged(name, args, Path(folder))) for name in args.matcher or ["student_s", "sgbm"]}
    except StereoError as e:
        raise SystemExit(str(e)) from None
    if args.json:
        write_bytes(args.json, json.dumps(figures, indent=1).encode())


def judged(matcher: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """{where: figures}, printed as they come."""
    places = {"dataset": args.dataset} if args.dataset else {}
    if args.drawn:
        draw(folder / "drawn", args.drawn, tuple(args.size))
        places["drawn"] = folder / "drawn"
    match = MatchConfig(backend="sgbm") if matcher == "sgbm" else MatchConfig(model=matcher, backend="onnx")
    found = {}
    with ExitStack() as stack:
        maps: dict[str, MonoMap] = {}
        for name in args.mono:
            network = stack.enter_context(closing(open_mono(name, MatchConfig(), args.clone, args.checkpoint)))
            maps[Path(name).stem] = lambda matched, network=network: network(matched.given.left)
        maps |= {f"stand-in {d:g}": lambda matched, d=d: distorted(matched.given.truth_px, d) for d in args.stand_in}
        engine = stack.enter_context(closing(create_matcher(match)))
        for where, place in places.items():
            study = FillingStudy(maps, Config().post)
            evaluate(engine, open_dataset(place), [study])
            found[where] = study.result()
            print(f"\n{matcher}, {where}\n{filling_table(found[where])}", flush=True)
    return found


def distorted(truth_px: np.ndarray, by: float) -> np.ndarray:
    """(H, W) float32 relative inverse depth: the truth, blurred, bent, and with smooth errors of `by` standard deviations.

    Always the same for the same truth. Where there is none, along rows from where there is.
    """
    known = np.isfinite(truth_px)
    whole = np.nan_to_num(fill_rows(truth_px, known), nan=float(np.median(truth_px[known])))
    if by == 0:
        return whole
    height, width = whole.shape
    blurred = cv2.GaussianBlur(whole, (0, 0), width / 160 * (1 + 3 * by))
    bent = (blurred / blurred.max()) ** max(1 - 0.2 * by, 0.6)
    waves = np.random.default_rng(known.sum()).normal(size=(5, 6)).astype(np.float32)
    return (bent + by * bent.std() * cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC)).astype(np.float32)


def draw(folder: Path, number: int, size: tuple[int, int]) -> None:
    """Scenes that trained nobody, as folders that stereo-rt eval reads. Once."""
    import torch

    from stereo_rt.training.held_out import held_out

    if folder.is_dir():
        return
    for k, batch in enumerate(held_out(size, 1, number, torch.device("cpu"))):
        scene = folder / f"{k:04d}"
        scene.mkdir(parents=True)
        for eye in ("left", "right"):
            rgb = getattr(batch, eye)[0].permute(1, 2, 0).mul(255).round().to(torch.uint8).numpy()
            cv2.imwrite(str(scene / f"{eye}.png"), rgb[..., ::-1])
        truth = batch.disparity_px[0].numpy()
        write_pfm(scene / "disp.pfm", np.where(truth > 0, truth, np.float32(np.nan)))
        encoding = {"file": "disp.pfm", "scale": 1.0, "invalid": "inf"}
        (scene / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))


if __name__ == "__main__":
    main()
