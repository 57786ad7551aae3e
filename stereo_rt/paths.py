"""Where artefacts are looked up: shipped models, configs and calibrations, and the user's own files."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def artefacts() -> Path:
    """The folder that holds engines/, configs/ and calibration/: inside an installed wheel, else the checkout."""
    installed = PACKAGE / "_artefacts"
    return installed if installed.is_dir() else PACKAGE.parent


def engines() -> Path:
    return artefacts() / "engines"


def configs() -> Path:
    return artefacts() / "configs"


def calibration() -> Path:
    return artefacts() / "calibration"


def home() -> Path:
    """Where what the user makes is kept (built engines, rigs): $STEREO_RT_HOME, else the platform's data folder."""
    if override := os.environ.get("STEREO_RT_HOME"):
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_data_dir("stereo_rt", appauthor=False))
