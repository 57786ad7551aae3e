"""tools/get_dataset.py: a tree of InStereo2K's layout from a folder, a ZIP file and a local server; what goes wrong."""

from __future__ import annotations

import hashlib
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from tools_kit import load_tool

from stereo_rt.datasets import open_dataset

SCENES = ("train/part1/000000", "train/part2/000001", "test/000040")
tool = load_tool("get_dataset")


class Server(BaseHTTPRequestHandler):
    """/whole: the archive; /cut: breaks off half way, but goes on when asked to; /stubborn: never goes on; /page: HTML."""

    def __init__(self, *args: object, archive: bytes, asked: list[str | None]) -> None:
        self.archive, self.asked = archive, asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        body, begin = self.archive, 0
        if self.path == "/page":
            return self.answer(200, b"<html>", "text/html")
        if self.path == "/gone":
            return self.send_error(404)
        if wanted and self.path != "/stubborn":
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(body):
                return self.send_error(416)
            return self.answer(206, body[begin:])
        half = len(body) // 2 if self.path == "/cut" else len(body)
        return self.answer(200, body, sent=half)

    def answer(self, code: int, body: bytes, kind: str = "application/zip", sent: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of InStereo2K: 16-bit disparities times 100."""
    root = tmp_path_factory.mktemp("instereo2k") / "InStereo2K"
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    for scene in SCENES:
        (root / scene).mkdir(parents=True)
        for name in ("left", "right"):
            cv2.imwrite(str(root / scene / f"{name}.png"), image)
            cv2.imwrite(str(root / scene / f"{name}_disp.png"), np.full((24, 32), 725, np.uint16))
    return root


@pytest.fixture(scope="module")
def archive(tree: Path) -> Path:
    file = tree.parent / "dataset.zip"
    with zipfile.ZipFile(file, "w") as packed:
        for member in sorted(tree.rglob("*.png")):
            packed.write(member, member.relative_to(tree))
    return file


@pytest.fixture
def asked() -> list[str | None]:
    """What was asked for of the server: the Range header of each request."""
    return []


@pytest.fixture
def address(archive: Path, asked: list[str | None]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, archive=archive.read_bytes(), asked=asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, the last thing said) of the command."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["get_dataset.py", "instereo2k", *map(str, arguments)])
        try:
            tool.main()
        except SystemExit as e:
            return int(e.code or 0), capsys.readouterr().out.strip()
        return 0, capsys.readouterr().out.strip().splitlines()[-1]

    return run


def left_behind(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_folder_an_archive_and_an_address_give_the_same(
    run: Run, tree: Path, archive: Path, address: str, tmp_path: Path
) -> None:
    sum_ = hashlib.sha256(archive.read_bytes()).hexdigest()
    counts = "3 labelled pairs (test 1, train 2), the first of 32x24"
    assert run(tree) == (0, f"{tree}: {counts}")
    for name, *source in (("a", tree), ("b", archive, "--sha256", sum_.upper()), ("c", f"{address}/whole", "--sha256", sum_)):
        out = tmp_path / name
        assert run(*source, "-o", out) == (0, f"{out}: {counts}")
        items = open_dataset(f"instereo2k:{out}")
        assert sorted(item.name for item in items) == sorted(SCENES)
        assert (items[0].load().truth_px == np.float32(7.25)).all()
    assert left_behind(tmp_path) == ["a", "b", "c"]
    assert archive.is_file()  # the user's own stays


@pytest.mark.parametrize("path", ["cut", "stubborn"])
def test_an_interrupted_download_goes_on(
    path: str, run: Run, address: str, archive: Path, asked: list[str | None], tmp_path: Path
) -> None:
    """From where it was, or, where the server cannot do that, from the beginning."""
    out, part = tmp_path / "out", tmp_path / "out.zip.part"
    half = archive.stat().st_size // 2
    if path == "cut":
        code, said = run(f"{address}/cut", "-o", out)
        assert code == 1 and "the same command goes on" in said and "\n" not in said
        assert left_behind(tmp_path) == ["out.zip.part"] and part.stat().st_size == half
    else:
        part.write_bytes(archive.read_bytes()[:half])
    assert run(f"{address}/{path}", "-o", out)[0] == 0
    assert asked[-1] == f"bytes={half}-" and left_behind(tmp_path) == ["out"]


def test_a_download_that_was_whole_but_not_unpacked_is_not_fetched_again(
    run: Run, address: str, archive: Path, asked: list[str | None], tmp_path: Path
) -> None:
    (tmp_path / "out.zip.part").write_bytes(archive.read_bytes())  # killed before its name was changed
    assert run(f"{address}/whole", "-o", tmp_path / "out")[0] == 0
    assert asked == [f"bytes={archive.stat().st_size}-"]
    (tmp_path / "again.zip").write_bytes(archive.read_bytes())
    assert run(f"{address}/whole", "-o", tmp_path / "again")[0] == 0 and len(asked) == 1


def zipped(file: Path, members: dict[str, bytes], link: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = 0o120777 << 16
            packed.writestr(entry, "/etc")
    return file


@pytest.mark.parametrize("server", ["page", "gone", "nowhere"])
def test_an_address_that_gives_no_archive(server: str, run: Run, address: str, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/whole" if server == "nowhere" else f"{address}/{server}"
    code, said = run(url, "-o", tmp_path / "out")
    why = {"page": "is a web page, not an archive", "gone": "404", "nowhere": "cannot be reached"}[server]
    assert code == 1 and why in said and "\n" not in said
    assert left_behind(tmp_path) == []


def test_a_wrong_checksum_is_said_and_what_was_fetched_goes(run: Run, address: str, archive: Path, tmp_path: Path) -> None:
    for source in (archive, f"{address}/whole"):
        code, said = run(source, "-o", tmp_path / "out", "--sha256", "0" * 64)
        assert code == 3 and "checksum" in said and "\n" not in said
        assert left_behind(tmp_path) == []


def test_refusals_are_one_sentence_and_leave_nothing(run: Run, tree: Path, archive: Path, tmp_path: Path) -> None:
    place = tmp_path / "files"
    place.mkdir()
    whole = archive.read_bytes()
    (place / "half.zip").write_bytes(whole[: len(whole) // 2])
    spoilt = bytearray(whole)
    spoilt[200] ^= 255
    (place / "spoilt.zip").write_bytes(spoilt)
    (tmp_path / "there").mkdir()
    out = tmp_path / "out"
    for arguments, code, why in (
        ((zipped(place / "slip.zip", {"../../evil.png": b""}), "-o", out), 1, "outside its folder"),
        ((zipped(place / "root.zip", {"/evil.png": b""}), "-o", out), 1, "outside its folder"),
        ((zipped(place / "drive.zip", {"C:\\evil.png": b""}), "-o", out), 1, "outside its folder"),
        ((zipped(place / "link.zip", {"a.png": b""}, link="b"), "-o", out), 1, "outside its folder"),
        (
            (zipped(place / "other.zip", {"notes.txt": b"no pairs"}), "-o", out),
            1,
            "folders with left.png, right.png and left_disp",
        ),
        ((place / "half.zip", "-o", out), 1, "cannot be unpacked"),
        ((place / "spoilt.zip", "-o", out), 1, "cannot be unpacked"),
        ((place / "none.zip", "-o", out), 1, "there is no such file"),
        ((place, "-o", out), 1, "folders with left.png"),
        ((archive,), 2, "-o DIR"),
        ((tree, "--sha256", "0"), 2, "leave it out"),
        ((archive, "-o", tmp_path / "there"), 1, "exists already"),
    ):
        got, said = run(*arguments)
        assert (got, why in said, "\n" in said, ".part" in said) == (code, True, False, False), said
        assert left_behind(tmp_path) == ["files", "there"]
        assert not (tmp_path.parent / "evil.png").exists() and not (place / "evil.png").exists()
