"""Ctrl-C and SIGTERM on the real command: it ends by itself, and what it was writing is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stereo_rt.sources import open_source

PATIENCE_S = 60


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_live_view_that_is_ended_leaves_a_whole_recording(tmp_path: Path, sent: signal.Signals, exit_code: int) -> None:
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "stereo_rt", "view", "synthetic://room?raw=1", "--web", "auto", "--record", "take.mkv"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job may ignore it
    ) as process:
        try:
            assert process.stdout
            assert "http://127.0.0.1:" in process.stdout.readline()
            _wait_until_it_records(tmp_path)
            process.send_signal(sent)
            _, complaints = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == exit_code, complaints
    assert "Traceback" not in complaints
    recording = open_source(f"{tmp_path / 'take.mkv'}?layout=sbs")
    assert recording.read(PATIENCE_S) is not None
    recording.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["take.mkv", "take.mkv.calib.yaml"], "nothing half-written stays"


def _wait_until_it_records(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not any(p.stat().st_size > 0 for p in folder.iterdir() if "take" in p.name and "calib" not in p.name):
        assert time.monotonic() < deadline, "nothing was recorded"
        time.sleep(0.1)
