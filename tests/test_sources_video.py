"""Videos: no frame lost, none paired with the wrong one, and a missing tail is never silent."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from videos import number_of, numbered, write_video

from stereo_rt.config import CaptureConfig, Config
from stereo_rt.errors import SourceError, SourceTimeout
from stereo_rt.frames import StereoFrame
from stereo_rt.session import open_session
from stereo_rt.sources import open_source
from stereo_rt.sources.base import Source
from stereo_rt.sources.clip import AvClip, CvClip

pytest.importorskip("av")
N = 40


def play(source: Source) -> list[StereoFrame]:
    frames = []
    while (frame := source.read(1.0)) is not None:
        frames.append(frame)
    return frames


def numbers(frames: list[StereoFrame]) -> list[tuple[int, int]]:
    return [(number_of(f.left), number_of(f.right)) for f in frames]


@pytest.fixture
def left(tmp_path: Path) -> Path:
    return write_video(tmp_path / "left.mp4", [numbered(i) for i in range(N)])


def without(tmp_path: Path, *missing: int) -> Path:
    kept = [i for i in range(N) if i not in missing]
    return write_video(tmp_path / "right.mp4", [numbered(i) for i in kept], [40 * i for i in kept])


def test_two_videos_give_every_pair_with_its_own_stamp(left: Path, tmp_path: Path) -> None:
    source = open_source(f"{left},{without(tmp_path)}")
    assert (source.size, source.fps, source.length, source.live) == ((128, 48), 25.0, N, False)
    frames = play(source)
    assert numbers(frames) == [(i, i) for i in range(N)]
    assert [f.index for f in frames] == list(range(N))
    assert [f.stamp_ns for f in frames] == [i * 40_000_000 for i in range(N)]
    assert source.status.state == "ended" and source.status.unpaired == 0
    source.close()


def test_a_lost_frame_costs_one_pair_and_shifts_nothing(left: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = open_source(f"{left},{without(tmp_path, 0, 7, 20, 21, N - 1)}")
    with caplog.at_level(logging.WARNING):
        frames = play(source)
    kept = [i for i in range(N) if i not in (0, 7, 20, 21, N - 1)]
    assert numbers(frames) == [(i, i) for i in kept]
    assert [f.index for f in frames] == kept
    assert source.status.unpaired == 5
    assert "5 of the pictures had no partner" in caplog.text


def test_swap_exchanges_the_files(left: Path, tmp_path: Path) -> None:
    right = write_video(tmp_path / "right.mp4", [numbered(100 + i) for i in range(N)], [40 * i + 3 for i in range(N)])
    frame = open_source(f"{left},{right}", CaptureConfig(swap=True)).read(1)
    assert frame is not None
    assert numbers([frame]) == [(100, 0)]
    assert (frame.stamp_ns, frame.skew_ns) == (3_000_000, -3_000_000)


def test_videos_that_never_meet_say_how_far_apart_they_are(left: Path, tmp_path: Path) -> None:
    right = write_video(tmp_path / "right.mp4", [numbered(i) for i in range(N)], [40 * i + 15 for i in range(N)])
    with pytest.raises(SourceError, match=r"15\.0 ms apart.*max_skew_ms=18"):
        play(open_source(f"{left},{right}"))
    assert len(play(open_source(f"{left},{right}", CaptureConfig(max_skew_ms=18)))) == N


def test_a_generous_skew_still_pairs_the_nearest(left: Path, tmp_path: Path) -> None:
    """A right camera that started one frame late, and a max_skew_ms of more than a frame."""
    frames = play(open_source(f"{left},{without(tmp_path, 0)}", CaptureConfig(max_skew_ms=50)))
    assert numbers(frames)[5:] == [(i, i) for i in range(N)][-len(frames) + 5 :]


@pytest.mark.parametrize("layout", ["sbs", "tb"])
def test_one_video_with_both_eyes(tmp_path: Path, layout: str) -> None:
    axis = 1 if layout == "sbs" else 0
    both = write_video(tmp_path / "both.mp4", [np.concatenate([numbered(i), numbered(i + 100)], axis=axis) for i in range(N)])
    source = open_source(f"{both}?layout={layout}")
    assert source.size == (128, 48)
    assert numbers(play(source)) == [(i, i + 100) for i in range(N)]


def test_an_odd_size_cannot_be_split(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "odd.avi", [np.zeros((48, 66, 3), np.uint8)] * 3)
    assert open_source(f"{clip}?layout=sbs").size == (33, 48)
    from stereo_rt.sources.split import split_eyes

    with pytest.raises(SourceError, match=r"width of 65 px"):
        split_eyes(np.zeros((48, 65), np.uint8), "sbs", "odd.avi")
    with pytest.raises(SourceError, match=r"height of 47 px"):
        split_eyes(np.zeros((47, 64), np.uint8), "tb", "odd.avi")


def test_eyes_of_different_size_are_refused(left: Path, tmp_path: Path) -> None:
    right = write_video(tmp_path / "right.mp4", [numbered(i, height=64) for i in range(3)])
    with pytest.raises(SourceError, match=r"128x48.*128x64"):
        open_source(f"{left},{right}")


def test_a_truncated_video_gives_its_frames_and_then_says_what_is_missing(tmp_path: Path) -> None:
    left = write_video(tmp_path / "cut.mp4", [numbered(i) for i in range(N)], index_first=True)
    left.write_bytes(left.read_bytes()[: left.stat().st_size * 6 // 10])
    source = open_source(f"{left},{without(tmp_path)}")
    frames = []
    with pytest.raises(SourceError, match=rf"cut\.mp4: ends after \d+ of the {N} frames"):
        while (frame := source.read(1)) is not None:
            frames.append(frame)
    assert 10 < len(frames) < N
    assert all(a == b for a, b in numbers(frames))
    assert source.status.unpaired >= N - len(frames) - 1


def test_the_loop_finishes_every_frame_before_it_reports_a_truncated_video(tmp_path: Path) -> None:
    pair = [write_video(tmp_path / f"{eye}.mp4", [numbered(i) for i in range(N)], index_first=True) for eye in "ab"]
    pair[1].write_bytes(pair[1].read_bytes()[: pair[1].stat().st_size * 6 // 10])
    seen: list[int] = []
    slow = SimpleNamespace(name="slow", lossless=True, close=lambda: None)
    slow.write = lambda result: (time.sleep(0.02), seen.append(result.index))
    cfg = Config.model_validate({"match": {"backend": "sgbm"}, "calib": {"rectified": True, "probe": False}})
    with pytest.raises(SourceError, match=r"ends after (\d+) of") as caught:
        open_session(f"{pair[0]},{pair[1]}", cfg, offline=True, sinks=[slow]).run()
    assert f"ends after {len(seen)} of the {N} frames" in str(caught.value)
    assert seen == list(range(len(seen)))


def test_a_video_without_its_index_is_refused(left: Path) -> None:
    broken = left.with_name("broken.mp4")
    broken.write_bytes(left.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"broken\.mp4: cannot be read as a video"):
        open_source(f"{broken},{left}")


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(5000)])
@pytest.mark.parametrize("clip", [AvClip, CvClip])
def test_what_is_no_video_is_one_sentence(tmp_path: Path, content: bytes, clip: type) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.mp4: cannot be read as a video"):
        clip(str(path))


def test_damage_in_the_middle_never_shifts_the_pairs(tmp_path: Path) -> None:
    hurt = write_video(tmp_path / "hurt.mp4", [numbered(i) for i in range(N)], index_first=True)
    data = bytearray(hurt.read_bytes())
    middle = data.index(b"mdat") * 6 // 10 + len(data) * 4 // 10  # among the pictures, behind the index
    data[middle : middle + 400] = bytes(400)
    hurt.write_bytes(data)
    source = open_source(f"{hurt},{without(tmp_path)}")
    frames = []
    try:
        while (frame := source.read(1)) is not None:
            frames.append(frame)
    except SourceError as e:
        assert "hurt.mp4" in str(e)
    assert [number_of(f.right) for f in frames] == [f.index for f in frames]
    assert len(frames) + source.status.unpaired >= N - 2


def test_opencv_and_pyav_read_the_same(left: Path) -> None:
    with_av, with_cv = AvClip(str(left)), CvClip(str(left))
    assert (with_av.size, with_av.fps, with_av.length) == (with_cv.size, with_cv.fps, with_cv.length)
    for _ in range(2):
        count = 0
        while (a := with_av.read()) is not None and (b := with_cv.read()) is not None:
            assert abs(a.stamp_ns - b.stamp_ns) < 1_000_000
            assert np.abs(a.image.astype(int) - b.image).mean() < 2
            count += 1
        assert count == N and with_cv.read() is None
        with_av.rewind()
        with_cv.rewind()


def test_without_pyav_opencv_takes_over(left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stereo_rt.sources import clip

    monkeypatch.setattr(clip.importlib.util, "find_spec", lambda name: None)
    frames = play(open_source(f"{left},{without(tmp_path, 7)}"))
    assert numbers(frames) == [(i, i) for i in range(N) if i != 7]


def test_variable_frame_rates_pair_by_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stamps_ms = np.cumsum(rng.integers(20, 90, N)).tolist()
    pair = [write_video(tmp_path / f"{eye}.mkv", [numbered(i) for i in range(N)], stamps_ms) for eye in "ab"]
    frames = play(open_source(f"{pair[0]},{pair[1]}"))
    assert [f.stamp_ns // 1_000_000 for f in frames] == stamps_ms


def test_loop_starts_again_with_rising_stamps(left: Path, tmp_path: Path) -> None:
    source = open_source(f"{left},{without(tmp_path, 3)}", CaptureConfig(loop=True))
    assert source.length is None
    frames = [source.read(1) for _ in range(2 * N)]
    assert all(f is not None for f in frames)
    found = [f for f in frames if f is not None]
    assert number_of(found[N - 1].left) == 0
    steps = np.diff([f.stamp_ns for f in found])
    assert set(steps.tolist()) == {40_000_000, 80_000_000}
    assert (np.diff([f.index for f in found]) >= 1).all()
    assert source.status.unpaired == 2
    source.close()
    assert source.read(1) is None


def test_real_time_play_waits_and_can_be_closed_meanwhile(tmp_path: Path) -> None:
    pair = [write_video(tmp_path / f"{eye}.mkv", [numbered(i) for i in range(3)], [0, 200, 60_000]) for eye in "ab"]
    source = open_source(f"{pair[0]},{pair[1]}", realtime=True)
    start_ns = time.monotonic_ns()
    first, second = source.read(1), source.read(1)
    assert first is not None and second is not None
    assert second.arrived_ns - start_ns >= 200_000_000
    with pytest.raises(SourceTimeout, match=r"due in"):
        source.read(0.05)
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(source.read(60)))
    reader.start()
    time.sleep(0.05)
    source.close()
    reader.join(30)
    assert got == [None]


def test_a_real_recording(shared_data: Path) -> None:
    folder = shared_data / "video" / "oak_people_counting"
    source = open_source(f"{folder / 'left.mp4'},{folder / 'right.mp4'}")
    assert (source.size, source.fps, source.length) == ((1280, 800), 30.0, 627)
    for index in range(50):
        frame = source.read(1)
        assert frame is not None
        assert (frame.index, frame.skew_ns) == (index, 0)
        assert frame.stamp_ns == pytest.approx(index * 1e9 / 30, abs=1e6)
    source.close()
