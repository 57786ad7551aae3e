"""The doctor on this machine, and on machines made of real files: a fake root, fake packages on the path, scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stereo_rt import doctor, paths
from stereo_rt.cli.doctor import doctor as command
from stereo_rt.doctor import Finding, examine

STATES = {"ok", "note", "problem"}


def _only(findings: object, topic: str) -> list[Finding]:
    return [f for f in findings if f.topic == topic]  # type: ignore[attr-defined]


def _package(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _run() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stereo_rt", "doctor", "--json"], capture_output=True, text=True)


def test_this_machine_can_run_the_loop() -> None:
    run = _run()
    report = json.loads(run.stdout)
    assert run.returncode == 0, run.stderr
    assert report["ok"]
    assert {f["state"] for f in report["findings"]} <= STATES
    assert {"Python", "NumPy", "OpenCV", "ONNX Runtime", "models", "GPU", "TensorRT", "display", "disk", "extras"} <= {
        f["topic"] for f in report["findings"]
    }
    import cv2

    assert any(cv2.__version__ in f["detail"] for f in report["findings"] if f["topic"] == "OpenCV")


def test_the_table_shows_every_finding_and_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    command(as_json=False)
    shown = capsys.readouterr().out
    for f in [*doctor.python(), *doctor.opencv(), *doctor.display(), *doctor.cameras(Path("/"))]:
        assert f.state in shown
        assert f.detail in shown
        assert f.remedy in shown


def test_a_check_that_fails_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("the bus caught fire")

    monkeypatch.setattr(doctor, "disk", broken)
    assert _only(examine(), "disk") == [Finding("disk", "note", "could not be checked: RuntimeError: the bus caught fire")]


@pytest.mark.parametrize(("versions", "state"), [(("4.14.0.94", "5.0.0.93"), "problem"), (("5.0.0.93", "5.0.0.93"), "note")])
def test_two_opencv_packages_are_seen_with_the_commands_that_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: tuple[str, str], state: str
) -> None:
    for name, version in zip(("opencv-python", "opencv-python-headless"), versions, strict=True):
        _package(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)
    found = next(doctor.opencv())
    assert found.state == state
    assert f"opencv-python {versions[0]} and opencv-python-headless {versions[1]}" in found.detail
    assert found.remedy == "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("raise ImportError('libxcb.so.1: cannot open shared object file: No such file or directory')", "pip uninstall -y"),
        ("raise ImportError('numpy.core.multiarray failed to import')", "numpy<2"),
        ("raise ModuleNotFoundError(\"No module named 'cv2'\")", "pip install opencv-python-headless"),
        ("import os; os.abort()", "pip install opencv-python-headless"),
    ],
)
def test_an_opencv_that_cannot_be_imported_is_a_problem_even_if_it_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, remedy: str
) -> None:
    (tmp_path / "cv2.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = list(doctor.opencv())[-1]
    assert found.state == "problem"
    assert remedy in found.remedy


def test_what_the_loop_needs_and_is_broken_ends_in_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = _run()
    assert run.returncode == 3
    assert not json.loads(run.stdout)["ok"]
    assert run.stderr.startswith("stereo-rt: OpenCV")
    assert "Traceback" not in run.stderr


def test_onnx_runtime_and_numpy_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert [f.state for f in doctor.onnxruntime()] == ["problem"]
    assert [f.state for f in doctor.numpy()] == ["ok"]


def test_a_damaged_and_a_missing_network_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {f.state for f in doctor.models()} == {"ok"}
    (tmp_path / "models.yaml").write_text((paths.engines() / "models.yaml").read_text())
    monkeypatch.setattr(paths, "engines", lambda: tmp_path)
    assert {f.state for f in doctor.models()} == {"problem"}
    (tmp_path / "student_s.onnx").write_bytes(b"not a network")
    assert any("damaged" in f.detail for f in doctor.models())
    (tmp_path / "models.yaml").unlink()
    assert [f.state for f in doctor.models()] == ["problem"]


def test_cameras_are_named_and_a_second_node_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for node, index in (("video0", "0"), ("video1", "1"), ("video2", "0")):
        entry = tmp_path / "sys/class/video4linux" / node
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"USB Stereo Camera {node}\n")
        (entry / "index").write_text(f"{index}\n")
    (tmp_path / "dev/video0").touch()
    first, second = doctor.cameras(tmp_path)
    assert (first.state, first.detail) == ("ok", "/dev/video0: USB Stereo Camera video0")
    assert second.state == "note"
    assert "usermod -aG video" in second.remedy


def test_a_camera_s_port_is_named_as_numbers_change(tmp_path: Path) -> None:
    entry = tmp_path / "sys/class/video4linux/video2"
    entry.mkdir(parents=True)
    (entry / "name").write_text("USB Camera\n")
    ports = tmp_path / "dev/v4l/by-path"
    ports.mkdir(parents=True)
    for device in ("video2", "video20"):
        (tmp_path / "dev" / device).touch()
        (ports / f"pci-0000:00:14.0-usb-0:{device[5:]}:1.0-video-index0").symlink_to(f"../../{device}")
    (found,) = doctor.cameras(tmp_path)
    assert found.detail == "/dev/video2: USB Camera (/dev/v4l/by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0)"


def test_a_jetson_is_recognised_and_told_to_keep_its_own_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin NX\0")
    monkeypatch.setenv("PATH", "")
    assert [f.detail for f in doctor.gpu(tmp_path)] == ["NVIDIA Jetson Orin NX, R36 (release), REVISION: 4.3, GCID: 1"]
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: ())
    assert "--system-site-packages" in next(doctor.tensorrt(tmp_path)).remedy


def test_a_graphics_card_is_named_and_a_silent_driver_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'NVIDIA RTX 4000, 20475 MiB, 550.54, 8.9'\n")
    script.chmod(0o755)
    card = "NVIDIA RTX 4000, 20475 MiB, driver 550.54, compute capability 8.9"
    assert [f.detail for f in doctor.gpu(tmp_path)] == [card]
    script.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert [f.state for f in doctor.gpu(tmp_path)] == ["note"]


def _modules(folder: Path, monkeypatch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
    """TensorRT, both flavours, and PyCUDA that load, but for the `sources` given, here and in the doctor's own children."""
    loads = dict.fromkeys(("tensorrt.py", "tensorrt_rtx.py", "pycuda/__init__.py", "pycuda/driver.py"), "")
    (folder / "pycuda").mkdir(exist_ok=True)
    for name, source in (loads | sources).items():
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize("broken", ["raise ImportError('libnvinfer.so.10: cannot open')", "import os; os.abort()"])
def test_a_tensorrt_that_does_not_load_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    _package(tmp_path, "tensorrt", "10.16.1")
    _modules(tmp_path, monkeypatch, dict.fromkeys(("tensorrt.py", "tensorrt_rtx.py"), broken))
    found = list(doctor.tensorrt(tmp_path))
    assert [(f.state, "--force-reinstall" in f.remedy) for f in found] == [("note", True)] * 2
    assert all("does not load" in f.detail for f in found)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release)\n")
    assert all("--system-site-packages" in f.remedy and "pip" not in f.remedy for f in doctor.tensorrt(tmp_path))
    _modules(tmp_path, monkeypatch, {"tensorrt_rtx.py": broken})
    assert [f.state for f in doctor.tensorrt(tmp_path)] == ["ok", "note"], "one flavour is enough"


@pytest.mark.parametrize(
    "source", ["raise ImportError('libcurand.so.10: cannot open')", "raise ModuleNotFoundError(\"No module named 'pycuda'\")"]
)
def test_without_pycuda_that_loads_no_engine_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    _modules(tmp_path, monkeypatch, {"pycuda/driver.py": source})
    tensorrt, pycuda = doctor.tensorrt(tmp_path)
    assert tensorrt.state == "ok" and pycuda.state == "note"
    assert "pycuda does not load" in pycuda.detail and "pip install" in pycuda.remedy and "nvcc" in pycuda.remedy


def test_tensorrt_flavours_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _modules(tmp_path, monkeypatch, {})
    for name, version in (("tensorrt-cu12", "10.16.1"), ("tensorrt-rtx", "1.3.0"), ("tensorrt-unrelated", "9")):
        _package(tmp_path, name, version)
    (found,) = doctor.tensorrt(tmp_path)
    assert found.state == "ok"
    assert found.detail.startswith("tensorrt-cu12 10.16.1, tensorrt-rtx 1.3.0") and "unrelated" not in found.detail


def test_without_a_display_there_is_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    found = next(doctor.display())
    assert found.state == "note"
    assert "web page" in found.detail


@pytest.mark.system
def test_with_a_display_windows_open(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-noreset", "-displayfd", str(write), "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    ) as x:
        try:
            os.close(write)
            with os.fdopen(read) as number:
                monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
            monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
            found = next(doctor.display())
        finally:
            x.terminate()
    assert found.state == "ok"
    assert "SDL" in found.detail


def test_missing_extras_come_with_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "uvicorn" else "1")
    web = next(f for f in doctor.extras() if f.detail.startswith("web"))
    assert web == Finding("extras", "note", "web: without uvicorn", "pip install 'stereo_rt[web]'")
