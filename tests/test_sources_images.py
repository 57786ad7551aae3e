"""Images on disk: which belong together, what becomes of their values, and what is said of a bad one."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.config import CaptureConfig
from stereo_rt.errors import SourceError
from stereo_rt.frames import StereoFrame
from stereo_rt.sources import Source, open_source


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str, value: float = 0, *, size: tuple[int, int] = (64, 48), dtype: type = np.uint8, channels: int = 1) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    assert cv2.imwrite(name, np.full(shape, value, dtype))
    return name


def play(source: Source) -> list[StereoFrame]:
    frames = []
    while (frame := source.read(1.0)) is not None:
        frames.append(frame)
    return frames


def values(frames: list[StereoFrame]) -> list[tuple[int, int]]:
    return [(int(f.left.flat[0]), int(f.right.flat[0])) for f in frames]


def test_a_pair() -> None:
    source = open_source(f"{save('l.png', 1)},{save('r.png', 2)}")
    assert (source.size, source.length, source.live) == ((64, 48), 1, False)
    frames = play(source)
    assert values(frames) == [(1, 2)] and frames[0].left.shape == (48, 64)
    assert source.status.state == "ended"


def test_folders_pair_by_number_and_in_order_of_numbers() -> None:
    for i in (1, 2, 10, 9):
        save(f"left/cam_{i}.png", i)
        save(f"right/view{i:03d}.png", 100 + i)
    Path("left/notes.txt").touch()
    Path("left/.hidden.png").touch()
    frames = play(open_source("left,right", CaptureConfig(fps=20)))
    assert values(frames) == [(1, 101), (2, 102), (9, 109), (10, 110)]
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert [f.stamp_ns for f in frames] == [0, 50_000_000, 100_000_000, 150_000_000]


def test_names_that_share_no_number_pair_by_order() -> None:
    for i, (a, b) in enumerate([("1000.png", "1003.png"), ("1100.png", "1105.png")]):
        save(f"left/{a}", i)
        save(f"right/{b}", i)
    assert values(play(open_source("left,right"))) == [(0, 0), (1, 1)]


def test_patterns_take_their_files_only() -> None:
    for i in range(3):
        save(f"d/l_{i:04d}.png", i)
        save(f"d/r_{i:04d}.png", 100 + i)
    save("d/l_0000_extra.png", 9)
    assert values(play(open_source("d/l_%04d.png,d/r_%04d.png"))) == [(0, 100), (1, 101), (2, 102)]


def test_images_with_both_eyes_are_split() -> None:
    for i in range(2):
        cv2.imwrite(f"{i}.png", np.hstack([np.full((8, 10), i, np.uint8), np.full((8, 10), 50 + i, np.uint8)]))
    source = open_source("%d.png?layout=sbs")
    assert source.size == (10, 8)
    assert values(play(source)) == [(0, 50), (1, 51)]
    assert open_source("0.png?layout=tb").size == (20, 4)


def test_counts_that_differ_name_the_file_without_partner() -> None:
    for i in range(3):
        save(f"left/{i}.png")
    for i in (0, 2):
        save(f"right/{i}.png")
    with pytest.raises(SourceError, match=r"left holds 3 images but right holds 2 \(1\.png has no partner\)"):
        open_source("left,right")


def test_equal_counts_with_different_numbers_are_not_paired_blindly() -> None:
    for i in (0, 1, 2):
        save(f"left/{i}.png")
    for i in (0, 1, 3):
        save(f"right/{i}.png")
    with pytest.raises(SourceError, match=r"left/2\.png: the other eye has no image of this number"):
        open_source("left,right")


@pytest.mark.parametrize("uri", ["left,right", "%d.png,r%d.png"])
def test_nothing_there(uri: str) -> None:
    Path("left").mkdir()
    Path("right").mkdir()
    with pytest.raises(SourceError, match=r"no image fits this folder or pattern"):
        open_source(uri)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_16_bit_images_keep_their_contrast(bits: int) -> None:
    top = 2**bits - 1
    frame = play(open_source(f"{save('l.png', top, dtype=np.uint16)},{save('r.png', top // 2, dtype=np.uint16)}"))[0]
    assert frame.left.dtype == frame.right.dtype == np.uint8
    assert values([frame]) == [(255, 127)]


def test_brightness_of_16_bit_sequences_does_not_flicker(caplog: pytest.LogCaptureFixture) -> None:
    for i, value in enumerate((4000, 400, 4095, 60000)):
        save(f"l{i}.png", value, dtype=np.uint16)
        save(f"r{i}.png", value, dtype=np.uint16)
    with caplog.at_level(logging.WARNING):
        frames = play(open_source("l%d.png,r%d.png"))
    assert values(frames) == [(250, 250), (25, 25), (255, 255), (234, 234)]
    assert "brighter than the images before" in caplog.text


def test_grey_and_colour_mixed_become_colour_and_transparency_goes() -> None:
    frame = play(open_source(f"{save('l.png', 7)},{save('r.png', 9, channels=3)}"))[0]
    assert frame.left.shape == frame.right.shape == (48, 64, 3)
    frame = play(open_source(f"{save('l.png', 7, channels=4)},{save('r.png', 9, channels=4)}"))[0]
    assert frame.left.shape == (48, 64, 3) and frame.left.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".pgm", ".webp"])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_damaged_file_is_named(suffix: str, share: float) -> None:
    rng = np.random.default_rng(0)
    for name in ("l", "r"):
        cv2.imwrite(f"{name}{suffix}", rng.integers(0, 255, (64, 80), np.uint8))
    data = Path(f"r{suffix}").read_bytes()
    Path(f"r{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=rf"r\{suffix}: is not a whole image"):
        open_source(f"l{suffix},r{suffix}")


def test_a_whole_file_may_have_padding_behind_it() -> None:
    for name in ("l.jpg", "r.jpg"):
        cv2.imwrite(name, np.full((64, 80), 77, np.uint8))
        Path(name).write_bytes(Path(name).read_bytes() + bytes(9000))
    assert len(play(open_source("l.jpg,r.jpg"))) == 1


def test_values_that_are_no_picture_are_refused() -> None:
    with pytest.raises(SourceError, match=r"float32 values"):
        open_source(f"{save('l.tif', 0.5, dtype=np.float32)},{save('r.tif', 0.5, dtype=np.float32)}")


def test_a_size_that_differs_between_the_eyes_or_changes_is_named() -> None:
    with pytest.raises(SourceError, match=r"l\.png is 64x48 but r\.png is 32x48"):
        open_source(f"{save('l.png')},{save('r.png', size=(32, 48))}")
    for i, size in enumerate([(64, 48), (32, 48)]):
        save(f"left/{i}.png", size=size)
        save(f"right/{i}.png", size=size)
    source = open_source("left,right")
    with pytest.raises(SourceError, match=r"left/1\.png: is 32x48 but the sequence began with 64x48"):
        play(source)


def test_loop_and_swap() -> None:
    source = open_source(f"{save('l.png', 1)},{save('r.png', 2)}", CaptureConfig(loop=True, swap=True))
    frames = [source.read(1) for _ in range(3)]
    assert values([f for f in frames if f is not None]) == [(2, 1)] * 3
    assert [f.index for f in frames if f is not None] == [0, 1, 2]
    assert isinstance(source, Source)
    source.close()
    assert source.read(1) is None


def test_real_recordings(shared_data: Path) -> None:
    pair = shared_data / "video" / "libviso2_kitti6"
    source = open_source(f"{pair / 'I1c.png'},{pair / 'I2c.png'}")
    assert source.size == (1344, 391) and len(play(source)) == 1
