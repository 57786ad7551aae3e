"""The table of shipped networks, look-up, checksums, and recognising a stereo network."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from stereo_rt import paths
from stereo_rt.config import CalibConfig
from stereo_rt.errors import ModelError
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.matchers.models import Twin, better_grid, find_model, shipped_models, signature, twins, write_models
from stereo_rt.session import live_size, make_plan

IMAGE = (1, 3, 480, 640)
MAP = (1, 1, 480, 640)


def test_every_shipped_model_is_whole_and_described() -> None:
    table = shipped_models()
    assert "student_s" in table
    for name, facts in table.items():
        model = find_model(name)
        assert model.sha256 == facts["sha256"] == hashlib.sha256(model.path.read_bytes()).hexdigest()
        for key in ("input_size", "max_disparity_px", "outputs", "normalisation", "recipe", "scores", "licence"):
            assert facts[key], f"{name}: models.yaml lacks {key}"
        assert (paths.engines() / facts["card"]).is_file()


def test_a_typing_slip_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match=r"'student_z'.*did you mean 'student_s'\?"):
        find_model("student_z")
    with pytest.raises(ModelError, match=r"student_s, .*; or pass a file"):
        find_model("qqqq")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: the network cannot be read \(No such file"):
        find_model(str(tmp_path / "none.onnx"))


@pytest.fixture
def own_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "engines"
    shutil.copytree(paths.engines(), folder)
    monkeypatch.setattr(paths, "engines", lambda: folder)
    return folder


def test_a_damaged_shipped_file_is_refused(own_engines: Path) -> None:
    file = own_engines / "student_s.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged, its checksum"):
        find_model("student_s")
    assert find_model(str(file)).name == "student_s"  # on purpose, as a file


def test_a_damaged_table_is_one_sentence(own_engines: Path) -> None:
    (own_engines / "models.yaml").write_text("student_s: [")
    with pytest.raises(ModelError, match="cannot be read"):
        find_model("student_s")
    (own_engines / "models.yaml").write_text(yaml.safe_dump({"student_s": {"file": "student_s.onnx"}}))
    with pytest.raises(ModelError, match="entry student_s lacks sha256"):
        find_model("student_s")


def test_names_decide_what_is_what() -> None:
    found = signature(Path("x.onnx"), [("right_img", IMAGE), ("left_img", IMAGE)], [("conf", MAP), ("disp", (1, 480, 640))])
    assert (found.left, found.right, found.disparity, found.confidence) == ("left_img", "right_img", "disp", "conf")
    assert (found.width, found.height) == (640, 480)


def test_convention_decides_where_names_say_nothing() -> None:
    found = signature(Path("x.onnx"), [("a", IMAGE), ("b", IMAGE)], [("features", (1, 32, 120, 160)), ("y", MAP), ("z", MAP)])
    assert (found.left, found.right, found.disparity, found.confidence) == ("a", "b", "y", None)


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ([("x", IMAGE)], [("y", MAP)], "takes two images"),
        ([], [("y", MAP)], "takes nothing"),
        ([("a", IMAGE), ("b", (1, 3, 240, 320))], [("y", MAP)], "takes two images"),
        ([("a", (1, 1, 480, 640))] * 2, [("y", MAP)], "takes two images"),
        ([("a", (1, 3, "h", "w")), ("b", (1, 3, "h", "w"))], [("y", MAP)], "size is not fixed"),
        ([("a", (4, *IMAGE[1:])), ("b", (4, *IMAGE[1:]))], [("y", MAP)], "size is not fixed"),
        ([("a", IMAGE), ("b", IMAGE)], [("y", (1, 1000))], "no output of 640x480"),
        ([("a", IMAGE), ("b", IMAGE)], [], "gives nothing"),
    ],
)
def test_what_is_no_stereo_network_is_one_sentence(inputs: list, outputs: list, why: str) -> None:
    with pytest.raises(ModelError, match=why) as e:
        signature(Path("x.onnx"), inputs, outputs)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("model", "size", "better"),
    [
        ("student_s", (640, 480), None),
        ("student_s", (1280, 720), "student_s_16x9"),
        ("student_s", (1242, 375), "student_s_wide"),
        ("student_m", (1242, 375), "student_m_wide"),
        ("student_s_wide", (1242, 375), None),
        ("student_s_wide", (640, 480), "student_s"),
        ("student_s_16x9", (720, 480), "student_s_3x2"),
        ("student_s_int8", (1920, 1080), "student_s_int8_16x9"),
        ("mine", (1242, 375), None),
    ],
)
def test_frames_that_leave_a_grid_empty_have_a_better_network(model: str, size: tuple[int, int], better: str | None) -> None:
    assert better_grid(model, size) == better


def test_the_loop_says_which_network_suits_wide_frames(caplog: pytest.LogCaptureFixture) -> None:
    """Where the matcher has not got its grid itself, as an engine."""
    rig, wide = RectifiedRig.uncalibrated(1242, 375), (1280, 384)
    for model, own, said in (
        ("student_s", (), "--model student_s_wide sees more"),
        ("student_s", (wide,), ""),
        ("student_s_wide", (), ""),
    ):
        spec = MatcherSpec(model, "tensorrt", 640, 480, max_disparity_px=192, has_confidence=True, others=own)
        caplog.clear()
        make_plan(rig, CalibConfig(), rig.size, spec, offline=False)
        assert said in caplog.text and bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("frame", "others", "grid"),
    [
        ((1242, 375), (), (640, 193)),
        ((1242, 375), ((1280, 384),), (1242, 375)),
        ((1280, 720), (), (640, 360)),
        ((1280, 720), ((736, 416), (1280, 384)), (736, 414)),
    ],
)
def test_live_frames_are_rectified_to_the_grid_that_will_match_them(
    frame: tuple[int, int], others: tuple[tuple[int, int], ...], grid: tuple[int, int]
) -> None:
    spec = MatcherSpec("n", "onnx", 640, 480, max_disparity_px=192, has_confidence=True, others=others)
    assert live_size(frame, spec) == grid


def test_twins_are_of_the_same_weights_on_the_grids_of_their_row() -> None:
    """What the table says of them, and what nets/student.py does."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from stereo_rt.nets.student import SHAPES, SIZES
    from stereo_rt.nets.weights import load_network

    table = shipped_models()
    originals = [name for name, facts in table.items() if "of" not in facts]
    assert set(originals) == {"student_s", "student_m", "student_l", "student_s_int8", "student_m_int8"}
    for name in originals:
        others = SIZES[table[name]["student_size"]].others
        assert set(twins(name)) == {Twin(f"{name}_{shape}", size) for shape, size in zip(SHAPES, others, strict=True)}
        for twin in twins(name):
            assert not twins(twin.name) and find_model(twin.name).path.stat().st_size < 400_000
            assert table[twin.name]["version"] == table[name]["version"]
            if "precision" not in table[name]:
                own, other = (load_network(find_model(each).path)[0].state_dict() for each in (name, twin.name))
                assert own.keys() == other.keys() and all(torch.equal(own[key], other[key]) for key in own)


def test_a_twin_whose_weights_are_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(paths.engines(), tmp_path / "engines", ignore=shutil.ignore_patterns("*_[ml]*", "cache"))
    monkeypatch.setattr(paths, "engines", lambda: tmp_path / "engines")
    assert find_model("student_s_16x9").name == "student_s_16x9"
    file = tmp_path / "engines" / "student_s.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"student_s\.onnx: is damaged"):
        find_model("student_s_16x9")


def test_the_table_says_of_twins_what_their_original_says_and_writes_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = {"file": "net.onnx", "sha256": "0", "licence": "MIT", "input_size": "640x480"}
    twin = {"of": "net", "file": "net_wide.onnx", "sha256": "1", "input_size": "1280x384"}
    text = "# kept\n" + yaml.safe_dump({"net": original, "net_wide": twin}, sort_keys=False)
    (tmp_path / "models.yaml").write_text(text)
    monkeypatch.setattr(paths, "engines", lambda: tmp_path)
    table = shipped_models()
    assert table["net_wide"] == original | twin and twins("net") == (Twin("net_wide", (1280, 384)),)
    write_models(table)
    assert yaml.safe_load((tmp_path / "models.yaml").read_text()) == yaml.safe_load(text)
    (tmp_path / "models.yaml").write_text(text.replace("of: net", "of: gone"))
    with pytest.raises(ModelError, match="net_wide is of gone, which is not there"):
        shipped_models()
