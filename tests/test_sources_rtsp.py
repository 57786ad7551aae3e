"""An RTSP pair from a real server on loopback, stopped and started again mid-way."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import wait_for
from system_python import PYTHON, require

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError, SourceTimeout
from stereo_rt.frames import StereoFrame
from stereo_rt.sources import Source, open_source, rtsp
from stereo_rt.sources.arrival import ArrivalClock

CAPTURE = CaptureConfig(timeout_s=4.0, reopen_s=0.2, reopen_max_s=0.5, max_skew_ms=40.0)


class Server:
    def __init__(self) -> None:
        self.port = 0
        self.start()
        self.uri = f"rtsp://127.0.0.1:{self.port}/left,rtsp://127.0.0.1:{self.port}/right"

    def start(self) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self.process = subprocess.Popen([PYTHON, script, str(self.port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    require(
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        "assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')",
        "a GStreamer RTSP server with x264enc",
    )
    server = Server()
    yield server
    server.stop()


def next_frame(source: Source, after_ns: int = 0) -> StereoFrame:
    """The next one that arrived after that time."""
    found: list[StereoFrame] = []

    def came() -> bool:
        try:
            frame = source.read(0.5)
        except SourceTimeout:
            return False
        assert frame is not None
        found.append(frame)
        return frame.arrived_ns > after_ns

    wait_for(came, "a frame")
    return found[-1]


def choose(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if decoder == "pyav":
        pytest.importorskip("av")
    else:
        monkeypatch.setattr(rtsp.importlib.util, "find_spec", lambda name: None)


@pytest.mark.system
@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_a_pair_of_streams_survives_its_server(server: Server, decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(decoder, monkeypatch)
    source = open_source(server.uri, CAPTURE)
    try:
        frames = [next_frame(source) for _ in range(15)]
        assert source.live and source.size == (320, 240)
        assert all(abs(f.skew_ns) <= 40e6 for f in frames)
        assert all(b.stamp_ns > a.stamp_ns and b.index > a.index for a, b in itertools.pairwise(frames))
        assert frames[0].left.mean() < 40 < frames[0].right.mean()  # a ball on black, and colour bars

        server.stop()
        for eye in ("left", "right"):
            wait_for(lambda url=f"127.0.0.1:{server.port}/{eye}: lost": url in source.status.detail, "the loss is told")
        assert source.status.state == "stale"
        started_ns = time.monotonic_ns()
        server.start()
        after = next_frame(source, started_ns)
        assert after.size == (320, 240) and after.stamp_ns > frames[-1].stamp_ns
        wait_for(lambda: source.status.state == "ok", "ok again")
        assert source.status.reopened >= 2
    finally:
        source.close()


@pytest.mark.system
@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_streams_that_freeze_are_taken_up_again(server: Server, decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(decoder, monkeypatch)
    source = open_source(server.uri, CAPTURE)
    try:
        before = next_frame(source)
        server.process.send_signal(signal.SIGSTOP)  # the connections stay open, and silent
        wait_for(lambda: source.status.state == "stale", "stale")
        thawed_ns = time.monotonic_ns()
        server.process.send_signal(signal.SIGCONT)
        assert next_frame(source, thawed_ns).index > before.index
        wait_for(lambda: source.status.state == "ok", "ok again")
    finally:
        source.close()


def test_nobody_there_is_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:\d+/left: cannot be opened.*ffprobe"):
            open_source(f"rtsp://127.0.0.1:{port}/left,rtsp://127.0.0.1:{port}/right", CAPTURE)


def test_passwords_are_not_shown() -> None:
    shown = rtsp.without_password("rtsp://me:p,w@cam/l?x=a@b,rtsps://you@cam/r")
    assert shown == "rtsp://cam/l?x=a@b,rtsps://cam/r"


@given(st.lists(st.floats(0, 0.2), min_size=30, max_size=60), st.floats(-5e-5, 5e-5))
def test_the_arrival_clock_takes_the_jitter_out(delays_s: list[float], drift: float) -> None:
    """Stamps keep the stream's own spacing as soon as one image came with little delay."""
    clock, period_s = ArrivalClock(), 1 / 30
    delays_s[5] = 0.0
    stamps_s = []
    for i, delay_s in enumerate(delays_s):
        taken_s = 1000 + i * period_s
        stream_s = 7 + i * period_s * (1 + drift)
        stamps_s.append(clock.stamp_ns(round(stream_s * 1e9), round((taken_s + delay_s) * 1e9)) / 1e9)
    late_s = np.array(stamps_s) - (1000 + np.arange(len(stamps_s)) * period_s)
    assert (late_s[5:] < 1e-3).all() and (late_s[5:] > -1e-3).all()
    assert (late_s[:5] <= np.array(delays_s[:5]) + 1e-6).all()


@pytest.mark.parametrize("step_s", [-30.0, 30.0])
@pytest.mark.parametrize("length", [1, 60])
def test_a_wild_stamp_or_a_clock_that_was_set_spoils_few_stamps(step_s: float, length: int) -> None:
    """A camera's own clock is put right by NTP, or one stamp is nonsense: pairing must go on."""
    clock, late_s = ArrivalClock(), []
    for i in range(100):
        taken_s = 1000 + i / 30
        stream_s = 7 + i / 30 + (step_s if 20 <= i < 20 + length else 0.0)
        delay_s = 0.005 if i % 3 else 0.0
        late_s.append(clock.stamp_ns(round(stream_s * 1e9), round((taken_s + delay_s) * 1e9)) / 1e9 - taken_s)
    assert max(map(abs, late_s)) <= 0.0051
    assert max(abs(late) for i, late in enumerate(late_s) if i not in range(20, 24) and i not in range(80, 84)) <= 1e-3
