"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stereo_rt.engine.gpu import Gpu, find_gpu

# Threads that spin between small operations take the cores from the processes under test.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shared machine stalls now and then; that says nothing about the code.
settings.register_profile("stereo_rt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stereo_rt")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a background job, whose commands would never hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout's root."""
    return REPO


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and calibrations, which lie beside the checkout on some machines; skips where they do not."""
    data = REPO.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the real data is not on this machine")
    return data


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The NVIDIA GPU here, with PyCUDA to run engines on it; skips where either is absent."""
    found = find_gpu()
    if found is None or not find_spec("pycuda"):
        pytest.skip("there is no NVIDIA GPU here, or no PyCUDA")
    return found


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test keeps goes to a folder of its own, not to the user's."""
    monkeypatch.setenv("STEREO_RT_HOME", str(tmp_path_factory.getbasetemp() / "home"))
