"""Engines: found in the cache, or built, put through the parity gate and kept. Building needs onnx."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from queue import Empty, Queue

from .. import paths
from ..errors import CheckFailed, ModelError, OutputError
from ..matchers.models import ModelFile, Signature
from .cache import EngineCache, Entry
from .flavour import EXTRAS, OPTIONS, Built, Flavour
from .gate import LIMITS, Run, measure, onnx_run
from .gpu import Gpu
from .jetson import missing
from .key import PRECISIONS, Key, Wanted
from .phases import Phases
from .sidecar import Sidecar

log = logging.getLogger(__name__)

NORMALISATION = "uint8 BGR in; RGB divided by 255 inside the engine"

TICK_S = 0.1
STOPS = (signal.SIGINT, signal.SIGTERM)
Show = Callable[[Phases, float, float | None], None]
"""Called a few times a second during a build: where it is, seconds so far, seconds expected (None: nobody knows)."""
Open = Callable[[Entry], AbstractContextManager[Run]]
"""Runs an engine on the GPU that is here, for the gate."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network as it is fed to a builder, and what its sidecar will say of it."""

    graph: bytes
    io: Signature
    max_disparity_px: float

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.graph).hexdigest()


def prepare(model: ModelFile, precision: str, flavour: str) -> Prepared:
    """Wrap a network's file (wrapped.py). precision: of PRECISIONS. Raises ModelError, MissingExtra."""
    if precision not in PRECISIONS:
        raise ModelError(f"{model.name}: an engine computes in {' or '.join(PRECISIONS)}, not in {precision}")
    try:
        import onnx
    except ImportError:
        raise missing("preparing a network for TensorRT", EXTRAS[flavour], "pip install onnx") from None
    from .wrapped import network_signature, wrapped

    try:
        source = onnx.load(model.path)
    except Exception as e:  # protobuf's DecodeError, or whatever a file of external weights lacks
        raise ModelError(f"{model.path}: cannot be read as ONNX ({e}); check that it is a whole file") from None
    io = network_signature(source, model.name)
    facts = {p.key: p.value for p in source.metadata_props}
    graph = wrapped(source, precision, model.name).SerializeToString()
    return Prepared(graph, io, float(facts.get("max_disparity_px", io.width)))


def ensure(
    model: ModelFile,
    flavour: Flavour,
    *,
    gpu: Gpu | None,
    precision: str = "fp16",
    targets: tuple[str, ...] = (),
    rebuild: bool = False,
    cache: EngineCache | None = None,
    open_engine: Open | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Show = lambda phases, elapsed_s, expected_s: None,
) -> Entry:
    """The engine of a network: as it is in the cache, or built now.

    gpu: the one that is here. targets: compute capabilities to build for ahead of time, () for the GPU here or, without
    one, for all. open_engine: runs the gate where the GPU here runs the engine; an engine in fp16 that fails it is
    replaced by one in fp32. say: told what happens. Raises ModelError, MissingExtra, OutputError, CheckFailed (then
    nothing is kept); KeyboardInterrupt and SystemExit stop the build.
    """
    cache = cache or EngineCache()
    prepared = prepare(model, precision, flavour.name)
    here = targets or flavour.targets_for(gpu)
    key = Key(
        onnx_sha256=model.sha256,
        graph_sha256=prepared.sha256,
        precision=precision,
        size=(prepared.io.width, prepared.io.height),
        flavour=flavour.name,
        version=flavour.version,
        gpu=gpu.name if gpu and not flavour.ahead_of_time else None,
        targets=here,
        options=OPTIONS,
    )
    if not rebuild and (entry := cache.find(key)) and not _to_judge(entry, gpu, open_engine):
        say(f"{entry.engine}: already built")
        return entry
    with cache.lock(lambda: say("another process is building; waiting for it")):
        entry = None if rebuild else cache.find(key)
        if entry:
            say(f"{entry.engine}: already built")
        else:
            say(f"{model.name}: building in {precision} with {flavour} for {key.machine}")
            entry = _build(model, flavour, key, prepared, cache, show)
        if open_engine is None or not _to_judge(entry, gpu, open_engine):
            return entry
        assert gpu is not None
        try:
            with open_engine(entry) as run:
                return judge(entry, model, run, gpu, cache, say)
        except CheckFailed:
            if precision == "fp32":
                raise
            say("that is too far apart; building in fp32 instead")
    return ensure(
        model, flavour, gpu=gpu, precision="fp32", targets=targets, cache=cache, open_engine=open_engine, say=say, show=show
    )


def judge(
    entry: Entry,
    model: ModelFile,
    run: Run,
    gpu: Gpu,
    cache: EngineCache | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Entry:
    """Put an engine through the gate (gate.py) and write the figures into its sidecar; one that fails is removed.

    An engine built without a GPU comes here when it is first run on one: `entry.sidecar.parity` is None, or of another
    GPU. run: the engine, on `gpu`. Raises CheckFailed.
    """
    cache, key = cache or EngineCache(entry.engine.parent), entry.sidecar.key
    reference = onnx_run(prepare(model, "fp32", key.flavour).graph)
    parity = measure(reference, run, key.size, gpu.name)
    say(f"parity with ONNX Runtime in FP32: {parity}")
    if not parity.holds:
        command = build_command(model, gpu, "fp32", key.flavour)
        next_step = "use --backend onnx" if key.precision == "fp32" else f"build it with: {command}"
        try:
            cache.remove(entry)
        except OutputError as e:
            next_step = f"remove it ({e}), then {next_step}"
        raise CheckFailed(
            f"{model.name}: its {key.precision} engine on {gpu.name} differs too much from ONNX Runtime in FP32 ({parity}; "
            f"allowed are {LIMITS}) and is not used; {next_step}"
        )
    try:
        return cache.judged(entry, parity)
    except OutputError as e:  # a read-only cache: the engine is good all the same
        log.warning("the parity figures are not kept: %s", e)
        return entry


def find_engine(
    model: ModelFile, flavour: Flavour, gpu: Gpu, precision: str | None = None, cache: EngineCache | None = None
) -> Entry:
    """The engine to run a network with on this GPU, never built here; fp16 before fp32 when precision is None.

    Judged by the sidecars alone, before TensorRT sees any engine. Raises ModelError: both sides, and the command.
    """
    cache = cache or EngineCache()
    wanted = Wanted(model.sha256, flavour.name, flavour.version, gpu, precision)
    entries = [e for e in cache.entries() if e.sidecar.key.onnx_sha256 == model.sha256 or e.sidecar.model == _argument(model)]
    problems = []
    for entry in sorted(entries, key=lambda e: (len(wanted.differences(e.sidecar.key)), e.sidecar.key.precision)):
        problem = _problem(entry, wanted, model)
        if problem is None:
            return entry
        problems.append(problem)
    reason = f"no engine of {model.name} fits here ({problems[0]})" if problems else f"there is no engine of {model.name} yet"
    raise ModelError(f"{reason}; build it with: {build_command(model, gpu, precision, flavour.name)}")


def differences(key: Key, wanted: Wanted, model: ModelFile) -> list[str]:
    """Wanted.differences, and whether this version would still feed the same graph, which takes a second to find out.

    Raises ModelError, MissingExtra.
    """
    if found := wanted.differences(key):
        return found
    return replace(wanted, graph_sha256=prepare(model, key.precision, key.flavour).sha256).differences(key)


def build_command(model: ModelFile, gpu: Gpu, precision: str | None, flavour: str) -> str:
    """What makes an engine of this network on this GPU. precision: None for the usual one."""
    choice = f" --precision {precision}" if precision else ""
    return f"{gpu.alone}stereo-rt build {_argument(model)} --flavour {flavour}{choice}"


def _problem(entry: Entry, wanted: Wanted, model: ModelFile) -> str | None:
    """Why an engine is not the one wanted; what costs more to find out is asked last."""
    if different := differences(entry.sidecar.key, wanted, model):
        return f"{entry.engine.name}: {', and '.join(different)}"
    damage = entry.damage()
    return damage and f"{entry.engine} {damage}"


def _build(model: ModelFile, flavour: Flavour, key: Key, prepared: Prepared, cache: EngineCache, show: Show) -> Entry:
    timing = None if flavour.ahead_of_time else cache.read_timing(key)
    phases, expected_s, start = Phases(), cache.expected_s(key), time.monotonic()
    built = _interruptible(
        lambda: flavour.build(prepared.graph, model.name, key.precision, key.targets, timing, phases),
        phases,
        flavour.stoppable,
        lambda: show(phases, time.monotonic() - start, expected_s),
    )
    if built.timing is not None:
        cache.write_timing(key, built.timing)
    sidecar = Sidecar(
        model=_argument(model),
        key=key,
        engine_sha256="",
        inputs=built.inputs,
        outputs=built.outputs,
        normalisation=NORMALISATION,
        max_disparity_px=prepared.max_disparity_px,
        has_confidence=prepared.io.confidence is not None,
        layers=built.layers,
        memory_bytes=built.memory_bytes,
        parity=None,
        build_s=round(time.monotonic() - start, 3),
        built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return cache.store(built.plan, sidecar)


def _interruptible(work: Callable[[], Built], phases: Phases, stoppable: bool, tick: Callable[[], None]) -> Built:
    """Run work() on a thread of its own, so that Ctrl-C, SIGTERM and the progress bar are served meanwhile.

    On the main thread a Ctrl-C would be raised inside whatever TensorRT calls back, from where it cannot come out.
    """
    results: Queue[Built | BaseException] = Queue()
    ended = threading.Event()

    def run() -> None:
        try:
            results.put(work())
        except BaseException as e:
            results.put(e)
        ended.set()

    thread = threading.Thread(target=run, name="engine builder", daemon=True)
    try:
        # A signal that came while the thread starts would leave it unknown whether it did.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while True:
            tick()
            with suppress(Empty):
                result = results.get(timeout=TICK_S)
                break
    except BaseException as e:
        _end(thread, ended, phases, stoppable or isinstance(e, Exception))
        raise
    if isinstance(result, BaseException):
        raise result
    return result


def _end(thread: threading.Thread, ended: threading.Event, phases: Phases, stoppable: bool) -> None:
    """Stop a build and wait until it has; where it cannot be stopped, or at a second Ctrl-C, end the process at once.

    Python aborts with a dump of itself when it ends while TensorRT still calls it. An event is waited for, as a thread
    whose join() was interrupted passes for dead.
    """
    if thread.ident is None:
        return
    with suppress(KeyboardInterrupt, SystemExit):
        phases.stop()
        if stoppable:
            ended.wait()
            return
    os._exit(128 + signal.SIGINT)


def _to_judge(entry: Entry, gpu: Gpu | None, open_engine: Open | None) -> bool:
    """Whether the gate can and should run: it has not, on this GPU, and the engine is for it."""
    return gpu is not None and open_engine is not None and entry.sidecar.key.runs_on(gpu) and not entry.sidecar.judged_on(gpu)


def _argument(model: ModelFile) -> str:
    """What names a network on the command line: a shipped one's name, or the file."""
    return model.name if model.path.parent == paths.engines() else str(model.path)
