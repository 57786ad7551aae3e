"""Recordings of ROS messages, made for a test: pictures, rows of messages, the file, and the pairs read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stereo_rt import rosmsg
from stereo_rt.calib.rig import StereoRig
from stereo_rt.config import CaptureConfig
from stereo_rt.frames import StereoFrame
from stereo_rt.sinks.mcap import Messages
from stereo_rt.sources import open_source

CAMERA = "synthetic://room?raw=1&width=160&height=120&frames=4"
MS = 1_000_000


def played(uri: str, **capture: Any) -> list[StereoFrame]:
    source = open_source(uri, CaptureConfig(**capture))
    try:
        return list(iter(lambda: source.read(5), None))
    finally:
        source.close()


def picture(seed: int, shape: tuple[int, ...] = (32, 48, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def raw_rig(**changes: Any) -> StereoRig:
    source = open_source(CAMERA)
    source.close()
    assert isinstance(source.calibration, StereoRig)
    return replace(source.calibration, **changes)


def write(path: Path, rows: list[tuple[str, str, dict, int]]) -> Path:
    """Writes (topic, kind, message, log_ns) rows as an MCAP file."""
    file = Messages(path)
    for row in rows:
        file.add(*row)
    file.close()
    return path


def images(
    topics: tuple[str, str], stamps_ms: list[tuple[float, float]], make: Callable[[int, int], dict] | None = None
) -> list:
    """A row per eye and pair of stamps."""
    make = make or (lambda seed, stamp: rosmsg.image(picture(seed), stamp, "c"))
    rows = []
    for n, stamps in enumerate(stamps_ms):
        for eye, topic in enumerate(topics):
            stamp = round(stamps[eye] * MS)
            message = make(2 * n + eye, stamp)
            rows.append((topic, rosmsg.IMAGE if "encoding" in message else rosmsg.COMPRESSED, message, stamp))
    return rows
