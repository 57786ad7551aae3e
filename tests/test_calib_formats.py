"""The calibration readers: true layouts, real files, and whatever a stranger may hand over."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import calib_files
import cv2
import numpy as np
import pytest
import yaml
from calib_files import LEFT, RIG, RIGHT, SIZE, WRITERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig_strategies import stereo_rigs

from stereo_rt.calib.formats import read_calibration, write_calibration
from stereo_rt.calib.formats.document import MAX_BYTES
from stereo_rt.calib.rectify import rectify_rig
from stereo_rt.calib.rig import CameraModel, StereoRig
from stereo_rt.errors import CalibrationError, OutputError, StereoError
from stereo_rt.geometry import RectifiedRig


def read_raw(path: Path | str, frame_size: tuple[int, int] | None = None) -> StereoRig:
    rig = read_calibration(path, frame_size)
    assert isinstance(rig, StereoRig)
    return rig


def read_rectified(path: Path | str, frame_size: tuple[int, int] | None = None) -> RectifiedRig:
    rig = read_calibration(path, frame_size)
    assert isinstance(rig, RectifiedRig)
    return rig


def assert_same(found: StereoRig, expected: StereoRig, *, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    for a, b in ((found.left, expected.left), (found.right, expected.right)):
        assert (a.size, a.model) == (b.size, b.model)
        np.testing.assert_allclose(a.K, b.K, rtol, atol)
        longest = max(a.dist.size, b.dist.size)
        np.testing.assert_allclose(*(np.pad(c.dist, (0, longest - c.dist.size)) for c in (a, b)), rtol, atol)
    np.testing.assert_allclose(found.R_right_left, expected.R_right_left, rtol, atol)
    np.testing.assert_allclose(found.T_right_left_m, expected.T_right_left_m, rtol, atol)


def sentence(path: Path | str, frame_size: tuple[int, int] | None = None) -> str:
    """What reading the file is refused with: one sentence that names it."""
    with pytest.raises(CalibrationError) as caught:
        read_calibration(path, frame_size)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 600
    return text


# Our own format ---------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(stereo_rigs())
def test_our_yaml_keeps_every_number(tmp_path: Path, rig: StereoRig) -> None:
    write_calibration(rig, tmp_path / "rig.yaml")
    found = read_raw(tmp_path / "rig.yaml")
    assert_same(found, rig, rtol=0, atol=0)
    assert (found.name, found.verdict) == (rig.name, rig.verdict)
    assert found.T_right_left_m.shape == (3, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["rig.yaml"]


def test_our_yaml_keeps_a_rectified_rig(tmp_path: Path) -> None:
    rig = RectifiedRig(640, 480, 512.123456789, 319.1, 241.9, 0.1200001, 3.25)
    write_calibration(rig, tmp_path / "rig.yaml")
    assert read_rectified(tmp_path / "rig.yaml") == rig


def test_the_verdict_is_kept_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    write_calibration(StereoRig(LEFT, RIGHT, RIG.R_right_left, RIG.T_right_left_m, verdict="redo"), path)
    assert read_raw(path).verdict == "redo"
    path.write_text(path.read_text().replace("verdict: redo", "verdict: splendid"))
    assert "verdict" in sentence(path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    write_calibration(RIG, path)
    path.write_text(path.read_text().replace("version: 1", "version: 2"))
    assert "update" in sentence(path)


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_calibration(RIG, tmp_path / "file" / "rig.yaml")


def test_the_example_rigs_can_be_read_and_rectified(repo: Path) -> None:
    examples = sorted((repo / "calibration" / "examples").glob("*.yaml"))
    assert examples
    for path in examples:
        assert rectify_rig(read_raw(path)).rig.baseline_m > 0


# Other tools' layouts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".yml", ".xml", ".json"])
def test_opencv(tmp_path: Path, suffix: str) -> None:
    assert_same(read_raw(calib_files.opencv(tmp_path, suffix)), RIG)


def test_opencv_numbers_are_those_that_opencv_reads(tmp_path: Path) -> None:
    path = calib_files.opencv(tmp_path)
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    found = read_raw(path)
    np.testing.assert_array_equal(storage.getNode("M1").mat(), found.left.K)
    np.testing.assert_array_equal(storage.getNode("R").mat(), found.R_right_left)


def test_opencv_in_two_files(tmp_path: Path) -> None:
    """The stereo_calib sample writes M1 D1 M2 D2 to one file and R T to another, and no image size."""
    intrinsics, extrinsics = tmp_path / "intrinsics.yml", tmp_path / "extrinsics.yml"
    for path, names in ((intrinsics, ("M1", "D1", "M2", "D2")), (extrinsics, ("R", "T"))):
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        values = {
            "M1": LEFT.K,
            "D1": LEFT.dist,
            "M2": RIGHT.K,
            "D2": RIGHT.dist,
            "R": RIG.R_right_left,
            "T": RIG.T_right_left_m,
        }
        for name in names:
            storage.write(name, values[name])
        storage.release()
    for given_path in (f"{intrinsics},{extrinsics}", intrinsics, extrinsics):
        assert_same(read_raw(given_path, SIZE), RIG)
    assert "image size" in sentence(intrinsics)
    extrinsics.unlink()
    assert "'R'" in sentence(intrinsics, SIZE)


@pytest.mark.parametrize(
    "names",
    [
        ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2"),
        ("cameraMatrixL", "distCoeffsL", "cameraMatrixR", "distCoeffsR"),
        ("K_LEFT", "D_LEFT", "K_RIGHT", "D_RIGHT"),
        ("left_camera_matrix", "left_distortion", "right_camera_matrix", "right_distortion"),
    ],
)
def test_opencv_under_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = calib_files.opencv(tmp_path)
    text = path.read_text()
    for old, new in zip(("M1", "D1", "M2", "D2"), names, strict=True):
        text = text.replace(f"\n{old}:", f"\n{new}:")
    path.write_text(text)
    assert_same(read_raw(path), RIG)


def test_opencv_fisheye_is_told_by_its_names(tmp_path: Path) -> None:
    storage = cv2.FileStorage(str(tmp_path / "zed.yml"), cv2.FILE_STORAGE_WRITE)
    values = {"K_LEFT": LEFT.K, "K_RIGHT": RIGHT.K, "D_LEFT_FE": LEFT.dist[:4], "D_RIGHT_FE": RIGHT.dist[:4]}
    for name, value in {**values, "R": calib_files.ROTATION_VECTOR, "T": RIG.T_right_left_m * 1000}.items():
        storage.write(name, value)
    storage.release()
    found = read_raw(tmp_path / "zed.yml", SIZE)
    assert found.left.model == found.right.model == "fisheye"
    np.testing.assert_allclose(found.R_right_left, RIG.R_right_left, atol=1e-12)


def test_opencv_in_an_unclear_unit_is_refused(tmp_path: Path) -> None:
    path = calib_files.opencv(tmp_path)
    path.write_text(path.read_text().replace("-120.", "-12."))
    assert "metres" in sentence(path)


def test_ros(tmp_path: Path) -> None:
    left = calib_files.ros(tmp_path)
    right = tmp_path / "right.yaml"
    for given_path in (left, right, f"{left},{right}"):
        assert_same(read_raw(given_path), RIG, atol=1e-6)
    assert "swapped" in sentence(f"{right},{left}")
    right.unlink()
    assert "partner" in sentence(left)


@pytest.mark.parametrize("by_imu", [False, True])
def test_kalibr(tmp_path: Path, by_imu: bool) -> None:
    found = read_raw(calib_files.kalibr(tmp_path, by_imu))
    np.testing.assert_allclose(found.left.dist, LEFT.dist[:4])
    np.testing.assert_allclose(found.R_right_left, RIG.R_right_left, atol=1e-9)
    np.testing.assert_allclose(found.T_right_left_m, RIG.T_right_left_m, atol=1e-9)


def test_kalibr_fisheye_and_unknown_models(tmp_path: Path) -> None:
    path = calib_files.kalibr(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("radtan", "equidistant"))
    assert read_raw(path).left.model == "fisheye"
    path.write_text(text.replace("camera_model: pinhole", "camera_model: omni"))
    assert "pinhole" in sentence(path)


@pytest.mark.parametrize("by_colour", [False, True])
def test_depthai(tmp_path: Path, by_colour: bool) -> None:
    assert_same(read_raw(calib_files.depthai(tmp_path, by_colour)), RIG, atol=1e-7)


def test_depthai_without_a_chain_or_a_camera(tmp_path: Path) -> None:
    path = calib_files.depthai(tmp_path)
    tree = json.loads(path.read_text())
    tree["cameraData"][1][1]["extrinsics"]["toCameraSocket"] = -1
    path.write_text(json.dumps(tree))
    assert "chain" in sentence(path)
    del tree["cameraData"][1]
    path.write_text(json.dumps(tree))
    assert "socket 1" in sentence(path)


def test_zed(tmp_path: Path) -> None:
    path = calib_files.zed(tmp_path)
    assert_same(read_raw(path, SIZE), RIG)
    assert read_raw(path).size == read_raw(path, (1920, 1080)).size == (1920, 1080)
    assert read_raw(path, (1920, 1080)).left.K[0, 0] == pytest.approx(1.5 * LEFT.K[0, 0])
    assert "672x376" in sentence(path, (672, 376))


def test_zed_with_the_lens_in_its_own_section(tmp_path: Path) -> None:
    """As Stereolabs' calibration tool writes it: one lens an eye for all resolutions, rational or fisheye."""
    path = calib_files.zed(tmp_path)
    rational = "[LEFT_DISTO]\nk1=.1\nk2=.2\np1=.3\np2=.4\nk3=.5\nk4=.6\nk5=.7\nk6=.8\n[RIGHT_DISTO]\nk1=1\nk2=2\nk3=3\nk4=4\n"
    path.write_text(path.read_text() + rational)
    found = read_raw(path)
    np.testing.assert_allclose(found.left.dist, np.arange(1, 9) / 10)
    assert found.left.model == "pinhole" and found.right.model == "fisheye"
    np.testing.assert_allclose(found.right.dist, [1, 2, 3, 4])


def test_kitti(tmp_path: Path) -> None:
    expected = RectifiedRig(1242, 375, 700, 600, 180, 0.54)
    for found in (
        read_rectified(calib_files.kitti(tmp_path)),
        read_rectified(calib_files.kitti_odometry(tmp_path), (1242, 375)),
    ):
        assert found.size == expected.size
        assert found.baseline_m == pytest.approx(0.54, abs=1e-7)
        assert (found.fx_px, found.cx_px, found.cy_px, found.doffs_px) == (700, 600, 180, 0)
    assert "image size" in sentence(tmp_path / "calib.txt")


def test_kitti_with_the_grey_pair_only(tmp_path: Path) -> None:
    path = calib_files.kitti(tmp_path)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if line[:9] not in ("P_rect_02", "P_rect_03")))
    assert read_rectified(path).baseline_m == pytest.approx(0.53, abs=1e-7)


def test_frames_resized_since_do_not_pass_for_those_of_a_file_without_a_size(tmp_path: Path) -> None:
    kitti, opencv = calib_files.kitti_odometry(tmp_path), calib_files.opencv(tmp_path)
    opencv.write_text("\n".join(line for line in opencv.read_text().splitlines() if not line.startswith("image_")) + "\n")
    half = SIZE[0] // 2, SIZE[1] // 2
    for path, own, resized in ((kitti, (1242, 375), (621, 188)), (opencv, SIZE, half), (opencv, SIZE, (960, 540))):
        assert read_calibration(path, own).size == own
        said = sentence(path, resized)
        assert f"does not fit frames {resized[0]} pixels wide" in said and "state the size" in said
    kitti.write_text(kitti.read_text() + "\nS_rect_02: 1242 375\n")
    assert read_rectified(kitti, (621, 188)).scaled(621, 188).fx_px == 350
    opencv.write_text(opencv.read_text() + f"imageSize: {list(SIZE)}\n")
    assert read_raw(opencv, half).scaled(*half).left.K[0, 0] == pytest.approx(LEFT.K[0, 0] / 2)


def test_middlebury_counts_in_millimetres(tmp_path: Path) -> None:
    path = calib_files.middlebury(tmp_path)
    assert read_rectified(path) == RectifiedRig(2964, 1988, 3997.5, 1176.25, 1011.5, 0.1935, 131.25)
    text = path.read_text()
    path.write_text(text.replace("193.5", "0.1935"))
    assert "metres" in sentence(path)
    path.write_text(text.replace("doffs=131.25", "doffs=13.25"))
    assert "contradicts" in sentence(path)


def test_realsense_has_a_geometry_for_every_resolution(tmp_path: Path) -> None:
    path = calib_files.realsense(tmp_path)
    assert read_rectified(path, (640, 480)) == RectifiedRig(640, 480, 320, 321, 238, 0.0500625)
    assert read_rectified(path).size == (1280, 720)
    assert "848x480" in sentence(path, (848, 480))


def test_realsense_slots_that_the_camera_does_not_use_are_no_resolutions(tmp_path: Path) -> None:
    path = calib_files.realsense(tmp_path)
    assert "no 640x400 among its resolutions (1280x720, 640x480)" in sentence(path, (640, 400))
    path.write_text(path.read_text().replace('"rectified.0.fx": 640.0', '"rectified.0.fx": 0'))
    assert read_rectified(path).size == (640, 480)
    path.write_text(path.read_text().replace('"rectified.1.fx": 320.0', '"rectified.1.fx": 0'))
    assert "none of its resolutions" in sentence(path)


# Contradictions ---------------------------------------------------------------------------------------------------

# The text before the baseline in each layout, and the baseline.
BASELINES = {
    "opencv": ("data: [ ", "-120."),
    "kalibr": ("", "-0.12"),
    "depthai": ('"x": ', "-12.0"),
    "zed": ("Baseline=", "120.0"),
    "middlebury": ("baseline=", "193.5"),
    "realsense": ('"baseline": ', "-50.0625"),
}


def with_baseline(path: Path, name: str, instead: str) -> Path:
    before, number = BASELINES[name]
    assert before + number in path.read_text()
    path.write_text(path.read_text().replace(before + number, before + instead))
    return path


@pytest.mark.parametrize("name", BASELINES)
def test_a_negative_baseline_is_refused_in_every_format(tmp_path: Path, name: str) -> None:
    number = BASELINES[name][1]
    negated = number[1:] if number.startswith("-") else f"-{number}"
    assert "swap" in sentence(with_baseline(WRITERS[name](tmp_path), name, negated))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_of_zero_is_refused_in_every_format(tmp_path: Path, name: str) -> None:
    path = with_baseline(WRITERS[name](tmp_path), name, "0.0")
    with pytest.raises(CalibrationError, match=r"baseline|side-by-side"):
        rectify_rig(read_raw(path))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("instead", [".nan", "NaN", "many", "[1, [2]]", "1e400", "9" * 5000])
def test_a_baseline_that_is_no_length_is_refused(tmp_path: Path, name: str, instead: str) -> None:
    sentence(with_baseline(WRITERS[name](tmp_path), name, instead))


# Files that are no calibration ------------------------------------------------------------------------------------

HOSTILE = {
    "empty": b"",
    "blank": b" \n\t\n",
    "binary": bytes(range(256)) * 8,
    "nul": b"cam0:\0",
    "latin": "name: caméra".encode("latin-1"),
    "prose": b"this is no calibration\n",
    "a list": b"- 1\n- 2\n",
    "python tag": b"!!python/object/apply:os.system ['true']\n",
    "python tag inside": b"format: stereo_rt rig\nversion: !!python/object/apply:os.getpid []\n",
    "odd scalars": b"a: !!bool maybe\n",
    "odd date": b"a: 2001-99-99\n",
    "deep yaml": b"[" * 50_000,
    "deep json": b'{"a":' * 50_000,
    "deep xml": b"<a>" * 100_000,
    "alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 122)),
    "merge bomb": b"a: &a {k: 1}\n"
    + b"".join(b"%c: &%c {<<: [%s]}\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 122)),
    "loop": b"cam0: &a {intrinsics: *a}\ncam1: *a\n",
    "loop of lists": b"cam0: {intrinsics: &a [*a], camera_model: pinhole, T_cn_cnm1: *a}\ncam1: {T_cn_cnm1: &b [*b, *b]}\n",
    "entity bomb": b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><opencv_storage>&c;</opencv_storage>',
    "external entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><opencv_storage><R>&b;</R></opencv_storage>',
    "claims": b"%YAML:1.0\n---\nM1: !!opencv-matrix\n   rows: 100000\n   cols: 100000\n   dt: d\n   data: [1.]\nR: [1]\n",
    "claims xml": b"<opencv_storage>"
    b"<R type_id='opencv-matrix'><rows>1e9</rows><cols>1e9</cols><data>1</data></R></opencv_storage>",
    "huge image": b"cam0=[1 0 1; 0 1 1; 0 0 1]\ncam1=[1 0 1; 0 1 1; 0 0 1]\nbaseline=60\nwidth=99999999\nheight=99999999\n",
    "no columns": b"cam0=[\ncam1=]\n",
    "ini": b"[LEFT_CAM_HD]\n[LEFT_CAM_HD]\n",
    "ini without values": b"[LEFT_CAM_HD]\nfx\n=\n[STEREO]\n",
    "kitti words": b"P_rect_02: 1 2 three\nP_rect_03: 4\n",
    "kitti zeros": b"P2: " + b"0 " * 12 + b"\nP3: " + b"0 " * 12 + b"\n",
    "depthai": b'{"cameraData": [[1, 2], [null, {}]]}',
    "realsense": b'{"rectified.0.width": 1}',
    "json numbers": b'{"rectified.0.width": 1e999, "rectified.0.height": -0}',
    "ours": b"format: stereo_rt rig\nversion: [[[[1]]]]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "calib"
    path.write_bytes(HOSTILE[name])
    sentence(path, (640, 480))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "no file" in sentence(tmp_path / "absent.yaml")
    assert "no file" in sentence(tmp_path)
    assert "no file" in sentence(f"{tmp_path}/left.yaml,{tmp_path}/right.yaml")
    assert "no file" in sentence("/dev/zero")
    (tmp_path / "large.yaml").write_bytes(b" " * (MAX_BYTES + 1))
    assert "larger" in sentence(tmp_path / "large.yaml")


@pytest.mark.parametrize("name", WRITERS)
def test_every_truncation_reads_or_gets_one_sentence(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path)
    data = path.read_bytes()
    refused = 0
    for end in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:end])
        try:
            read_calibration(path, SIZE)
        except CalibrationError:
            refused += 1
    assert refused > 20


def only_sentences(data: bytes, frame_size: tuple[int, int] | None = SIZE) -> None:
    """Whatever is in the file: a rig that rectifies or refuses to, or a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calib"
        path.write_bytes(data)
        try:
            rig = read_calibration(path, frame_size)
            if isinstance(rig, StereoRig):
                rectify_rig(rig)
        except StereoError as e:
            assert "\n" not in str(e)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda t: t.encode("utf-8", "replace")))
def test_random_bytes(data: bytes) -> None:
    only_sentences(data)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([640, -1, 1e300, "1e5", ""])
)
TREES = st.recursive(
    LEAVES, lambda t: st.lists(t, max_size=10) | st.dictionaries(st.text(max_size=6), t, max_size=6), max_leaves=20
)
KNOWN = """format version left right R_right_left T_right_left_m rectified image_size K_px distortion model cam0 cam1
intrinsics camera_model distortion_model distortion_coeffs resolution T_cn_cnm1 T_cam_imu cameraData baseline M1 D1 R T
stereoRectificationData rectified.0.width rectified.0.fx camera_matrix projection_matrix image_width"""
KEYS = st.sampled_from(KNOWN.split())


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, TREES | st.dictionaries(KEYS, TREES, max_size=6), max_size=8), st.booleans(), st.booleans())
def test_random_trees(tree: dict[str, object], ours: bool, as_json: bool) -> None:
    if ours:
        tree = tree | {"format": "stereo_rt rig", "version": 1}
    only_sentences((json.dumps(tree) if as_json else yaml.safe_dump(tree)).encode("utf-8", "replace"))


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files = {name: writer(tmp_path_factory.mktemp("valid")).read_bytes() for name, writer in WRITERS.items()}
    folder = tmp_path_factory.mktemp("ours")
    write_calibration(RIG, folder / "rig.yaml")
    files["xml"] = calib_files.opencv(folder, ".xml").read_bytes()
    return files | {"ours": (folder / "rig.yaml").read_bytes()}


@settings(deadline=None, max_examples=250)
@given(st.data())
def test_mutations_of_valid_files(valid_files: dict[str, bytes], data: st.DataObject) -> None:
    """Cut, repeat, overwrite, or put another value in the place of a number."""
    text = valid_files[data.draw(st.sampled_from(sorted(valid_files)))]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        instead = data.draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"", text[start:end] * 2, b"0", b"-1", b"1e300", b".nan", b"[", b"]", b"{}", b"'", b": ", b"\n", b"null"]
            )
        )
        text = text[:start] + instead + text[end:]
    only_sentences(text)


# Real files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def formats(shared_data: Path) -> Path:
    folder = shared_data / "calib" / "formats"
    if not folder.is_dir():
        pytest.skip("the real calibration files are not here")
    return folder


@pytest.mark.parametrize(
    ("file", "frame_size", "size", "baseline_m"),
    [
        ("oak_calib.json", None, (1280, 800), 0.07381),
        ("kalibr/euroc_camchain-imucam.yaml", None, (752, 480), 0.11008),
        ("kalibr/sbs_equidistant_camchain.yaml", None, (1280, 960), 0.05913),
        ("ros_camera_info/left.yaml", None, (1280, 960), 0.05489),
        ("ros_camera_info/right.yaml", None, (1280, 960), 0.05489),
        ("zed/SN_zed2_partial.conf", (1280, 720), (1280, 720), 0.12014),
        ("zed/SN_zed2_partial.conf", None, (2208, 1242), 0.12014),
        ("zed/SN_zedxmini.conf", None, (1920, 1200), 0.04988),
        ("../opencv_13pairs/cameraParams.yml", None, (640, 480), 0.08356),
    ],
)
def test_real_raw_rigs(
    formats: Path, file: str, frame_size: tuple[int, int] | None, size: tuple[int, int], baseline_m: float
) -> None:
    rig = read_raw(formats / file, frame_size)
    assert rig.size == size
    assert rig.baseline_m == pytest.approx(baseline_m, abs=1e-5)
    grid = rectify_rig(rig).rig
    assert 0.7 < grid.fx_px / rig.left.K[0, 0] < 1.4


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("realsense/d400_calib_table.json", RectifiedRig(640, 480, 382.882, 324.735, 235.147, 0.0500648)),
        ("kitti/calib_cam_to_cam.txt", RectifiedRig(1224, 370, 707.0493, 604.0814, 180.5066, 0.5357352)),
        ("middlebury_calib_txt/sword/calib.txt", RectifiedRig(2884, 1956, 7125.31, 2290.766, 946.763, 0.169748, 515.172)),
        ("middlebury_calib_txt/terrace/calib.txt", RectifiedRig(713, 434, 711.499, 376.135, 227.447, 0.0599432)),
        ("../../eth3d_twoview/terrace/calib.txt", RectifiedRig(713, 434, 711.499, 376.135, 227.447, 0.0599432)),
    ],
)
def test_real_rectified_rigs(formats: Path, file: str, expected: RectifiedRig) -> None:
    found = read_rectified(formats / file, (640, 480))
    assert found.size == expected.size
    for name in ("fx_px", "cx_px", "cy_px", "baseline_m", "doffs_px"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-6)


def test_the_oak_pose_is_the_one_that_its_own_rectification_implies(formats: Path) -> None:
    """The EEPROM also holds the rectifying rotations; ours may differ by a common turn about the baseline only."""
    stereo = json.loads((formats / "oak_calib.json").read_text())["stereoRectificationData"]
    R_left, R_right = (np.array(stereo[f"rectifiedRotation{eye}"]) for eye in ("Left", "Right"))
    rig = read_raw(formats / "oak_calib.json")
    np.testing.assert_allclose(R_right.T @ R_left, rig.R_right_left, atol=1e-3)
    np.testing.assert_allclose(R_right @ rig.T_right_left_m / rig.baseline_m, [[-1], [0], [0]], atol=1e-3)


def test_the_opencv_sample_rectifies_as_its_own_file_says(formats: Path) -> None:
    path = formats / ".." / "opencv_13pairs" / "cameraParams.yml"
    if not path.is_file():
        pytest.skip("the OpenCV sample is not here")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    result = rectify_rig(read_raw(path))
    np.testing.assert_allclose(result.R_left, storage.getNode("R1").mat(), atol=2e-3)
    np.testing.assert_allclose(result.R_right, storage.getNode("R2").mat(), atol=2e-3)


def test_one_camera_alone_is_no_rig(formats: Path) -> None:
    assert "stereo" in sentence(formats / ".." / "opencv_13pairs" / "MonocularCameraParams.yml")


def test_camera_models_survive_a_change_of_format(tmp_path: Path) -> None:
    """What the DepthAI file says, in our YAML: the same lens of 14 coefficients."""
    rig = read_raw(calib_files.depthai(tmp_path))
    write_calibration(rig, tmp_path / "ours.yaml")
    again = read_raw(tmp_path / "ours.yaml")
    assert again.left.dist.size == 14 and isinstance(again.left, CameraModel)
    assert_same(again, rig, rtol=0, atol=0)
