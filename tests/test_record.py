"""`stereo-rt record`: pairs without loss, from any source, until told to stop; the file is whole in every case."""

from __future__ import annotations

import importlib.util
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted import alive, wait_for

from stereo_rt import record as work
from stereo_rt.calib.formats import read_calibration, write_calibration
from stereo_rt.calib.formats.ours import to_yaml
from stereo_rt.calib.rig import StereoRig
from stereo_rt.cli.app import main
from stereo_rt.config import CaptureConfig, Config
from stereo_rt.errors import SourceError, SourceTimeout, StereoError
from stereo_rt.frames import StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.sources import open_source
from stereo_rt.sources.memory import MemorySource

CAMERA = "synthetic://room?raw=1&width=96&height=64&frames=12"
HAS_MCAP = importlib.util.find_spec("mcap_ros2") is not None
FILES = ["run.mkv", pytest.param("run.mcap", marks=pytest.mark.skipif(not HAS_MCAP, reason="needs mcap"))]
SUFFIXES = {".mkv": "?layout=sbs", ".mcap": ""}


def frames_of(uri: str) -> list[StereoFrame]:
    source = open_source(uri, CaptureConfig())
    try:
        return list(iter(lambda: source.read(5), None))
    finally:
        source.close()


def played(path: Path) -> list[StereoFrame]:
    return frames_of(f"{path}{SUFFIXES[path.suffix]}")


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["record", *(str(a) for a in args)])
    return end.value.code  # type: ignore[return-value]


@pytest.mark.parametrize("name", FILES)
def test_every_pair_of_a_recording_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / name
    assert run(CAMERA, "-o", path) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"12 pairs in {path}; play them with: stereo-rt view")
    assert said.err == ""
    sent, got = frames_of(CAMERA), played(path)
    assert len(got) == len(sent) == 12
    for a, b in zip(sent, got, strict=True):
        np.testing.assert_array_equal(a.left, b.left)
        np.testing.assert_array_equal(a.right, b.right)
    source = open_source(CAMERA)
    source.close()
    if path.suffix == ".mkv":
        kept = read_calibration(Path(f"{path}.calib.yaml"))
    else:
        recording = open_source(str(path))
        recording.close()
        kept = recording.calibration  # type: ignore[assignment]
    assert source.calibration is not None
    assert to_yaml(kept) == to_yaml(source.calibration)


def test_flags(tmp_path: Path) -> None:
    """--max-frames, --swap, and a raw rig's --calib for frames declared rectified, which becomes their grid's."""
    calib, path = tmp_path / "rig.yaml", tmp_path / "run.mkv"
    source = open_source(CAMERA)
    source.close()
    assert source.calibration is not None
    write_calibration(source.calibration, calib)
    assert run(CAMERA, "-o", path, "--max-frames", 3, "--swap", "--calib", calib, "--rectified") == 0
    got, sent = played(path), frames_of(CAMERA)
    assert len(got) == 3
    np.testing.assert_array_equal(got[0].left, sent[0].right)
    kept = read_calibration(Path(f"{path}.calib.yaml"))
    assert isinstance(kept, RectifiedRig) and kept.size == (96, 64)


def test_a_verdict_is_not_lost_where_frames_are_declared_rectified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calib, path = tmp_path / "rig.yaml", tmp_path / "run.mkv"
    source = open_source(CAMERA)
    source.close()
    assert isinstance(source.calibration, StereoRig)
    write_calibration(replace(source.calibration, verdict="redo"), calib)
    flags = ("--max-frames", 3, "--calib", calib, "--rectified")
    assert run(CAMERA, "-o", path, *flags) == 1
    assert "verdict is 'redo'" in capsys.readouterr().err and not path.exists()
    assert run(CAMERA, "-o", path, *flags, "--force") == 0
    raw = tmp_path / "raw.mkv"
    assert run(CAMERA, "-o", raw, *flags[:-1]) == 0  # it is kept beside raw frames
    kept = read_calibration(Path(f"{raw}.calib.yaml"))
    assert isinstance(kept, StereoRig) and kept.verdict == "redo"


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("run.mp4", "ends in .mkv or .mcap"),
        ("there.mkv", "exists already"),
        ("no/run.mkv", "is not a folder"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, words: str
) -> None:
    (tmp_path / "there.mkv").write_text("precious")
    assert run(CAMERA, "-o", tmp_path / out) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["there.mkv"]


class Scripted(MemorySource):
    """Delivers a few pairs, then what the script says."""

    def __init__(self, script: list[BaseException], live: bool) -> None:
        still = np.zeros((16, 32, 3), np.uint8)
        super().__init__([StereoFrame(still, still, 0, 0)], fps=1000, length=None)
        self.live, self._script, self._count = live, script, 0

    def read(self, timeout_s: float) -> StereoFrame | None:
        self._count += 1
        if self._count > 5:
            if not self._script:
                return None
            raise self._script.pop(0)
        return super().read(timeout_s)


def scripted(monkeypatch: pytest.MonkeyPatch, path: Path, *script: BaseException) -> tuple[list[str], list[str]]:
    """Record from such a camera; what was said, and the notes beside the progress."""
    said: list[str] = []
    notes: list[str] = []
    monkeypatch.setattr(work, "open_source", lambda *_: Scripted(list(script), live=True))
    monkeypatch.setattr(work, "SHOWN_EVERY_S", -1.0)
    try:
        work.record("camera", Config(), path, say=said.append, progress=lambda done, total, note: notes.append(note))
    except StereoError as e:
        said.append(f"raised {e}")
    return said, notes


def test_a_silent_camera_is_waited_for_and_a_lost_one_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mkv"
    said, notes = scripted(monkeypatch, path, SourceTimeout("nothing came"), SourceError("the camera is gone"))
    assert said[0].startswith(f"5 pairs in {path}") and said[1:] == ["raised the camera is gone"]
    assert notes == ["0 dropped"] * 5 + ["nothing came"]
    assert len(played(path)) == 5


def test_ctrl_c_is_a_normal_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = scripted(monkeypatch, tmp_path / "run.mkv", KeyboardInterrupt())
    assert len(said) == 1 and said[0].startswith("5 pairs in")


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_ends_it(tmp_path: Path, name: str) -> None:
    """A limit on the size of files stands in for the disk; the source has no end, so the recorder must."""
    if name.endswith(".mkv"):
        pytest.importorskip("av", reason="OpenCV's writer does not say that it cannot write")
    path = tmp_path / name
    record = f"{sys.executable} -m stereo_rt record 'synthetic://room?width=320&height=240&frames=0&cycle=2' -o {path}"
    done = subprocess.run(["bash", "-c", f"ulimit -f 1500; exec {record}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "recording stopped after" in done.stderr and "Traceback" not in done.stderr
    assert path.stat().st_size > 100_000, "what was written is kept"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_whole_file(tmp_path: Path, name: str, number: signal.Signals) -> None:
    """On a terminal, where the progress is seen; SIGTERM's own exit code stays."""
    path = tmp_path / name
    command = [
        sys.executable,
        "-m",
        "stereo_rt",
        "record",
        "synthetic://room?width=96&height=64&live=1&cycle=2",
        "-o",
        str(path),
    ]
    terminal, theirs = pty.openpty()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    seen = bytearray()

    def look() -> None:
        """To the end: a program that nobody looks at comes to a stop when the terminal's buffer is full."""
        with suppress(OSError):  # its other side is closed
            while part := os.read(terminal, 4096):
                seen.extend(part)

    looking = threading.Thread(target=look)
    looking.start()
    wait_for(lambda: b"dropped" in seen and alive(running), "progress")
    running.send_signal(number)
    out, _ = running.communicate(timeout=60)
    looking.join(60)
    os.close(terminal)
    assert running.returncode == (0 if number == signal.SIGINT else 128 + signal.SIGTERM)
    pairs = int(out.split()[0])
    assert 1 <= pairs == len(played(path))
    assert not [p for p in tmp_path.iterdir() if ".part" in p.name]
