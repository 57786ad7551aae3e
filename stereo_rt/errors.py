"""What can go wrong, as one tree. Each message says what, why, and the next command.

StereoError                exit 1  anything a user can cause or repair
├── ConfigError                    a setting is unknown or out of range
│   └── FlagError          exit 2  it came from the command line
├── CalibrationError               a rig file cannot be read, or contradicts itself or the frames
│   └── EyesSwapped                its right camera is on the left of the left one
├── SourceError                    a camera or recording cannot be opened, or is lost for good
│   └── SourceTimeout              nothing arrived in time; the source is still there (never the end of stream)
├── ModelError                     a network file is missing, damaged, or not a stereo network
├── MissingExtra                   an optional package is not installed
├── OutputError                    a result cannot be written
├── UsageError             exit 2  the command line contradicts itself
└── CheckFailed            exit 3  everything ran, and a check said no
"""

from __future__ import annotations


class StereoError(Exception):
    """Base of every error a user sees: one sentence, no traceback."""

    exit_code = 1


class ConfigError(StereoError):
    pass


class FlagError(ConfigError):
    exit_code = 2


class CalibrationError(StereoError):
    pass


class EyesSwapped(CalibrationError):
    pass


class SourceError(StereoError):
    pass


class SourceTimeout(SourceError):
    """No frame within the time allowed; asking again is sensible."""


class ModelError(StereoError):
    pass


class MissingExtra(StereoError):
    """An optional dependency is absent.

    `MissingExtra("the web viewer", "web")` reads: the web viewer needs an optional package; install it with ...
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package; install it with: pip install 'stereo_rt[{extra}]'")
        self.extra = extra


class OutputError(StereoError):
    pass


class UsageError(StereoError):
    exit_code = 2


class CheckFailed(StereoError):
    exit_code = 3
