"""What this machine has for the loop, and what to do where something is missing.

Packages with native code are tried in a process of their own: a broken one may end the interpreter that imports it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from . import paths
from .engine.jetson import VENV, board, is_jetson

OPENCV = tuple("opencv-" + kind for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless"))
TENSORRT = re.compile(r"tensorrt([-_](rtx|dispatch|lean))?([-_]cu\d+)?$", re.IGNORECASE)
TESTED_PYTHON = ((3, 10), (3, 12))
TESTED_OPENCV = (4, 10)
ROOM_GIB = 2.0
"""Free space below which built engines and recordings soon have none."""


@dataclass(frozen=True)
class Finding:
    """state: 'ok'; 'note' when the loop runs without it; 'problem' when it does not. remedy: the next command, or ''."""

    topic: str
    state: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""


def examine(root: Path = Path("/")) -> list[Finding]:
    """Check everything; a check that fails itself is reported as a note. root: where /dev, /sys, /proc and /etc are."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "Python": python,
        "NumPy": numpy,
        "OpenCV": opencv,
        "ONNX Runtime": onnxruntime,
        "OpenVINO": openvino,
        "models": models,
        "GPU": lambda: gpu(root),
        "TensorRT": lambda: tensorrt(root),
        "display": display,
        "cameras": lambda: cameras(root),
        "disk": disk,
        "extras": extras,
    }
    findings: list[Finding] = []
    for topic, check in checks.items():
        try:
            findings += check()
        except Exception as e:
            findings.append(Finding(topic, "note", f"could not be checked: {type(e).__name__}: {e}"))
    return findings


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    where = "in a virtual environment" if sys.prefix != sys.base_prefix else "without a virtual environment"
    detail = f"{version} {where}, {sys.platform} {os.uname().machine}, {len(os.sched_getaffinity(0))} CPU cores"
    low, high = (".".join(map(str, v)) for v in TESTED_PYTHON)
    if sys.version_info < TESTED_PYTHON[0]:
        yield Finding("Python", "problem", f"{detail}; {low} or newer is needed", f"make the environment with python{high}")
    elif sys.version_info[:2] > TESTED_PYTHON[1]:
        yield Finding("Python", "note", f"{detail}; tested up to {high}")
    else:
        yield Finding("Python", "ok", detail)


def numpy() -> Iterator[Finding]:
    yield _importable("NumPy", "numpy", "pip install numpy")


def opencv() -> Iterator[Finding]:
    """cv2 itself, and whether several packages have written it over one another."""
    installed = {d: v for d in OPENCV if (v := _version(d))}
    names = " and ".join(f"{d} {v}" for d, v in installed.items())
    if len(installed) > 1:
        # Mixed versions break at random; equal ones only when either is uninstalled.
        state: Literal["note", "problem"] = "problem" if len(set(installed.values())) > 1 else "note"
        remedy = f"pip uninstall -y {' '.join(installed)} && pip install {_keep(installed)}"
        yield Finding("OpenCV", state, f"two packages at once, which overwrite each other's files: {names}", remedy)
    try:
        cv2 = _in_child(
            "import cv2, json; "
            "print(json.dumps({'version': cv2.__version__, 'file': cv2.__file__, 'build': cv2.getBuildInformation()}))"
        )
    except ImportError as e:
        yield Finding("OpenCV", "problem", f"cannot be imported: {e}", _opencv_remedy(str(e), list(installed)))
        return
    origin = names or f"the system's, {cv2['file']}"
    built = {what: _built_with(cv2["build"], what) for what in ("GUI", "GStreamer", "FFMPEG")}
    detail = f"{cv2['version']} ({origin}); GUI {built['GUI']}, GStreamer {built['GStreamer']}, FFmpeg {built['FFMPEG']}"
    if tuple(map(int, cv2["version"].split(".")[:2])) < TESTED_OPENCV:
        yield Finding("OpenCV", "note", f"{detail}; tested from {'.'.join(map(str, TESTED_OPENCV))} on")
    else:
        yield Finding("OpenCV", "ok", detail)
    if built["GStreamer"] == "no":
        remedy = "apt install python3-opencv and python3 -m venv --system-site-packages, only if you need them"
        yield Finding("OpenCV", "note", "csi:// and gst:// sources need an OpenCV with GStreamer; the others do not", remedy)


def onnxruntime() -> Iterator[Finding]:
    flavours = [d for d in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino") if _version(d)]
    if len(flavours) > 1:
        remedy = f"pip uninstall -y {' '.join(flavours)} && pip install {flavours[-1]}"
        yield Finding("ONNX Runtime", "note", f"two packages at once: {' and '.join(flavours)}", remedy)
    found = _importable("ONNX Runtime", "onnxruntime", "pip install onnxruntime")
    if found.state == "ok":
        providers = _in_child("import onnxruntime, json; print(json.dumps(onnxruntime.get_available_providers()))")
        short = ", ".join(p.removesuffix("ExecutionProvider") for p in providers)
        found = Finding("ONNX Runtime", "ok", f"{found.detail}; providers {short}")
    yield found


def openvino() -> Iterator[Finding]:
    """Of those who have it; for the others, see extras."""
    if version := _version("openvino"):
        devices = _in_child("import openvino, json; print(json.dumps(openvino.Core().available_devices))")
        yield Finding("OpenVINO", "ok", f"{version}; devices {', '.join(devices)}")


def models() -> Iterator[Finding]:
    """The shipped networks, against the checksums that were written when they were made."""
    from .errors import ModelError
    from .matchers.models import find_model, find_twins, originals

    try:
        names = originals()
    except ModelError as e:
        yield Finding("models", "problem", str(e))
        return
    for name in names:
        try:
            found = find_model(name)
            shapes = [twin.name.removeprefix(f"{name}_") for twin in find_twins(name)]
            more = f"; for frames of other shapes {', '.join(shapes)}" if shapes else ""
            yield Finding("models", "ok", f"{name}: {found.path}, sha256 {found.sha256[:12]}...{more}")
        except ModelError as e:
            yield Finding("models", "problem", str(e))


def gpu(root: Path) -> Iterator[Finding]:
    found = False
    for line in _nvidia_gpus():
        found = True
        yield Finding("GPU", "ok", line)
    if board := _jetson(root):
        found = True
        yield Finding("GPU", "ok", board)
    if not found:
        yield Finding("GPU", "note", "no NVIDIA GPU found; the network runs on the CPU")


def tensorrt(root: Path) -> Iterator[Finding]:
    names = {(d.metadata["Name"] or "").replace("_", "-") for d in metadata.distributions()}
    flavours = sorted(f"{n} {_version(n)}" for n in names if TENSORRT.match(n))
    helpers = ", ".join(f"{n} {_version(n) or 'not installed'}" for n in ("pycuda", "torch"))
    if modules := [name for name in ("tensorrt", "tensorrt_rtx") if find_spec(name)]:
        again = "pip install --force-reinstall --no-cache-dir"
        system = f"sudo apt install --reinstall python3-libnvinfer; {VENV}" if is_jetson(root) else ""
        broken = [note for name in modules for note in _unloadable(name, system or f"{again} {name.replace('_', '-')}")]
        if len(broken) < len(modules):
            yield Finding("TensorRT", "ok", f"{', '.join(flavours) or 'present, of unknown version'}; {helpers}")
        yield from broken
        yield from _unloadable("pycuda.driver", f"{again} pycuda, with NVIDIA's driver there and CUDA's nvcc on the path")
    elif is_jetson(root):
        yield Finding("TensorRT", "note", f"not visible from here; {helpers}", VENV)
    elif _nvidia_gpus():
        yield Finding("TensorRT", "note", f"not installed; {helpers}", "pip install 'stereo_rt[tensorrt]'")
    else:
        yield Finding("TensorRT", "note", f"not installed, and of no use without an NVIDIA GPU; {helpers}")


def display() -> Iterator[Finding]:
    """Opening one is the only proof that a window can be had."""
    screen = ", ".join(f"{k}={os.environ[k]}" for k in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(k))
    reason = _in_child("from stereo_rt.sinks.window import why_not; import json; print(json.dumps(why_not()))")
    if reason is None:
        yield Finding("display", "ok", f"{screen or 'present'}; windows open through SDL (pygame-ce {_version('pygame-ce')})")
    else:
        yield Finding("display", "note", f"{reason}; view and demo serve a web page instead of a window")


def cameras(root: Path) -> Iterator[Finding]:
    found = False
    for entry in sorted(root.glob("sys/class/video4linux/video*")):
        index = entry / "index"
        if index.exists() and index.read_text().strip() != "0":
            continue  # a camera's second node carries metadata, not images
        found = True
        name, device = (entry / "name").read_text().strip(), Path("/dev") / entry.name
        links = sorted(link for link in root.glob("dev/v4l/by-path/*") if link.resolve().name == entry.name)
        port = "".join(f" ({Path('/dev/v4l/by-path') / link.name})" for link in links[:1])
        if os.access(root / "dev" / entry.name, os.R_OK | os.W_OK):
            yield Finding("cameras", "ok", f"{device}: {name}{port}")
        else:
            remedy = "sudo usermod -aG video $USER, then log in again"
            yield Finding("cameras", "note", f"{device}: {name}{port}, which this user may not open", remedy)
    if not found:
        yield Finding("cameras", "note", "no V4L2 camera; try synthetic://room")


def disk() -> Iterator[Finding]:
    home = paths.home()
    there = next(p for p in (home, *home.absolute().parents) if p.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    detail = f"{free_gib:.1f} GiB free for {home}"
    if not os.access(there, os.W_OK):
        yield Finding("disk", "note", f"{home} cannot be written", "export STEREO_RT_HOME=a folder of yours")
    elif free_gib < ROOM_GIB:
        yield Finding("disk", "note", detail, "export STEREO_RT_HOME=a folder with more room")
    else:
        yield Finding("disk", "ok", detail)


def extras() -> Iterator[Finding]:
    """Optional parts: what they would add is missing only to those who use it."""
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires("stereo_rt") or []:
        if found := re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", line):
            wanted.setdefault(found[2], []).append(found[1])
    for extra in ("window", "web", "video", "mcap", "bag", "train", "regressors", "openvino"):
        missing = [name for name in wanted.get(extra, []) if not _version(name)]
        if missing:
            yield Finding("extras", "note", f"{extra}: without {', '.join(missing)}", f"pip install 'stereo_rt[{extra}]'")
        else:
            yield Finding("extras", "ok", f"{extra}: complete")


def _unloadable(module: str, remedy: str) -> list[Finding]:
    """A note where a part of TensorRT is absent, or there and broken."""
    try:
        _in_child(f"import {module}; print(0)")
    except ImportError as e:
        return [Finding("TensorRT", "note", f"{module.partition('.')[0]} does not load: {e}", remedy)]
    return []


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _importable(topic: str, module: str, remedy: str) -> Finding:
    try:
        return Finding(topic, "ok", _in_child(f"import {module}, json; print(json.dumps({module}.__version__))"))
    except ImportError as e:
        return Finding(topic, "problem", f"cannot be imported: {e}", remedy)


def _in_child(code: str) -> Any:
    """Run code in another interpreter and read the JSON it prints. Raises ImportError with its last line of complaint."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode:
        complaint = done.stderr.strip().splitlines() or [f"Python ended with {done.returncode}"]
        raise ImportError(complaint[-1])
    return json.loads(done.stdout.splitlines()[-1])


def _keep(opencvs: dict[str, str]) -> str:
    """Which of several OpenCV packages to keep: the one with more in it; headless, since the window is not OpenCV's."""
    return "opencv-contrib-python-headless" if any("contrib" in d for d in opencvs) else "opencv-python-headless"


def _opencv_remedy(complaint: str, installed: list[str]) -> str:
    if "cannot open shared object" in complaint and installed:
        return f"pip uninstall -y {' '.join(installed)} && pip install opencv-python-headless"
    if "numpy" in complaint.lower():
        return "pip install 'numpy<2', which older OpenCV builds need"
    return "pip install opencv-python-headless; on a Jetson: python3 -m venv --system-site-packages .venv"


def _built_with(build: str, what: str) -> str:
    line = re.search(rf"^\s*{what}:[ \t]*(.*)$", build, re.MULTILINE)
    value = line[1].strip() if line else ""
    return {"": "no", "NONE": "no", "NO": "no"}.get(value, value.removeprefix("YES").strip(" ()") or "yes")


def _nvidia_gpus() -> list[str]:
    """One line for each GPU: name, memory, driver, compute capability; empty where there is none, or no driver."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    fields = (line.split(", ") for line in done.stdout.splitlines() if done.returncode == 0)
    return [f"{f[0]}, {f[1]}, driver {f[2]}, compute capability {f[3]}" for f in fields if len(f) == 4]


def _jetson(root: Path) -> str | None:
    if not is_jetson(root):
        return None
    release = (root / "etc/nv_tegra_release").read_text(errors="replace")
    return f"{board(root) or 'Jetson'}, {release.splitlines()[0].lstrip('# ')}"
