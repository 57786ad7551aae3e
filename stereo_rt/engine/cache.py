"""Where built engines are kept: NAME.engine, pure, as trtexec would write and load it, and NAME.json beside it (sidecar.py).

The sidecar is written last and holds the engine's checksum, so an engine without one, or with another one, was never
finished or is damaged, and is not used. NAME ends in the hash of the key: nothing is ever replaced by something else.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from .. import paths
from ..atomic import replacing, write_bytes
from ..errors import OutputError
from .gate import Parity
from .key import Key
from .sidecar import Sidecar, read_sidecar, write_sidecar


def default_root() -> Path:
    """$STEREO_RT_HOME/engines where that is set, else engines/cache of a checkout, else a folder of the user's."""
    in_checkout = paths.artefacts() == paths.PACKAGE.parent
    return paths.engines() / "cache" if in_checkout and not os.environ.get("STEREO_RT_HOME") else paths.home() / "engines"


@dataclass(frozen=True)
class Entry:
    """engine: the pure engine file."""

    engine: Path
    sidecar: Sidecar

    def damage(self) -> str | None:
        """What is wrong with the engine file, or None. Reads it all."""
        try:
            found = hashlib.sha256(self.engine.read_bytes()).hexdigest()
        except OSError as e:
            return f"cannot be read ({e.strerror})"
        expected = self.sidecar.engine_sha256
        return None if found == expected else f"is damaged: its checksum is {found[:12]}... and should be {expected[:12]}..."


class EngineCache:
    """Reading never writes, so a cache that is mounted read-only works."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def entries(self) -> list[Entry]:
        """Every engine with a readable sidecar, oldest first; whether the engine file is whole is asked of each."""
        found = [(file, read_sidecar(file)) for file in sorted(self.root.glob("[!.]*.json"))]
        return sorted(
            (Entry(file.with_suffix(".engine"), sidecar) for file, sidecar in found if sidecar),
            key=lambda entry: entry.sidecar.built_at,
        )

    def find(self, key: Key) -> Entry | None:
        """The whole, undamaged engine of this very key."""
        return next((e for e in self.entries() if e.sidecar.key == key and e.damage() is None), None)

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """One process at a time builds or prunes here: two builds on one GPU would also spoil each other's timings.

        The system frees the lock of a process that dies. waiting: called once when another one has it. Raises OutputError.
        """
        import fcntl

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("a")
        except OSError as e:
            raise OutputError(
                f"{self.root}: engines cannot be kept there ({e.strerror}); export STEREO_RT_HOME=a folder of yours"
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def store(self, plan: bytes, sidecar: Sidecar) -> Entry:
        """Keep an engine; its checksum is filled in. Raises OutputError, and then nothing of it is left."""
        key = sidecar.key
        name = re.sub(r"[^\w.-]+", "_", Path(sidecar.model).stem)
        engine = self.root / f"{name}-{key.precision}-{key.flavour}-{key.digest[:16]}.engine"
        sidecar = replace(sidecar, engine_sha256=hashlib.sha256(plan).hexdigest())
        write_bytes(engine, plan)
        try:
            write_sidecar(engine.with_suffix(".json"), sidecar)
        except OutputError:
            with suppress(OSError):
                engine.unlink()
            raise
        return Entry(engine, sidecar)

    def judged(self, entry: Entry, parity: Parity) -> Entry:
        """The entry with what the gate found written down. Raises OutputError."""
        entry = replace(entry, sidecar=replace(entry.sidecar, parity=parity))
        write_sidecar(entry.engine.with_suffix(".json"), entry.sidecar)
        return entry

    def remove(self, entry: Entry) -> None:
        """The sidecar first: without it nobody uses the rest. Raises OutputError."""
        for file in (entry.engine.with_suffix(".json"), *self.root.glob(f"{entry.engine.stem}.*")):
            try:
                file.unlink(missing_ok=True)
            except OSError as e:
                raise OutputError(f"{file}: cannot be removed ({e.strerror}); see who owns the folder") from None

    def expected_s(self, key: Key) -> float | None:
        """What builds of this flavour for such a machine have taken; the same network's count alone where there are any."""
        alike = [e.sidecar for e in self.entries() if (e.sidecar.key.flavour, e.sidecar.key.gpu) == (key.flavour, key.gpu)]
        same = [s for s in alike if s.key.onnx_sha256 == key.onnx_sha256]
        return median(s.build_s for s in same or alike) if alike else None

    def timing_file(self, key: Key) -> Path:
        """TensorRT's timing cache: of one flavour, version and GPU."""
        machine = re.sub(r"[^\w.-]+", "_", key.gpu or "any")
        return self.root / f"timing-{key.flavour}-{key.version}-{machine}.cache"

    def read_timing(self, key: Key) -> bytes:
        try:
            return self.timing_file(key).read_bytes()
        except OSError:
            return b""

    def write_timing(self, key: Key, timing: bytes) -> None:
        with replacing(self.timing_file(key)) as temporary:
            temporary.write_bytes(timing)
