"""The README does what it says: its `sh` and `python` blocks run, in order, in one folder, as a reader would type them.

`bash` blocks set a machine up; CI and a fresh clone run those.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


EXTRAS = {"train|distill|export": "torch", "build": "tensorrt_rtx", ".*--backend openvino": "openvino"}
"""Commands, and the package without which they only say so."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


@pytest.mark.timeout(330)
@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[code.partition("\n")[0][:40] for _, code in BLOCKS])
def test_a_block_runs(language: str, code: str, folder: Path) -> None:
    """Blocks build on the files of those before them."""
    for commands, package in EXTRAS.items():
        if re.search(f"^stereo-rt ({commands})", code, re.MULTILINE):
            pytest.importorskip(package)
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    env["STEREO_RT_HOME"] = str(folder / "home")
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    run = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def test_every_kind_of_use_is_shown() -> None:
    shown = "".join(code for _, code in BLOCKS)
    for command in (
        "view",
        "process",
        "record",
        "info",
        "config show",
        "doctor",
        "bench",
        "train",
        "distill",
        "export",
        "build",
    ):
        assert f"stereo-rt {command}" in shown, command


def test_the_two_set_up_commands_are_one_line_each() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert [len(block.splitlines()) for block in blocks] == [1, 1]
    demo, tests = blocks
    assert "stereo-rt demo" in demo
    assert tests in "".join(line + "\n" for line in TEXT.splitlines() if "-m pytest" in line), "the line that .ci/run looks for"


def test_every_link_and_picture_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("https://") or (README.parent / target).exists(), target


def test_every_setting_that_is_named_exists() -> None:
    from stereo_rt.config import Config, _keys

    known = set(_keys(Config))
    named = re.findall(r"`(?:--set )?((?:capture|calib|match|post|view|output|run)\.(?!txt|mcap|bag)[a-z_.]+)", TEXT)
    assert named
    assert set(named) <= known
