"""The package as others meet it: public names, a quick command line, and a wheel that works from an empty folder."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import click
import pytest
import typer
from packaging.requirements import Requirement

import stereo_rt
from stereo_rt.cli import app as cli

PUBLIC = {
    "Config",
    "DepthResult",
    "Disparity",
    "Pipeline",
    "RectifiedRig",
    "StereoError",
    "StereoFrame",
    "StereoRig",
    "__version__",
    "create_matcher",
    "open_source",
    "read_calibration",
}
HEAVY = {"numpy", "cv2", "yaml", "torch", "onnx", "onnxruntime", "av", "pygame", "starlette", "uvicorn", "tensorrt", "pydantic"}
HELP = f"""
import sys
from stereo_rt.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as e:
    assert not e.code, e.code
print("HEAVY:", *sorted(set(sys.modules) & {HEAVY}))
"""


def _commands() -> dict[tuple[str, ...], click.Command]:
    cli.register()

    def walk(command: click.Command, path: tuple[str, ...]) -> dict[tuple[str, ...], click.Command]:
        found = {path: command}
        for name, inner in getattr(command, "commands", {}).items():
            found |= walk(inner, (*path, name))
        return found

    return walk(typer.main.get_command(cli.app), ())


COMMANDS = _commands()


def test_the_public_names_are_these_and_each_is_documented() -> None:
    """A name added or lost here is a change of what other people's scripts rely on."""
    assert set(stereo_rt.__all__) == PUBLIC == set(dir(stereo_rt))
    for name in PUBLIC - {"__version__"}:
        assert getattr(stereo_rt, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stereo_rt.nothing


def test_the_version_is_the_same_everywhere() -> None:
    shown = subprocess.run([sys.executable, "-m", "stereo_rt", "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.split()[-1] == stereo_rt.__version__ == importlib.metadata.version("stereo_rt")


@pytest.mark.parametrize("path", list(COMMANDS), ids=lambda path: " ".join(path) or "stereo-rt")
def test_help_works_and_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    run = subprocess.run([sys.executable, "-c", HELP, *path, "--help"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage:")
    label, *heavy = run.stdout.splitlines()[-1].split()
    assert label == "HEAVY:"
    assert set(heavy) <= ({"pydantic"} if path else set()), "newer typers load pydantic themselves for a command's help"


@pytest.mark.parametrize("path", list(COMMANDS), ids=lambda path: " ".join(path) or "stereo-rt")
def test_each_command_and_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert len(command.help or "") > 15
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["config", "check"],
        ["config", "show", "--set", "a.b=1"],
        ["view", "--no-such-flag"],
        ["view", "synthetic://room", "--backend", "nonsense"],
        ["process", "a,b", "-o", "out", "--format", "nonsense"],
        ["bench", "--against", "nonsense"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    run = subprocess.run([sys.executable, "-m", "stereo_rt", *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_a_broken_opencv_is_a_sentence_that_points_at_doctor(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libxcb.so.1: cannot open shared object file')")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "stereo_rt", "demo", "--frames", "1", "--headless", "--save", str(tmp_path / "out")]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("stereo-rt: a package cannot be imported (libxcb.so.1")
    assert "stereo-rt doctor" in run.stderr
    assert not (tmp_path / "out").exists()


def _build_wheel(repo: Path, folder: Path, **env: str) -> Path:
    """Build from a copy of what git would hand to somebody else."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=repo, capture_output=True, text=True, check=True).stdout.split("\0")
    source = folder / "source"
    for name in filter(lambda name: (repo / name).is_file(), names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    subprocess.run(build, env=os.environ | env, capture_output=True, check=True)
    return next((folder / "dist").glob("*.whl"))


def _requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


def _wanted(requirements: list[Requirement], extra: str = "", machine: str = "x86_64") -> set[str]:
    here = {"extra": extra, "platform_machine": machine}
    return {r.name for r in requirements if r.marker is None or r.marker.evaluate(here)}


@pytest.fixture(scope="module")
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build_wheel(repo, tmp_path_factory.mktemp("wheel"))


def test_the_base_install_is_light_and_has_one_opencv(wheel: Path) -> None:
    requirements = _requirements(wheel)
    base = {"numpy", "opencv-python-headless", "pyyaml", "onnxruntime", "pydantic", "typer", "rich", "platformdirs"}
    assert _wanted(requirements) == base
    for extra in ("view", "dev", "web", "window", "video", "train", "all", "tensorrt", "rtx"):
        wanted = _wanted(requirements, extra)
        assert wanted > base, extra
        assert sum(name.startswith("opencv") for name in wanted) == 1, extra
    assert not {"torch", "tensorrt"} & (_wanted(requirements, "view") | _wanted(requirements, "dev"))


def test_a_jetsons_own_opencv_is_not_shadowed(wheel: Path) -> None:
    """Its system cv2 has GStreamer; one from PyPI would hide it."""
    for extra in ("", "view", "dev"):
        assert not any(name.startswith("opencv") for name in _wanted(_requirements(wheel), extra, "aarch64"))


def test_numpy_1_and_2_both_satisfy_the_wheel(wheel: Path) -> None:
    numpy = next(r for r in _requirements(wheel) if r.name == "numpy")
    assert numpy.specifier.contains("1.26.4")
    assert numpy.specifier.contains("2.4.0")


@pytest.mark.parametrize(("choice", "expected"), [("none", set()), ("opencv-python>=4.10", {"opencv-python"})])
def test_a_machine_that_has_an_opencv_can_keep_it(repo: Path, tmp_path: Path, choice: str, expected: set[str]) -> None:
    wanted = _wanted(_requirements(_build_wheel(repo, tmp_path, STEREO_RT_OPENCV=choice)))
    assert {name for name in wanted if name.startswith("opencv")} == expected


def test_an_installed_wheel_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    env = os.environ | {"PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import stereo_rt, stereo_rt.paths as p; print(stereo_rt.__file__, p.engines(), p.configs(), p.calibration())"
    assert all(path.startswith(str(site)) for path in run("-c", where).split())
    assert "model: student_m" in run("-m", "stereo_rt", "config", "show", "-c", "quality")
    assert "student_s.yaml" in run("-c", "import os, stereo_rt.paths as p; print(os.listdir(p.configs() / 'train'))")
    run("-m", "stereo_rt", "demo", "--frames", "2", "--headless", "--save", "out")
    assert list((empty / "out").rglob("*.png"))


def _in_context(ignored: list[str], name: str) -> bool:
    """Docker's rule: the last pattern that matches a path, or a folder that it is in, decides; '!' takes it back in."""
    path, kept = PurePosixPath(name), True
    for pattern in ignored:
        wanted = pattern.startswith("!")
        plain = pattern.lstrip("!").removeprefix("**/")
        hits = (parent.match(plain) if "**/" in pattern else fnmatch(str(parent), plain) for parent in (path, *path.parents))
        kept = wanted if any(hits) else kept
    return kept


def test_a_container_gets_all_that_the_wheel_is_made_of_and_no_more(wheel: Path, repo: Path) -> None:
    lines = (repo / ".dockerignore").read_text().splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    with zipfile.ZipFile(wheel) as archive:
        names = {n.replace("stereo_rt/_artefacts/", "") for n in archive.namelist() if ".dist-info/" not in n}
    assert len(names) > 100
    assert [n for n in sorted(names) if not (repo / n).is_file()] == []
    assert [n for n in sorted(names) if not _in_context(ignored, n)] == []
    for name in (
        "tests/conftest.py",
        ".git/HEAD",
        "engines/cache/x.engine",
        "calibration/rigs/mine.yaml",
        "stereo_rt/__pycache__/a",
    ):
        assert not _in_context(ignored, name), name


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_container_installs_extras_that_exist(wheel: Path, repo: Path, kind: str) -> None:
    text = (repo / f"tools/docker/{kind}.Dockerfile").read_text()
    wanted = re.findall(r"EXTRAS=([a-z,]+)", text)
    assert wanted
    for extra in {name for extras in wanted for name in extras.split(",")}:
        assert _wanted(_requirements(wheel), extra) > _wanted(_requirements(wheel)), extra
    commands = re.findall(r"stereo-rt(?::cuda)? ([a-z]+) ", text)
    assert commands
    assert {(name,) for name in commands} <= set(COMMANDS)
