"""GStreamer pipelines: for real with the system's OpenCV, and the sentence where OpenCV has no GStreamer."""

from __future__ import annotations

import json
import time

import cv2
import numpy as np
import pytest
from scripted import ScriptedCamera, ScriptedCapture
from system_python import run_with_system_opencv

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError
from stereo_rt.sources import gstreamer, open_source

CAPS = "video/x-raw,width=320,height=240,framerate=30/1"
PLAY = """
import json
from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError, SourceTimeout
from stereo_rt.sources import open_source

def play(uri, frames, **asked):
    source = open_source(uri, CaptureConfig(timeout_s=8.0, reopen_s=0.1, **asked))
    seen = []
    while len(seen) < frames:
        try:
            frame = source.read(4.0)
        except SourceTimeout:
            continue
        seen.append(dict(index=frame.index, stamp_ns=frame.stamp_ns, size=frame.size, skew_ns=frame.skew_ns,
                         left=float(frame.left.mean()), right=float(frame.right.mean()), shape=frame.left.shape))
    status = source.status
    source.close()
    print(json.dumps(dict(seen=seen, reopened=status.reopened, state=status.state, live=source.live)))
"""


def play(uri: str, frames: int, **asked: object) -> dict:
    return json.loads(run_with_system_opencv(f"{PLAY}\nplay({uri!r}, {frames}, **{asked!r})").splitlines()[-1])


@pytest.mark.system
def test_two_pipelines_are_paired() -> None:
    uri = f"gst://videotestsrc is-live=true pattern=white ! {CAPS} || videotestsrc is-live=true pattern=black ! {CAPS}"
    run = play(uri, 20, max_skew_ms=25.0)
    assert run["live"] and run["state"] == "ok"
    for a, b in zip(run["seen"], run["seen"][1:], strict=False):
        assert b["index"] > a["index"] and b["stamp_ns"] > a["stamp_ns"]
        assert abs(b["skew_ns"]) <= 25e6
    assert all(f["shape"] == [240, 320, 3] and f["left"] > 200 and f["right"] < 50 for f in run["seen"])


@pytest.mark.system
def test_stamps_keep_the_pipeline_s_own_spacing() -> None:
    seen = play(f"gst://videotestsrc is-live=true ! {CAPS}?layout=sbs", 20)["seen"]
    steps_ms = np.diff([f["stamp_ns"] / 1e6 for f in seen])
    assert np.median(np.abs(steps_ms - np.round(steps_ms * 0.03) / 0.03)) < 0.1


@pytest.mark.system
def test_one_pipeline_with_both_eyes_is_split_and_swapped() -> None:
    bars = "videotestsrc is-live=true pattern=smpte ! video/x-raw,width=640,height=240"  # brighter on the left
    run = play(f"gst://{bars}?layout=sbs", 3, swap=True)
    assert all(f["size"] == [320, 240] and f["left"] < f["right"] - 20 for f in run["seen"])


@pytest.mark.system
def test_a_pipeline_that_ends_is_started_again() -> None:
    run = play(f"gst://videotestsrc is-live=true num-buffers=15 ! {CAPS}?layout=sbs", 40)
    assert run["reopened"] >= 1


@pytest.mark.system
def test_a_pipeline_that_does_not_start_is_one_sentence() -> None:
    """OpenCV before 4.7 hangs for ever on the first of them; the source does not."""
    pipelines = ["nosuchelement", "videotestsrc ! nosuchelement", "videotestsrc ! video/x-raw,format=NOPE"]
    said = run_with_system_opencv(
        f"""{PLAY}
for pipeline in {pipelines!r}:
    try:
        open_source(f"gst://{{pipeline}} || videotestsrc", CaptureConfig(timeout_s=0.5))
    except SourceError as e:
        print(e, flush=True)
import os
os._exit(0)
"""
    )
    lines = said.splitlines()
    assert len(lines) == 3
    assert all("does not start" in line or "does not open within" in line for line in lines)


class Played(ScriptedCapture):
    """Tells one position after the other; positions is a list of (position in ms, how late our thread is then, in s)."""

    def __init__(self, positions: list[tuple[float, float]]) -> None:
        super().__init__(ScriptedCamera())
        self._positions = iter(positions)

    def grab(self) -> bool:
        self._position_ms, late_s = next(self._positions)
        time.sleep(late_s)
        return True

    def get(self, prop: int) -> float:
        return self._position_ms if prop == cv2.CAP_PROP_POS_MSEC else 0.0


def stamps_ms(positions: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of the images that such a pipeline delivers, and the times at which they were taken from it."""
    monkeypatch.setattr(gstreamer.cv2, "VideoCapture", lambda *args: Played(positions))
    device, stamps, taken = gstreamer._device("videotestsrc", CaptureConfig()), [], []
    device.open()
    for _ in positions:
        assert device.grab()
        taken.append(time.monotonic_ns() / 1e6)
        shot = device.retrieve()
        assert shot is not None and shot.arrived_ns == shot.stamp_ns
        stamps.append(shot.stamp_ns / 1e6)
    return np.array(stamps), np.array(taken)


def test_images_are_stamped_by_the_pipeline_not_when_our_thread_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps, _ = stamps_ms([(1000.0, 0.0), (1200.0, 0.0), (1216.0, 0.1), (1232.0, 0.03)], monkeypatch)
    assert np.diff(stamps)[1:] == pytest.approx([16.0, 16.0], abs=0.1)


@pytest.mark.parametrize("position_ms", [0.0, -1.0, 700.0])
def test_without_a_position_that_moves_the_arrival_counts(position_ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps, taken = stamps_ms([(position_ms, 0.02)] * 4, monkeypatch)
    assert (np.diff(stamps) >= 20).all() and (stamps <= taken).all()


def test_a_position_that_is_the_present_is_no_worse_than_the_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Played, "get", lambda self, prop: time.monotonic() * 1000 - 5)
    stamps, taken = stamps_ms([(0.0, 0.01 * i) for i in range(4)], monkeypatch)
    assert (stamps <= taken).all() and (np.diff(stamps) > 0).all()


def test_without_gstreamer_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer.cv2, "getBuildInformation", lambda: "    GStreamer:                   NO\n")
    for uri in ("gst://videotestsrc || videotestsrc", "csi://0,1"):
        with pytest.raises(SourceError, match=r"built with GStreamer.*apt install python3-opencv"):
            open_source(uri)


def test_the_csi_pipeline_asks_for_what_was_set() -> None:
    pipeline = gstreamer.csi_pipeline("1", CaptureConfig(width=1920, height=1080, fps=29.97))
    assert "sensor-id=1" in pipeline and "width=1920,height=1080,framerate=29970/1000" in pipeline
    assert pipeline.endswith(gstreamer.SINK)


def test_a_pipeline_with_its_own_sink_is_left_alone() -> None:
    assert gstreamer.with_sink("videotestsrc ! appsink name=a") == "videotestsrc ! appsink name=a"
    assert gstreamer.with_sink("videotestsrc") == f"videotestsrc ! {gstreamer.SINK}"
