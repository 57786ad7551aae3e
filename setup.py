"""Package metadata. The artefact folders beside the package travel inside the wheel as stereo_rt/_artefacts."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
ARTEFACTS = {
    "engines": ("*.onnx", "*.yaml", "*.md"),
    "configs": ("*.yaml", "*.md", "train/*.yaml", "pretrain/*.yaml"),
    "calibration": ("*.md", "boards/*.yaml", "examples/*.yaml"),
}

# A bare Debian cannot import opencv-python (no libxcb), so the headless build is the default. A Jetson (aarch64) keeps
# the system's cv2, which has GStreamer. STEREO_RT_OPENCV names another package, or "none" where one is there already:
# two OpenCV packages write the same files.
OPENCV = os.environ.get("STEREO_RT_OPENCV", "opencv-python-headless>=4.10; platform_machine != 'aarch64'")

BASE = ["numpy>=1.24", "pyyaml>=6", "onnxruntime>=1.17", "pydantic>=2.6", "typer>=0.12", "rich>=13", "platformdirs>=4"]
EXTRAS = {
    "web": ["starlette>=0.37", "uvicorn>=0.29"],
    "window": ["pygame-ce>=2.4"],
    "video": ["av>=12"],
    "mcap": ["mcap>=1.6", "mcap-ros2-support>=0.6"],
    "bag": ["rosbags>=0.10"],
    "train": ["torch>=2.2", "onnx>=1.15", "safetensors>=0.4"],
    "regressors": ["scikit-learn>=1.3", "skl2onnx>=1.16"],
    "tensorrt": ["tensorrt>=8.6", "pycuda>=2022.2", "onnx>=1.15"],
    "rtx": ["tensorrt-rtx>=1.0", "onnx>=1.15"],
    "openvino": ["openvino>=2024.4"],
    "telemetry": ["nvidia-ml-py>=11.525"],
}
EXTRAS["view"] = [*EXTRAS["web"], *EXTRAS["window"], *EXTRAS["video"]]
EXTRAS["dev"] = [
    *EXTRAS["view"],
    *EXTRAS["mcap"],
    *EXTRAS["bag"],
    *EXTRAS["telemetry"],
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "httpx>=0.27",
    "ruff>=0.6",
    "mypy>=1.10",
    "build>=1.2",
    "setuptools>=70.1",
    "types-PyYAML",
]
EXTRAS["all"] = sorted(
    {p for name in ("view", "mcap", "bag", "train", "regressors", "openvino", "telemetry") for p in EXTRAS[name]}
)


class BuildWithArtefacts(build_py):
    """Copies engines/, configs/ and calibration/ into the built package (an editable install uses them in place)."""

    def run(self) -> None:
        package = Path(self.build_lib) / "stereo_rt"
        if not self.editable_mode:
            shutil.rmtree(package, ignore_errors=True)  # an earlier build's files would travel along
        super().run()
        if self.editable_mode:
            return
        target = package / "_artefacts"
        for folder, patterns in ARTEFACTS.items():
            for file in (f for p in patterns for f in (HERE / folder).glob(p)):
                copy = target / file.relative_to(HERE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


version = re.search(r'__version__ = "(.+)"', (HERE / "stereo_rt/__init__.py").read_text())
assert version
setup(
    name="stereo_rt",
    version=version[1],
    description="Real-time stereo depth with a measured confidence, on a CPU or an NVIDIA GPU",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["stereo_rt", "stereo_rt.*"]),
    package_data={"stereo_rt": ["py.typed", "sinks/page/*", "evaluation/templates/*", "calib/templates/*"]},
    install_requires=BASE + ([] if OPENCV == "none" else [OPENCV]),
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["stereo-rt = stereo_rt.cli.app:main"]},
    cmdclass={"build_py": BuildWithArtefacts},
)
