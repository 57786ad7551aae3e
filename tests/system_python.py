"""The system's own Python and what apt installed for it, for tests that pip's packages cannot serve."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
REPO = Path(__file__).resolve().parent.parent


def require(statement: str, what: str) -> None:
    """Skip unless the system's Python runs the statement."""
    try:
        found = subprocess.run([PYTHON, "-c", statement], capture_output=True, timeout=60)
    except OSError:
        pytest.skip(f"{PYTHON} is not there")
    if found.returncode:
        pytest.skip(f"{what} is not installed (see tests/apt-packages.txt)")


def run_with_system_opencv(code: str, timeout_s: float = 120) -> str:
    """Run code with the system's cv2 and numpy, and everything else from this environment. Returns its output.

    cv2 and numpy are imported before this environment's packages come into sight; the interpreters must be of one
    version, because compiled packages are shared.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    require(f"import sys; assert sys.version.startswith('{here}.')", f"a system Python {here}")
    require("import cv2, re; assert re.search('GStreamer: +YES', cv2.getBuildInformation())", "an OpenCV with GStreamer")
    paths = [str(REPO), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    prelude = f"import sys, numpy, cv2; sys.path[:0] = {paths!r}\n"
    ran = subprocess.run([PYTHON, "-c", prelude + code], capture_output=True, text=True, timeout=timeout_s)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout
