"""A Jetson: how it is told from other machines, and that its TensorRT is the system's, not one of pip's."""

from __future__ import annotations

from pathlib import Path

from ..errors import MissingExtra, ModelError, StereoError

VENV = "python3 -m venv --system-site-packages .venv, which keeps JetPack's TensorRT and OpenCV"
ROOT = Path("/")


def is_jetson(root: Path = ROOT) -> bool:
    """root: where etc is."""
    return (root / "etc/nv_tegra_release").is_file()


def board(root: Path = ROOT) -> str | None:
    """What the device tree calls this computer, such as 'NVIDIA Jetson Orin Nano Developer Kit'. root: where proc is."""
    try:
        return (root / "proc/device-tree/model").read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def install(extra: str = "tensorrt") -> str:
    """The command that brings TensorRT. The extra [tensorrt] would fetch one for servers, which runs on no Jetson."""
    return VENV if extra == "tensorrt" and is_jetson() else f"pip install 'stereo_rt[{extra}]'"


def missing(what: str, extra: str, here: str = VENV) -> StereoError:
    """What to raise where a package of that extra is absent. here: the command on a Jetson instead of the extra [tensorrt]."""
    if extra == "tensorrt" and is_jetson():
        return ModelError(f"{what} needs a package that is not visible from here; on a Jetson: {here}")
    return MissingExtra(what, extra)
