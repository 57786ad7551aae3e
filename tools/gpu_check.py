"""What only a machine with an NVIDIA GPU can tell, in one go: engines, parity, latency, frames a second; one JSON file.

    python tools/gpu_check.py [-o engines/reports] [--flavour tensorrt|tensorrt_rtx] [--frames 600] [NETWORK|FILE.onnx ...]

Without networks: the shipped ones. Engines are kept under $STEREO_RT_HOME. Times of the network are CUDA events around it,
after a warm-up, images in rotation, medians of --frames runs; rates are of the whole loop (rectified pairs from memory to
masked depth). Torch with CUDA runs beside it where it is installed. Where there is no GPU, the engines that can be built ahead
of time are built, and it says what was left out.
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
from stereo_rt.atomic import write_bytes
from stereo_rt.bench.loop import run_loop
from stereo_rt.bench.machine import machine
from stereo_rt.bench.report import figures
from stereo_rt.config import Config, MatchConfig
from stereo_rt.engine.build import ensure
from stereo_rt.engine.flavour import Flavour, available, load
from stereo_rt.engine.gpu import Gpu, find_gpu
from stereo_rt.engine.running import LoadedEngine
from stereo_rt.errors import StereoError
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import Matcher
from stereo_rt.matchers.models import find_model, originals, shipped_models
from stereo_rt.matchers.onnx import OnnxMatcher
from stereo_rt.plan import Plan
from stereo_rt.sources.memory import MemorySource
from stereo_rt.sources.synthetic import SyntheticCamera
from stereo_rt.telemetry import Sampler, find_probes
from stereo_rt.timing import timed_ms

PAIRS = 8
WARM_UP = 30

say = partial(print, flush=True)


def main() -> None:
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    gpu, names = find_gpu(), available()
    if not (gpu or names):
        sys.exit("there is neither an NVIDIA GPU here nor TensorRT, so nothing can be checked; see: stereo-rt doctor")
    flavour = load(arguments.flavour or names[0 if gpu else -1]) if names else None
    say(f"{flavour or 'no TensorRT'} on {gpu or 'a machine without GPU: engines are built ahead of time, and none is run'}")
    shipped = shipped_models()
    networks = arguments.networks or [name for name in originals() if "precision" not in shipped[name]]
    slug = re.sub(r"\W+", "-", f"{gpu.name if gpu else 'no gpu'} {flavour}").strip("-").lower()
    file, found = arguments.output / f"{slug}.json", []
    with Sampler(find_probes()) as sampler:
        for name in networks:
            found.append(check(name, flavour, gpu, arguments.frames))
            report = {
                "machine": machine(),
                "flavour": str(flavour),
                "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "frames": arguments.frames,
                "networks": found,
                "telemetry": sampler.summary(),
            }
            write_bytes(file, (json.dumps(report, indent=1) + "\n").encode())
            say(f"written: {file}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK|FILE.onnx")
    parser.add_argument("-o", "--output", type=Path, default=paths.engines() / "reports")
    parser.add_argument("--flavour", choices=("tensorrt", "tensorrt_rtx"))
    parser.add_argument("--frames", type=int, default=600)
    return parser.parse_args()


def check(name: str, flavour: Flavour | None, gpu: Gpu | None, frames: int) -> dict[str, Any]:
    """One network, as far as this machine goes; a part that fails is said in the report and does not end it."""
    found: dict[str, Any] = {"network": Path(name).stem, "trained": not name.endswith("_random.onnx")}
    try:
        bench = Bench(name, frames) if gpu else None
    except Exception as e:
        say(f"{found['network']}: {failure(e)}")
        return found | {"failed": failure(e)}
    parts = {"engine": partial(engine, name, flavour, gpu, found["trained"], bench) if flavour else None}
    for key, half in (("torch_fp32", False), ("torch_fp16_autocast", True)):
        parts[key] = partial(torch_twin, name, half, bench) if bench else None
    for key, part in parts.items():
        try:
            found[key] = part() if part else None
        except Exception as e:  # memory that is full, cuDNN, the driver: the other parts may still tell something
            found[key] = {"failed": failure(e)}
        say(f"{found['network']}, {key}: {json.dumps(found[key])}")
    return found


def failure(error: Exception) -> str:
    return str(error) if isinstance(error, StereoError) else f"{type(error).__name__}: {error}"


def engine(name: str, flavour: Flavour, gpu: Gpu | None, trained: bool, bench: Bench | None) -> dict[str, Any]:
    """Built and put through the gate; then timed with and without a CUDA graph, alone and in the loop."""
    from stereo_rt.matchers.tensorrt import TensorRTMatcher

    gate = (lambda entry: closing(LoadedEngine(entry))) if gpu and trained else None
    entry = ensure(find_model(name), flavour, gpu=gpu, open_engine=gate, say=say)
    side = entry.sidecar
    found: dict[str, Any] = {
        "onnx_sha256": side.key.onnx_sha256,
        "key": side.key.digest,
        "precision": side.key.precision,
        "size": side.key.size,
        "build_s": round(side.build_s, 1),
        "engine_mb": round(entry.engine.stat().st_size / 1e6, 2),
        "layers": {"fp16": side.layers.fp16, "fp32": side.layers.fp32},
        "parity": str(side.parity) if side.parity else None,
    }
    if bench is None:
        return found
    for key, cuda_graph in (("cuda_graph", True), ("no_cuda_graph", False)):
        with closing(LoadedEngine(entry, cuda_graph=cuda_graph)) as loaded:
            found[f"network_ms_{key}"] = bench.network_ms(loaded)
    return found | bench.matcher(partial(TensorRTMatcher, bench.match("tensorrt", "auto"), trained=trained, entry=entry))


def torch_twin(name: str, half: bool, bench: Bench) -> dict[str, Any]:
    """The same network in torch with CUDA, in FP32 (cuDNN may use TF32) or in FP16 where autocast puts it."""
    import torch

    from stereo_rt.matchers.torch import TorchMatcher

    torch.backends.cudnn.benchmark = True
    context = partial(torch.autocast, "cuda", torch.float16) if half else nullcontext
    return bench.matcher(partial(InContext, partial(TorchMatcher, bench.match("torch", "cuda")), context))


class InContext:
    """A matcher that is called inside a context, such as torch's autocast."""

    def __init__(self, make: Callable[[], Matcher], context: Callable[[], Any]) -> None:
        self._matcher, self._context = make(), context
        self.spec, self.close = self._matcher.spec, self._matcher.close

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Any:
        with self._context():
            return self._matcher(left, right)


class Bench:
    """Rendered pairs of a network's own size, and what ONNX Runtime says of the first of them."""

    def __init__(self, name: str, frames: int) -> None:
        self.name, self.frames = name, frames
        with closing(OnnxMatcher(self.match("onnx", "cpu"))) as reference:
            assert reference.spec.width and reference.spec.height
            self._camera = SyntheticCamera(size=(reference.spec.width, reference.spec.height), cycle=PAIRS)
            self.pairs = [self._camera.frame(n) for n in range(PAIRS)]
            self._truth_px = [reference(pair.left, pair.right).disparity_px for pair in self.pairs[:2]]

    def match(self, backend: str, device: str) -> MatchConfig:
        return MatchConfig.model_validate({"model": self.name, "backend": backend, "device": device})

    def network_ms(self, loaded: LoadedEngine) -> dict[str, float]:
        loaded.network_ms(WARM_UP)
        times_ms = []
        for n in range(self.frames):
            pair = self.pairs[n % PAIRS]
            loaded(pair.left, pair.right)
            times_ms += loaded.network_ms(1)
        return rounded(figures(times_ms))

    def matcher(self, make: Callable[[], Matcher]) -> dict[str, Any]:
        """By itself, images in to maps out; then in the whole loop from memory; and how far it is from ONNX Runtime."""
        with closing(make()) as matcher:
            calls = [partial(matcher, pair.left, pair.right) for pair in self.pairs]
            apart_px = np.abs([call().disparity_px - px for call, px in zip(calls, self._truth_px, strict=False)])
            for n in range(WARM_UP):
                calls[n % PAIRS]()
            alone_ms = [timed_ms(calls[n % PAIRS]) for n in range(self.frames)]
        rig = self._camera.calibration
        assert isinstance(rig, RectifiedRig)
        loop = run_loop(MemorySource(self.pairs), make, lambda size, spec: Plan(rig), Config(), self.frames)
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
