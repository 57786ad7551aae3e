"""The viewer's state and commands, snapshots, recordings, and the choice of where to show."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import wait_for
from viewing import CAMERA, live_viewer, pause, settings, shown

from stereo_rt import show as showing
from stereo_rt.calib.formats import read_calibration
from stereo_rt.config import PostConfig, ViewConfig
from stereo_rt.errors import ConfigError, MissingExtra, OutputError, UsageError
from stereo_rt.frames import Disparity, StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.post import Post
from stereo_rt.session import open_session
from stereo_rt.sinks import recorder as recording
from stereo_rt.sinks.files import read_confidence, read_depth_mm, read_pfm
from stereo_rt.sinks.recorder import Recorder, side_by_side
from stereo_rt.sinks.web import WebServer
from stereo_rt.sources import open_source
from stereo_rt.sources.base import SourceStatus
from stereo_rt.status import Status
from stereo_rt.viewer import KEYS, Viewer, remasked

RIG = RectifiedRig(64, 48, fx_px=60, cx_px=31.5, cy_px=23.5, baseline_m=0.1)


class Still:
    """A loop that stands still: it only remembers what it was told."""

    def __init__(self) -> None:
        self.post_config = PostConfig()
        self.paused = False
        self.steps = 0

    def step(self) -> None:
        self.steps += 1

    def status(self) -> Status:
        return Status("ok", "", 1, 20.0, 5.0, 6.0, 0, {}, {}, 0.0, SourceStatus("ok"), (), "still")


def still_viewer(folder: Path, config: PostConfig | None = None) -> Viewer:
    viewer = Viewer(ViewConfig(), Recorder(), folder)
    viewer.loop = Still()  # type: ignore[assignment]
    rng = np.random.default_rng(0)
    disparity = rng.uniform(1, 20, (48, 64)).astype(np.float32)
    disparity[rng.random((48, 64)) < 0.1] = np.nan
    confidence = rng.random((48, 64)).astype(np.float32)
    left = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
    frame = StereoFrame(left, left, 5, 0)
    viewer.write(Post(config or PostConfig(edge_px=0))(Disparity(disparity, confidence), frame, RIG, {}))
    return viewer


def test_control_changes_the_loop_and_the_picture_at_once(tmp_path: Path) -> None:
    viewer = still_viewer(tmp_path)
    before = viewer.version
    viewer.control({"min_confidence": 0.9, "range_m": [0.4, 2.0], "colormap": "magma", "paused": True})
    assert viewer.loop.post_config.min_confidence == 0.9
    assert viewer.loop.post_config.range_m == viewer.view.range_m == (0.4, 2.0)
    assert viewer.view.colormap == "magma"
    assert viewer.loop.paused
    assert viewer.version > before
    shown = viewer.result
    assert shown is not None and shown.valid.any()
    assert shown.confidence[shown.valid].min() >= 0.9
    assert np.nanmin(shown.depth_m) >= 0.4 and np.nanmax(shown.depth_m) <= 2.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_confidence": 1.5}, "'min_confidence' is wrong"),
        ({"min_confidence": "NaN"}, "'min_confidence' is wrong"),
        ({"range_m": [3, 1]}, "3:1 is empty"),
        ({"range_m": 3}, "'range_m' is wrong"),
        ({"colormap": "jet"}, "'colormap' is wrong"),
        ({"min_confidence": 0.1, "thresh": 1}, "there is no control 'thresh'; there are: min_confidence"),
    ],
)
def test_a_wrong_control_is_a_sentence_and_changes_nothing(tmp_path: Path, changes: dict, said: str) -> None:
    viewer = still_viewer(tmp_path)
    with pytest.raises(ConfigError) as e:
        viewer.control(changes)
    assert said in str(e.value) and "\n" not in str(e.value)
    assert viewer.loop.post_config == PostConfig()
    assert viewer.view == ViewConfig()


@pytest.mark.parametrize("fill", [False, True])
def test_remasking_equals_post_processing_from_the_start(tmp_path: Path, fill: bool) -> None:
    """Also after hole filling, whose invented values must not become trusted ones."""
    first = still_viewer(tmp_path, PostConfig(min_confidence=0.7, fill=fill)).result
    wanted = PostConfig(min_confidence=0.2, range_m=(0.3, 4.0))
    expected = still_viewer(tmp_path, wanted).result
    assert first is not None and expected is not None
    again = remasked(first, wanted)
    known = ~first.filled if first.filled is not None else np.ones((48, 64), bool)
    if fill:
        assert not again.mask[~known].any()
    else:
        np.testing.assert_array_equal(again.mask, expected.mask)
        np.testing.assert_array_equal(again.depth_m, expected.depth_m)


def test_every_key_does_what_its_help_says(tmp_path: Path) -> None:
    viewer = still_viewer(tmp_path)
    keys = {name: key for key in KEYS for name in key.names}
    assert len(keys) == sum(len(key.names) for key in KEYS), "no key has two meanings"

    def press(name: str) -> None:
        keys[name].command(viewer)

    press("space")
    assert viewer.loop.paused
    press("space")
    assert not viewer.loop.paused
    press(".")
    assert viewer.loop.paused and viewer.loop.steps == 1  # type: ignore[attr-defined]
    press("+")
    assert viewer.loop.post_config.min_confidence == 0.55
    for _ in range(20):
        press("down")
    assert viewer.loop.post_config.min_confidence == 0
    press("]")
    assert viewer.loop.post_config.range_m == (0, np.inf), "farther than everything is nowhere"
    press("[")
    assert viewer.loop.post_config.range_m == (0, 8), "less far than the colours span"
    press("]")
    assert viewer.loop.post_config.range_m == viewer.view.range_m == (0, 10)
    for _ in range(30):
        press("]")
    assert viewer.loop.post_config.range_m == (0, np.inf) and "no limit" in viewer.message
    for _ in range(30):
        press("[")
    assert viewer.view.range_m[1] > viewer.view.range_m[0]
    names = []
    for _ in range(4):
        press("c")
        names.append(viewer.view.colormap)
    assert names == ["viridis", "magma", "gray", "turbo"]
    press("r")
    assert viewer.recording
    press("r")
    assert not viewer.recording and "no frame came" in viewer.message
    press("p")
    assert viewer.message.startswith("saved stereo-") and len(list(tmp_path.glob("*.p*"))) == 5


@pytest.mark.parametrize(
    ("kept", "nearer"), [((0.0, 6.0), (0.0, 4.8)), ((6.0, 80.0), (6.0, 64.0)), ((2.0, np.inf), (2.0, 8.0))]
)
def test_the_range_that_is_kept_is_the_one_that_is_changed(
    tmp_path: Path, kept: tuple[float, float], nearer: tuple[float, float]
) -> None:
    """Not the one that the colours span, which differs as long as an end of --range is open."""
    viewer = still_viewer(tmp_path)
    viewer.loop.post_config = viewer.loop.post_config.model_copy(update={"range_m": kept})
    viewer.change_range(0.8)
    assert viewer.loop.post_config.range_m == nearer
    assert viewer.message == f"range {nearer[0]:g} to {nearer[1]:g} m"


def test_a_snapshot_holds_the_frame(tmp_path: Path) -> None:
    viewer = still_viewer(tmp_path)
    viewer.control({"snapshot": True})
    shown = viewer.result
    assert shown is not None

    def only(pattern: str) -> Path:
        (path,) = tmp_path.glob(pattern)
        return path

    np.testing.assert_array_equal(read_pfm(only("*-disparity.pfm")), shown.disparity_px)
    np.testing.assert_allclose(read_depth_mm(only("*-depth_mm.png")), shown.depth_m, atol=6e-4)
    np.testing.assert_allclose(read_confidence(only("*-confidence.png")), shown.confidence, atol=1e-5)
    np.testing.assert_array_equal(cv2.imread(str(only("*-left.png"))), shown.left)
    assert cv2.imread(str(only("*-view.png"))).shape[1] > 2 * 64


def test_a_snapshot_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    viewer = still_viewer(tmp_path / "file")
    (tmp_path / "file").write_text("in the way")
    viewer.save_snapshot()
    assert "cannot be written" in viewer.message


def test_on_a_real_loop_pause_step_and_threshold_work(tmp_path: Path) -> None:
    with live_viewer(tmp_path) as (viewer, pipeline):
        pause(viewer, pipeline)
        first = shown(viewer).index
        viewer.step()
        wait_for(lambda: shown(viewer).index > first, "one frame further")
        viewer.control({"min_confidence": 0.0})
        low = viewer.result
        viewer.control({"min_confidence": 0.95})
        high = viewer.result
        assert low is not None and high is not None and low.index == high.index
        assert high.valid.mean() < low.valid.mean()


# -- recordings ------------------------------------------------------------------------------------------------------


def pairs(count: int, size: tuple[int, int] = (65, 48)) -> list[StereoFrame]:
    """Odd in width, uneven in time."""
    rng = np.random.default_rng(2)
    stamps = np.cumsum(rng.integers(20, 60, count)) * 1_000_000
    images = rng.integers(0, 255, (count, 2, size[1], size[0], 3)).astype(np.uint8)
    return [StereoFrame(left, right, i, int(stamps[i])) for i, (left, right) in enumerate(images)]


def record(path: Path, frames: list[StereoFrame], **about: object) -> str:
    recorder = Recorder(**about)  # type: ignore[arg-type]
    recorder.start(path)
    for frame in frames:
        recorder.write(frame)
    return recorder.stop()


@pytest.mark.parametrize("package", ["av", "opencv"])
def test_a_recording_plays_back_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    if package == "av":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    path, frames = tmp_path / "run.mkv", pairs(6)
    said = record(path, frames, calibration=RIG, fps=25.0)
    assert said.startswith(f"6 pairs in {path}") and f"'{path}?layout=sbs' --calib" in said
    assert read_calibration(Path(f"{path}.calib.yaml")) == RIG
    source = open_source(f"{path}?layout=sbs")
    played = [source.read(5) for _ in frames]
    assert source.read(5) is None
    source.close()
    for sent, got in zip(frames, played, strict=True):
        assert got is not None
        np.testing.assert_array_equal(side_by_side(got), side_by_side(sent))
    if package == "av":
        sent_ms = [(f.stamp_ns - frames[0].stamp_ns) / 1e6 for f in frames]
        got_ms = [(f.stamp_ns - played[0].stamp_ns) / 1e6 for f in played]  # type: ignore[union-attr]
        np.testing.assert_allclose(got_ms, sent_ms, atol=1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.mkv", "run.mkv.calib.yaml"]


def test_a_recorder_never_holds_the_loop_back(tmp_path: Path) -> None:
    """A burst far beyond the queue: each pair is either in the file or counted, and the order is kept."""
    path, frames = tmp_path / "burst.mkv", pairs(4, (640, 480)) * 30
    said = record(path, frames)
    written = int(said.split()[0])
    assert 1 <= written < len(frames), "the burst was meant to be too quick"
    assert f"({len(frames) - written} left out" in said


@pytest.mark.parametrize(
    ("name", "said"), [("a.mp4", "ends in .mkv"), ("there.mkv", "exists already"), ("no/a.mkv", "is not a folder")]
)
def test_a_recording_is_refused_before_it_begins(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there.mkv").write_text("precious")
    with pytest.raises(OutputError, match=said):
        Recorder().start(tmp_path / name)
    assert (tmp_path / "there.mkv").read_text() == "precious"


def test_a_recording_that_breaks_is_told_and_the_loop_goes_on(tmp_path: Path) -> None:
    recorder, folder = Recorder(), tmp_path / "gone"
    folder.mkdir()
    recorder.start(folder / "a.mkv")
    folder.rmdir()
    folder.write_text("now a file")
    (frame,) = pairs(1)

    def given_up() -> bool:
        recorder.write(frame)  # never raises, whatever the disk does
        return recorder.path is None

    wait_for(given_up, "the recorder noticed")
    with pytest.raises(OutputError, match="cannot be written"):
        recorder.close()


def test_a_viewer_tells_how_its_recording_goes_and_that_it_broke(tmp_path: Path) -> None:
    viewer = still_viewer(tmp_path)
    recorder, (frame,) = viewer.recorder, pairs(1)
    assert viewer.notes == [] and viewer.status().warnings == ()
    recorder.start(tmp_path / "a.mkv")
    viewer.note("confidence >= 0.5")
    recorder.write(frame)
    words = f"recording to {tmp_path / 'a.mkv'}, 1 pairs"
    wait_for(lambda: viewer.notes == [words, "confidence >= 0.5"], "the count, beside the message")
    recorder.stop()
    assert viewer.notes == ["confidence >= 0.5"]
    (tmp_path / "gone").mkdir()
    recorder.start(tmp_path / "gone" / "b.mkv")
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_text("now a file")
    recorder.write(frame)
    wait_for(lambda: len(viewer.status().warnings) == 1, "the warning, also before the next pair")
    assert "b.mkv" in viewer.status().warnings[0] and "cannot be written" in viewer.status().warnings[0]
    with pytest.raises(OutputError):
        recorder.stop()
    recorder.start(tmp_path / "c.mkv")
    assert viewer.status().warnings == (), "of the newest recording"
    recorder.stop()


def test_two_recordings_of_one_second_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stereo_rt.viewer.time.strftime", lambda form: "stereo-noon")
    viewer, (frame,) = still_viewer(tmp_path), pairs(1)
    for _ in range(3):
        viewer.toggle_record()
        viewer.recorder.write(frame)
        viewer.toggle_record()
        assert "1 pairs" in viewer.message
    assert sorted(p.name for p in tmp_path.glob("*.mkv")) == ["stereo-noon-2.mkv", "stereo-noon-3.mkv", "stereo-noon.mkv"]


def test_a_recording_that_breaks_says_so_when_its_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears that it broke may end the program, and with it the thread that finishes the file."""
    closing, go_on, path = threading.Event(), threading.Event(), tmp_path / "full.mkv"

    class Full:
        def __init__(self, file: Path) -> None:
            file.write_bytes(b"what fitted")

        def add(self, frame: StereoFrame, since_ns: int) -> None:
            raise OSError("no space left on device")

        def close(self) -> None:
            closing.set()
            go_on.wait(60)

    monkeypatch.setattr(recording, "_video", lambda file, frame, fps: Full(file))
    recorder, (frame,) = Recorder(), pairs(1)
    recorder.start(path)
    recorder.write(frame)
    assert closing.wait(60)
    recorder.write(frame)
    assert recorder.path == path, "it is still being finished"
    go_on.set()

    def given_up() -> bool:
        recorder.write(frame)
        return recorder.path is None

    wait_for(given_up, "the recorder noticed")
    assert path.read_bytes() == b"what fitted"
    assert "recording stopped after 0 pairs" in str(recorder.error)
    with pytest.raises(OutputError, match="recording stopped after 0 pairs"):
        recorder.close()


# -- where to show ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ("127.0.0.1", None)),
        ("auto", ("127.0.0.1", None)),
        ("0", ("127.0.0.1", None)),
        ("8123", ("127.0.0.1", 8123)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:8000", ("::1", 8000)),
    ],
)
def test_web_address(text: str | None, expected: tuple) -> None:
    assert showing.web_address(text) == expected


@pytest.mark.parametrize("text", ["localhost", "x:y", "1:2:99999", "٣", "-1", "1.5"])
def test_a_wrong_web_address_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected \[HOST:\]PORT"):
        showing.web_address(text)


def test_without_a_display_the_page_is_shown_and_the_reason_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    said: list[str] = []
    assert showing.choose(ViewConfig(), said.append) == "web"
    assert said == ["there is no display: showing a web page instead of a window"]
    monkeypatch.setenv("DISPLAY", ":199")  # nobody there
    assert showing.choose(ViewConfig(), said.append) == "web"
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert showing.choose(ViewConfig(), said.append) == "web"
    assert "pip install 'stereo_rt[window]'" in said[-1]
    assert showing.choose(ViewConfig(web="8000"), said.append) == "web"
    assert showing.choose(ViewConfig(headless=True), said.append) == "nothing"
    assert len(said) == 3


def test_without_the_web_packages_there_is_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"pip install 'stereo_rt\[web\]'"):
        WebServer(still_viewer(tmp_path))


@pytest.mark.parametrize("web", [None, "auto"])
def test_show_ends_by_itself_and_records(tmp_path: Path, web: str | None) -> None:
    cfg = settings(run={"max_frames": 5}, view={"headless": web is None, "web": web})
    said: list[str] = []
    viewer = showing.show(
        lambda viewer, recorder: open_session(CAMERA, cfg, offline=False, sinks=(viewer,), frame_sinks=(recorder,)),
        cfg,
        say=said.append,
        record=tmp_path / "run.mkv",
    )
    status = viewer.loop.status()
    assert status.state == "ended"
    assert viewer.result is not None
    assert (tmp_path / "run.mkv").stat().st_size > 1000
    assert read_calibration(tmp_path / "run.mkv.calib.yaml").size == (320, 240)
    assert [line.split(" http")[0] for line in said] == ([] if web is None else ["watch it at"])
