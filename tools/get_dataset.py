"""A dataset from where the user has it to a folder that training can read: fetched, verified, unpacked, checked.

    python tools/get_dataset.py instereo2k URL|FILE.zip|FOLDER -o DIR [--sha256 HEX]

URL: http(s) address of a ZIP file; no address is built in, since the datasets' owners change theirs and ask for their terms
to be read. The download lies in DIR.zip.part until it is whole; after an interruption the same command goes on with it. It is
removed once it is unpacked, and where its checksum is wrong.
FOLDER: unpacked already; it is copied, or, without -o, only checked. DIR appears when all is well, and not before.
"""

from __future__ import annotations

import argparse
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from stereo_rt.datasets import LAYOUTS, open_dataset
from stereo_rt.digest import BLOCK_BYTES, sha256_of
from stereo_rt.errors import CheckFailed, OutputError, SourceError, StereoError, UsageError

PATIENCE_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layout", choices=list(LAYOUTS), metavar="LAYOUT", help=", ".join(LAYOUTS))
    parser.add_argument("source", metavar="URL|FILE.zip|FOLDER")
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument("--sha256", metavar="HEX", help="what the archive's content must sum to")
    args = parser.parse_args()
    try:
        print(get(args.layout, args.source, args.out, args.sha256))
    except StereoError as e:
        print(e)
        raise SystemExit(e.exit_code) from None


def get(layout: str, source: str, out: Path | None, sha256: str | None = None) -> str:
    """Bring the dataset to `out`; says what is there. Raises UsageError, SourceError, OutputError, CheckFailed."""
    remote = source.startswith(("http://", "https://"))
    folder = not remote and Path(source).is_dir()
    if folder and sha256:
        raise UsageError(f"{source}: is a folder, and --sha256 is of an archive; leave it out")
    if out is None:
        if not folder:
            raise UsageError(f"{source}: name the folder to unpack it to with -o DIR")
        return described(layout, Path(source))
    if out.exists():
        raise OutputError(f"{out}: exists already; check it with this command and the folder alone, or name another with -o")
    if folder:
        described(layout, Path(source))
        with growing(out) as place:
            shutil.copytree(source, place, dirs_exist_ok=True)
        return described(layout, out)
    with growing(out) as place:
        archive = download(source, out.with_name(f"{out.name}.zip")) if remote else Path(source)
        verify(archive, sha256, fetched=remote)
        unpack(archive, place)
        try:
            described(layout, place)
        except SourceError as e:
            raise SourceError(str(e).replace(str(place), str(archive))) from None
    if remote:
        archive.unlink()
    return described(layout, out)


@contextmanager
def growing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it when the block ends well, and vanishes when not. Raises OutputError."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".part") as made:
            place = Path(made) / out.name
            place.mkdir()
            yield place
            place.rename(out)
    except OSError as e:
        raise OutputError(f"{out}: cannot be written ({e.strerror or e}); free some space or choose another place") from None


def described(layout: str, folder: Path) -> str:
    """How many pairs the layout's own reader finds, by the folders they lie in. Raises SourceError."""
    items = open_dataset(f"{layout}:{folder}")
    sample = items[0].load()
    parts = Counter(PurePosixPath(item.name).parts[0] for item in items)
    counts = ", ".join(f"{name} {number}" for name, number in sorted(parts.items())) if len(parts) < len(items) else ""
    height, width = sample.truth_px.shape
    return f"{folder}: {len(items)} labelled pairs{f' ({counts})' if counts else ''}, the first of {width}x{height}"


def download(url: str, archive: Path) -> Path:
    """The file at the address as `archive`, by way of archive.part. Raises SourceError; what has come until then stays."""
    part = archive.with_name(f"{archive.name}.part")
    if archive.is_file():
        return archive
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    total = None
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            if answer.headers.get_content_type() == "text/html":
                raise SourceError(f"{url}: is a web page, not an archive; fetch the file with a browser and pass FILE.zip")
            if have and answer.status != 206:  # this server cannot go on
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            _receive(answer, part, have, total)
    except urllib.error.HTTPError as e:
        if not (e.code == 416 and have):  # nothing beyond what is here
            raise SourceError(f"{url}: the server says {e.code} {e.reason}; check the address") from None
    except urllib.error.URLError as e:
        raise SourceError(f"{url}: cannot be reached ({e.reason}); check the address and the network") from None
    except (HTTPException, TimeoutError, ConnectionError, ValueError) as e:
        raise SourceError(f"{url}: the download broke off ({e}); the same command goes on with {part}") from None
    came = part.stat().st_size
    if total is not None and came < total:
        raise SourceError(f"{url}: broke off after {came} of {total} bytes; the same command goes on with {part}")
    part.replace(archive)
    return archive


def _receive(answer: HTTPResponse, part: Path, have: int, total: int | None) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress, part.open("ab" if have else "wb") as file:
        task = progress.add_task(part.name, total=total, completed=have)
        while block := answer.read(BLOCK_BYTES):
            file.write(block)
            progress.advance(task, len(block))


def verify(archive: Path, sha256: str | None, fetched: bool) -> None:
    """Raises SourceError: there is no such file; CheckFailed: it is another one, which is removed where it was fetched."""
    if not archive.is_file():
        raise SourceError(f"{archive}: there is no such file or folder; pass a URL, a FILE.zip or an unpacked folder")
    if sha256 is None:
        return
    if (found := sha256_of(archive)) != sha256.lower():
        if fetched:
            archive.unlink()
        raise CheckFailed(f"{archive}: its checksum is {found}, not the one given; get the file again, or correct --sha256")


def unpack(archive: Path, folder: Path) -> None:
    """Raises SourceError: it is no whole ZIP file, or names places outside the folder; OutputError: there is no room."""
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            for entry in entries:
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                link = stat.S_ISLNK(entry.external_attr >> 16)
                if link or path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
                    raise SourceError(f"{archive}: names a place outside its folder ({entry.filename}); do not trust this file")
            needed, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
            if needed > free:
                raise OutputError(
                    f"{folder.parent.parent}: unpacking takes {needed >> 20} MB, {free >> 20} MB are free; free some"
                )
            packed.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as e:
        raise SourceError(
            f"{archive}: cannot be unpacked as a ZIP file ({e}); get it again, or pass the unpacked folder"
        ) from None


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
