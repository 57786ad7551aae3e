"""What only a machine with an NVIDIA GPU can tell, in one go: engines, parity, latency, frames a second; one JSON file.

    python tools/gpu_check.py [-o engines/reports] [--flavour tensorrt|tensorrt_rtx] [--frames 600] [NETWORK|FILE.onnx ...]

Without networks: the shipped ones and student_m, with random weights when it is not shipped. Engines are kept under
$STEREO_RT_HOME. Times of the network are CUDA events around it, after a warm-up, images in rotation, medians of --frames
runs; rates are of the whole loop (rectified pairs from memory to masked depth). Where there is no GPU, the engines that can
be built ahead of time are built, and it says what was left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stereo_rt import paths
from stereo_rt.bench.loop import run_loop
from stereo_rt.bench.machine import machine
from stereo_rt.bench.report import figures
from stereo_rt.config import Config, MatchConfig
from stereo_rt.engine.build import ensure
from stereo_rt.engine.cache import Entry
from stereo_rt.engine.flavour import Flavour, available, load
from stereo_rt.engine.gpu import Gpu, find_gpu
from stereo_rt.engine.running import LoadedEngine
from stereo_rt.errors import StereoError
from stereo_rt.frames import StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import Matcher
from stereo_rt.matchers.models import ModelFile, find_model, shipped_models
from stereo_rt.matchers.onnx import OnnxMatcher
from stereo_rt.pipeline import Plan
from stereo_rt.sources.memory import MemorySource
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.telemetry import Sampler, find_probes
from stereo_rt.timing import timed_ms

SPEED_ONLY = "student_m"
PAIRS = 8
WARM_UP = 30

say = partial(print, flush=True)


def main() -> None:
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    gpu, names = find_gpu(), available()
    if not names:
        sys.exit("no TensorRT is installed here, so there is nothing to check: pip install 'stereo_rt[rtx]' or '[tensorrt]'")
    flavour = load(arguments.flavour or names[0 if gpu else -1])
    say(f"{flavour} on {gpu or 'a machine without GPU: engines are built ahead of time, and none is run'}")
    report: dict[str, Any] = {
        "machine": machine(),
        "flavour": str(flavour),
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "frames": arguments.frames,
    }
    with Sampler(find_probes()) as sampler:
        report["networks"] = [check(name, flavour, gpu, arguments.frames) for name in arguments.networks or default_networks()]
    report["telemetry"] = sampler.summary()
    slug = re.sub(r"\W+", "-", f"{gpu.name if gpu else 'no-gpu'} {flavour}").strip("-").lower()
    file = arguments.output / f"{slug}.json"
    arguments.output.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    say(f"written: {file}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK|FILE.onnx")
    parser.add_argument("-o", "--output", type=Path, default=paths.engines() / "reports")
    parser.add_argument("--flavour", choices=("tensorrt", "tensorrt_rtx"))
    parser.add_argument("--frames", type=int, default=600)
    return parser.parse_args()


def default_networks() -> list[str]:
    shipped = list(shipped_models())
    return shipped if SPEED_ONLY in shipped else [*shipped, str(random_weights(SPEED_ONLY))]


def random_weights(name: str) -> Path:
    """A network that knows nothing, exported once: its speed is that of the trained one."""
    from stereo_rt.engine.export import export_checked
    from stereo_rt.engine.origin import made_up

    file = paths.home() / f"{name}_random.onnx"
    if not file.is_file():
        origin = made_up(name)
        export_checked(origin.net, file, (640, 480), origin.facts, trained=False)
    return file


def check(name: str, flavour: Flavour, gpu: Gpu | None, frames: int) -> dict[str, Any]:
    """One network, as far as this machine goes; what fails is said in the report and does not end it."""
    found: dict[str, Any] = {"network": Path(name).stem, "trained": not name.endswith("_random.onnx")}
    try:
        model = find_model(name)
        entry = ensure(model, flavour, gpu=gpu, open_engine=runner(gpu, found["trained"]), say=say)
        side = entry.sidecar
        found |= {
            "sha256": model.sha256,
            "engine": side.key.digest,
            "precision": side.key.precision,
            "size": side.key.size,
            "build_s": round(side.build_s, 1),
            "engine_mb": round(entry.engine.stat().st_size / 1e6, 2),
            "layers": {"fp16": side.layers.fp16, "fp32": side.layers.fp32},
            "parity": str(side.parity) if side.parity else None,
        }
        if gpu is not None:
            found |= measured(model, entry, found["trained"], frames)
    except StereoError as e:
        found["failed"] = str(e)
    say(json.dumps({key: value for key, value in found.items() if key != "sha256"}))
    return found


def runner(gpu: Gpu | None, trained: bool) -> Callable[[Entry], Any] | None:
    return (lambda entry: closing(LoadedEngine(entry))) if gpu and trained else None


def measured(model: ModelFile, entry: Entry, trained: bool, frames: int) -> dict[str, Any]:
    """The engine with and without a CUDA graph, then the loop around it, and torch with CUDA beside it."""
    from stereo_rt.matchers.tensorrt import TensorRTMatcher

    width, height = entry.sidecar.key.size
    camera = SyntheticCamera(size=(width, height), cycle=PAIRS)
    pairs = [camera.frame(n) for n in range(PAIRS)]
    found: dict[str, Any] = {}
    for key, cuda_graph in (("cuda_graph", True), ("no_cuda_graph", False)):
        with closing(LoadedEngine(entry, cuda_graph=cuda_graph)) as engine:
            found[f"network_ms_{key}"] = network_ms(engine, pairs, frames)
    match = MatchConfig(model=entry.sidecar.model, backend="tensorrt")
    tensorrt = partial(TensorRTMatcher, match, trained=trained)
    reference = answers(lambda: OnnxMatcher(match.model_copy(update={"device": "cpu"})), pairs[:2])
    found["tensorrt"] = alone_and_loop(tensorrt, camera, pairs, reference, frames)
    try:
        import torch

        from stereo_rt.matchers.torch import TorchMatcher

        torch.backends.cudnn.benchmark = True
        for key, half in (("torch_fp32", False), ("torch_fp16_autocast", True)):
            context = partial(torch.autocast, "cuda", torch.float16) if half else nullcontext
            twin = partial(InContext, partial(TorchMatcher, match.model_copy(update={"device": "cuda"})), context)
            found[key] = alone_and_loop(twin, camera, pairs, reference, max(50, frames // 6))
    except (ImportError, StereoError) as e:
        found["torch"] = f"not run: {e}"
    return found


class InContext:
    """A matcher that is called inside a context, such as torch's autocast."""

    def __init__(self, make: Callable[[], Matcher], context: Callable[[], Any]) -> None:
        self._matcher, self._context = make(), context
        self.spec, self.close = self._matcher.spec, self._matcher.close

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Any:
        with self._context():
            return self._matcher(left, right)


def network_ms(engine: LoadedEngine, pairs: list[StereoFrame], frames: int) -> dict[str, float]:
    engine.network_ms(WARM_UP)
    times_ms = []
    for n in range(frames):
        pair = pairs[n % len(pairs)]
        engine(pair.left, pair.right)
        times_ms += engine.network_ms(1)
    return rounded(figures(times_ms))


def answers(make: Callable[[], Matcher], pairs: list[StereoFrame]) -> np.ndarray:
    with closing(make()) as matcher:
        return np.stack([matcher(pair.left, pair.right).disparity_px for pair in pairs])


def alone_and_loop(
    make: Callable[[], Matcher], camera: SyntheticCamera, pairs: list[StereoFrame], reference: np.ndarray, frames: int
) -> dict[str, Any]:
    """The matcher by itself, image in to map out, then the whole loop from memory; and how far it is from ONNX Runtime."""
    apart_px = np.abs(answers(make, pairs[: len(reference)]) - reference)
    with closing(make()) as matcher:
        calls = [partial(matcher, pair.left, pair.right) for pair in pairs]
        for n in range(WARM_UP):
            calls[n % len(calls)]()
        alone_ms = [timed_ms(calls[n % len(calls)]) for n in range(frames)]
    rig = camera.calibration
    assert isinstance(rig, RectifiedRig)
    loop = run_loop(MemorySource(pairs), make, lambda size, spec: Plan(rig), Config(), frames)
    return {
        "matcher_ms": rounded(figures(alone_ms)),
        "loop_fps": round(1e3 / float(np.mean(loop.intervals_ms)), 1),
        "loop_cpu_ms": round(loop.cpu_ms, 3),
        "apart_px": rounded({"median": float(np.median(apart_px)), "p99": float(np.percentile(apart_px, 99))}),
    }


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


if __name__ == "__main__":
    main()
