"""Result files: what is written is read back, hostile input gets a sentence, and nothing is left half-written."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stereo_rt.atomic import replacing, sweep, write_bytes
from stereo_rt.errors import OutputError, StereoError
from stereo_rt.post.cloud import Cloud
from stereo_rt.sinks import files
from stereo_rt.sinks.manifest import plain, read_manifest
from stereo_rt.sinks.ply import read_ply, write_ply
from stereo_rt.sinks.video import VideoWriter

ON_DISK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@ON_DISK
@given(hnp.arrays(np.float32, SHAPES, elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.just(np.float32(np.nan)))))
def test_pfm_comes_back_bit_for_bit(tmp_path: Path, values: np.ndarray) -> None:
    files.write_pfm(tmp_path / "a.pfm", values)
    assert np.array_equal(files.read_pfm(tmp_path / "a.pfm"), values, equal_nan=True)


def test_pfm_is_laid_out_as_the_format_says(tmp_path: Path) -> None:
    files.write_pfm(tmp_path / "a.pfm", np.array([[1, 2], [3, np.nan]], np.float32))
    assert (tmp_path / "a.pfm").read_bytes() == b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 3, float("inf"), 1, 2)
    (tmp_path / "big.pfm").write_bytes(b"Pf\r\n2 1\r\n1.0\r\n" + struct.pack(">2f", 10, float("-inf")))
    assert np.array_equal(files.read_pfm(tmp_path / "big.pfm"), [[10, np.nan]], equal_nan=True)


def test_pfm_reads_as_another_program_reads_it(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    files.write_pfm(tmp_path / "a.pfm", values)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.pfm"), cv2.IMREAD_UNCHANGED), values)


@ON_DISK
@given(hnp.arrays(np.float32, SHAPES, elements=st.one_of(st.floats(0, 255.875, width=32), st.just(np.float32(np.nan)))))
def test_png16_keeps_values_to_half_a_step_and_every_valid_pixel_valid(tmp_path: Path, values: np.ndarray) -> None:
    files.write_png16(tmp_path / "a.png", values)
    back = files.read_png16(tmp_path / "a.png")
    assert np.array_equal(np.isnan(back), np.isnan(values))
    assert (np.abs(back - values)[~np.isnan(values)] <= 1 / 256).all()


@pytest.mark.parametrize(("value", "word"), [(256.0, "255.99"), (-1.0, "negative")])
def test_png16_refuses_what_it_cannot_hold(tmp_path: Path, value: float, word: str) -> None:
    with pytest.raises(OutputError, match=word):
        files.write_png16(tmp_path / "a.png", np.array([[1, value]], np.float32))
    assert list(tmp_path.iterdir()) == []


def test_depth_beyond_the_format_becomes_invalid_and_is_counted(tmp_path: Path) -> None:
    depth_m = np.array([[1.2345, 65.5351, 65.6, np.nan, 0.0001]], np.float32)
    assert files.write_depth_mm(tmp_path / "a.png", depth_m) == 1
    raw = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert raw.dtype == np.uint16
    assert raw.tolist() == [[1234, 65535, 0, 0, 1]]
    assert np.isnan(files.read_depth_mm(tmp_path / "a.png")).tolist() == [[False, False, True, True, False]]


def test_confidence_and_npz_come_back(tmp_path: Path) -> None:
    c = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)
    files.write_confidence(tmp_path / "c.png", c)
    np.testing.assert_allclose(files.read_confidence(tmp_path / "c.png"), c, atol=0.5 / 65535 + 1e-7)
    files.write_npz(tmp_path / "a.npz", disparity_px=c, confidence=c[::-1])
    assert np.array_equal(files.read_npz(tmp_path / "a.npz")["confidence"], c[::-1])


def test_npz_with_python_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", a=np.array([{}], dtype=object))
    with pytest.raises(StereoError, match="plain arrays"):
        files.read_npz(tmp_path / "evil.npz")


@ON_DISK
@given(st.integers(0, 40))
def test_ply_comes_back(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(count)
    cloud = Cloud(rng.normal(size=(count, 3)).astype(np.float32), rng.integers(0, 255, (count, 3), np.uint8))
    write_ply(tmp_path / "a.ply", cloud)
    back = read_ply(tmp_path / "a.ply")
    assert np.array_equal(back.points_m, cloud.points_m)
    assert np.array_equal(back.colors_rgb, cloud.colors_rgb)


READERS = {
    "a.pfm": (files.read_pfm, b"Pf\n2 1\n-1.0\n" + bytes(8)),
    "a.ply": (read_ply, None),
    "a.json": (read_manifest, b'{"frames": [{"index": 0, "files": {"pfm": "disparity/0.pfm"}}]}'),
    "a.npz": (files.read_npz, None),
    "a.png": (files.read_png16, None),
}


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    write_ply(folder / "a.ply", Cloud(np.ones((3, 3), np.float32), np.ones((3, 3), np.uint8)))
    files.write_npz(folder / "a.npz", a=np.ones((2, 2)))
    files.write_png16(folder / "a.png", np.ones((4, 4), np.float32))
    for name, (_, data) in READERS.items():
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", READERS)
@settings(parent=ON_DISK, max_examples=60)
@given(data=st.data())
def test_damaged_files_get_a_sentence(tmp_path: Path, healthy: Path, name: str, data: st.DataObject) -> None:
    reader, _ = READERS[name]
    whole = (healthy / name).read_bytes()
    reader(healthy / name)
    cut = data.draw(st.integers(0, len(whole)))
    mangled = bytearray(whole[:cut] + data.draw(st.binary(max_size=20)) + whole[cut + data.draw(st.integers(0, 20)) :])
    if mangled:
        for _ in range(data.draw(st.integers(0, 3))):
            mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(bytes(mangled))
    try:
        reader(tmp_path / name)
    except StereoError as e:
        assert "\n" not in str(e)


@pytest.mark.parametrize("name", READERS)
def test_an_empty_or_absent_file_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    for path in (tmp_path / name, tmp_path / "absent" / name):
        with pytest.raises(StereoError):
            READERS[name][0](path)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.txt": b"old"}
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "a.txt", b"")


def test_sweeping_takes_only_what_dead_writers_left(tmp_path: Path) -> None:
    dead = 2**22 + 1  # beyond any process number Linux gives
    (tmp_path / "sub").mkdir()
    for name in (f".a.{dead}.part.pfm", f"sub/.b.{dead}.part.png", f".c.{os.getpid()}.part.pfm", ".mine.part.txt", "d.pfm"):
        (tmp_path / name).write_text("")
    sweep(tmp_path)
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {f".c.{os.getpid()}.part.pfm", ".mine.part.txt", "d.pfm"}


def test_plain_values_are_strict_json() -> None:
    text = json.dumps(plain({"range_m": (0.0, float("inf")), "file": Path("a")}), allow_nan=False)
    assert json.loads(text) == {"range_m": [0.0, "inf"], "file": "a"}


@pytest.mark.parametrize("library", ["av", "cv2"])
def test_a_video_has_every_frame_and_appears_only_when_whole(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "av":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(__import__("sys").modules, "av", None)
    writer = VideoWriter(tmp_path / "v.mp4", 25.0)
    for i in range(12):
        writer.add(np.full((41, 63, 3), 20 * i, np.uint8))
    assert not (tmp_path / "v.mp4").exists()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    video = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    levels = []
    while (read := video.read())[0]:
        assert read[1].shape == (42, 64, 3)
        levels.append(read[1].mean())
    np.testing.assert_allclose(levels, [20 * i for i in range(12)], atol=6)


def test_a_video_of_changing_size_is_refused_and_nothing_remains_unfinished(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", 25.0)
    writer.add(np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(OutputError, match="changed size"):
        writer.add(np.zeros((20, 60, 3), np.uint8))
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_a_video_without_frames_is_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "v.mp4", 25.0).close()
    assert list(tmp_path.iterdir()) == []
