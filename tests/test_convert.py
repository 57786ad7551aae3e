"""Conversion: every format there and back, on random rigs and on real files, with the losses that are named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import calib_files
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from rig_strategies import stereo_rigs

from stereo_rt.calib import lens
from stereo_rt.calib.convert import LARGEST_LOSS_PX, RAW, as_raw, convert, format_of
from stereo_rt.calib.formats import read_calibration, write_calibration
from stereo_rt.calib.rectify import rectify_rig
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.errors import CalibrationError, UsageError
from stereo_rt.geometry import RectifiedRig

OUT = {
    "ours": "rig.yaml",
    "opencv": "rig.yml",
    "ros": "left.yaml,right.yaml",
    "kalibr": "camchain.yaml",
    "oak": "oak.json",
    "zed": "SN1.conf",
    "kitti": "calib_cam_to_cam.txt",
    "middlebury": "calib.txt",
}
RECTIFIED = RectifiedRig(640, 480, 500.25, 321.5, 239.125, 0.12, 3.5)


def out(folder: Path, kind: str) -> str:
    return ",".join(str(folder / name) for name in OUT[kind].split(","))


def same(a: StereoRig, b: StereoRig, px: float = 1e-6) -> None:
    """The same pixels of the same points, and the same pose."""
    np.testing.assert_allclose(a.R_right_left, b.R_right_left, atol=1e-7)
    np.testing.assert_allclose(a.T_right_left_m, b.T_right_left_m, atol=1e-9)
    for before, after in ((a.left, b.left), (a.right, b.right)):
        assert before.size == after.size and before.model == after.model
        x, y = np.meshgrid(np.linspace(-0.4, 0.4, 9), np.linspace(-0.3, 0.3, 7))
        rays = np.stack([x.ravel(), y.ravel(), np.ones(63)], axis=-1)
        np.testing.assert_allclose(lens.project(before, rays), lens.project(after, rays), atol=px)


def test_the_name_tells_the_format() -> None:
    assert {kind: format_of(name) for kind, name in OUT.items()} == {kind: kind for kind in OUT}
    with pytest.raises(UsageError, match="--to"):
        format_of("rig.bin")


@settings(max_examples=25)
@given(stereo_rigs(size=(1280, 720)))
def test_random_rigs_come_back_but_for_what_was_named(tmp_path_factory: pytest.TempPathFactory, rig: StereoRig) -> None:
    folder = tmp_path_factory.mktemp("rigs")
    write_calibration(rig, folder / "in.yaml")
    for kind in ("ours", *RAW):
        try:
            _, losses = convert(str(folder / "in.yaml"), out(folder, kind))
        except CalibrationError as e:
            assert kind in ("opencv", "zed", "kalibr", "oak"), e
            assert "no place for" in str(e) or "one lens model" in str(e)
            continue
        back = read_calibration(out(folder, kind))
        assert isinstance(back, StereoRig)
        same(rig, back, LARGEST_LOSS_PX * 2 if any("lens" in loss for loss in losses) else 1e-3)
        assert any("verdict" in loss for loss in losses) == (kind != "ours" and rig.verdict is not None)


def test_a_usual_rig_is_carried_whole_by_most(tmp_path: Path) -> None:
    write_calibration(calib_files.RIG, tmp_path / "in.yaml")
    for kind in ("ours", "opencv", "ros", "oak", "zed"):
        assert convert(str(tmp_path / "in.yaml"), out(tmp_path, kind))[1] == []
        back = read_calibration(out(tmp_path, kind))
        assert isinstance(back, StereoRig)
        same(calib_files.RIG, back)
    losses = convert(str(tmp_path / "in.yaml"), out(tmp_path, "kalibr"))[1]
    assert len(losses) == 1 and losses[0].startswith("k3 of the left lens"), "radtan has four coefficients"


def test_opencv_itself_reads_what_is_written_for_it(tmp_path: Path) -> None:
    write_calibration(calib_files.RIG, tmp_path / "in.yaml")
    convert(str(tmp_path / "in.yaml"), str(tmp_path / "rig.yml"))
    storage = cv2.FileStorage(str(tmp_path / "rig.yml"), cv2.FILE_STORAGE_READ)
    np.testing.assert_allclose(storage.getNode("M2").mat(), calib_files.RIGHT.K, rtol=1e-15)
    np.testing.assert_allclose(storage.getNode("D1").mat().ravel(), calib_files.LEFT.dist, rtol=1e-15)
    np.testing.assert_allclose(storage.getNode("T").mat(), calib_files.RIG.T_right_left_m, rtol=1e-15)


def test_a_lens_that_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    strong = CameraModel(1280, 720, calib_files.LEFT.K, np.array([-0.3, 0.1, 0, 0, -0.05]))
    write_calibration(StereoRig(strong, strong, np.eye(3), np.array([-0.1, 0, 0])), tmp_path / "in.yaml")
    with pytest.raises(CalibrationError, match=r"no place for all of the left lens \(k3\).* off by \d+\.\d px"):
        convert(str(tmp_path / "in.yaml"), str(tmp_path / "camchain.yaml"))
    small = CameraModel(640, 480, calib_files.LEFT.K, np.zeros(5))
    write_calibration(StereoRig(small, small, np.eye(3), np.array([-0.1, 0, 0])), tmp_path / "small.yaml")
    with pytest.raises(CalibrationError, match="no mode of a ZED has images of 640x480"):
        convert(str(tmp_path / "small.yaml"), str(tmp_path / "SN1.conf"))
    assert not list(tmp_path.glob("*camchain*")) and not list(tmp_path.glob("SN1*")), "nothing wrong is written"


@pytest.mark.parametrize("kind", ["ours", "opencv", "ros", "kalibr", "oak", "kitti", "middlebury"])
def test_a_rectified_pair_fits_everywhere(tmp_path: Path, kind: str) -> None:
    write_calibration(RECTIFIED, tmp_path / "in.yaml")
    assert convert(str(tmp_path / "in.yaml"), out(tmp_path, kind))[1] == []
    back = read_calibration(out(tmp_path, kind))
    if isinstance(back, RectifiedRig):
        for key in ("width", "height", "fx_px", "cx_px", "cy_px", "baseline_m", "doffs_px"):
            assert getattr(back, key) == pytest.approx(getattr(RECTIFIED, key), rel=1e-12, abs=1e-9)
    else:
        same(as_raw(RECTIFIED), back)


def test_a_raw_pair_as_kitti_is_said_to_describe_the_rectified_images(tmp_path: Path) -> None:
    write_calibration(calib_files.RIG, tmp_path / "in.yaml")
    for kind in ("kitti", "middlebury"):
        losses = convert(str(tmp_path / "in.yaml"), out(tmp_path, kind))[1]
        assert len(losses) == 1 and "rectified by this program" in losses[0]
        back = read_calibration(out(tmp_path, kind))
        assert isinstance(back, RectifiedRig)
        assert back.fx_px == pytest.approx(rectify_rig(calib_files.RIG).rig.fx_px)


@pytest.mark.parametrize("kind", [kind for kind in OUT if kind != "ours"])
def test_a_verdict_that_is_not_carried_is_named(tmp_path: Path, kind: str) -> None:
    write_calibration(replace(calib_files.RIG, verdict="redo"), tmp_path / "in.yaml")
    assert convert(str(tmp_path / "in.yaml"), out(tmp_path, kind))[1][-1] == "the verdict 'redo'"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A space in the place of the comma makes the right file the one to write."""
    write_calibration(calib_files.RIG, tmp_path / "in.yaml")
    pair = convert(str(tmp_path / "in.yaml"), out(tmp_path, "ros")) and out(tmp_path, "ros")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for words in (pair.split(","), (str(tmp_path / "in.yaml"), pair), (str(tmp_path / "absent.yaml"), pair)):
        with pytest.raises(UsageError, match=r"exists already, and nothing is overwritten.*comma"):
            convert(*words)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


REAL = {
    "oak_calib.json": "oak",
    "kalibr/sbs_equidistant_camchain.yaml": "kalibr",
    "kalibr/euroc_camchain-imucam.yaml": "kalibr",
    "ros_camera_info/left.yaml": "ros",
    "zed/SN_zedxmini.conf": "zed",
    "kitti/calib_cam_to_cam.txt": "kitti",
    "middlebury_calib_txt/motorcycle/calib.txt": "middlebury",
}


@pytest.mark.parametrize("file", REAL)
def test_real_files_go_there_and_back(shared_data: Path, tmp_path: Path, file: str) -> None:
    source = str(shared_data / "calib/formats" / file)
    before = read_calibration(source)
    for kind in ("ours", REAL[file]):
        assert convert(source, out(tmp_path, kind))[1] == []
        after = read_calibration(out(tmp_path, kind))
        raw = [as_raw(rig) if isinstance(rig, RectifiedRig) else rig for rig in (before, after)]
        same(*raw)


def test_the_command_names_what_is_lost(tmp_path: Path) -> None:
    write_calibration(calib_files.RIG, tmp_path / "in.yaml")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stereo_rt", "calibrate", "convert", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    done = run("in.yaml", "camchain.yaml")
    assert done.returncode == 0, done.stderr
    assert "written as kalibr; not carried:" in done.stdout and "k3 of the left lens" in done.stdout
    assert "nothing was lost" in run("in.yaml", "left.yaml,right.yaml").stdout
    assert (wrong := run("in.yaml", "left.yaml", "--to", "ros")).returncode == 2 and "left.yaml,right.yaml" in wrong.stderr
    assert (wrong := run("in.yaml", "x.yaml", "--to", "matlab")).returncode == 2 and "known are" in wrong.stderr
