"""Readers of dataset layouts, each on a tiny tree of the true layout made here, and `stereo-rt eval` on them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_trees import FRONT_PX, OLD_MIDDLEBURY, SIZE, TREES, eth3d, instereo2k, kitti, png, scene
from typer.testing import CliRunner

from stereo_rt.cli import app as cli
from stereo_rt.datasets import LAYOUTS, open_dataset
from stereo_rt.datasets.labelled import occluded_by
from stereo_rt.errors import SourceError, UsageError
from stereo_rt.evaluation.metrics import error_rates
from stereo_rt.sinks.files import read_pfm, write_pfm

cli.register()
SIZES = {name: size for name, size, *_ in OLD_MIDDLEBURY} | {
    "2006/ThirdSize/Aloe": (413, 370),
    "2006/ThirdSize/Art/Illum1/Exp0": (413, 370),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_and_read(layout: str, tmp_path: Path) -> None:
    names = TREES[layout](tmp_path)
    items = open_dataset(tmp_path)
    assert sorted(item.name for item in items) == sorted(names)
    assert [item.name for item in open_dataset(f"{layout}:{tmp_path}")] == [item.name for item in items]
    for item in items:
        sample = item.load()
        left, right, left_px, _, hidden = scene(SIZES.get(item.name, SIZE))
        if layout == "eth3d" or "data_stereo_flow" in item.name:
            left, right = (np.repeat(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY)[..., None], 3, 2) for i in (left, right))
        np.testing.assert_array_equal(sample.left, left)
        np.testing.assert_array_equal(sample.right, right)
        assert sample.truth_px.dtype == np.float32
        np.testing.assert_allclose(sample.truth_px, left_px, atol=1e-3)
        assert sample.occluded is not None
        np.testing.assert_array_equal(sample.occluded, hidden)
        if item.name == "labels/b":
            assert sample.weight is not None and np.allclose(sample.weight, 0.25, atol=1e-4)
        else:
            assert sample.weight is None


@pytest.mark.parametrize("layout", ["instereo2k", "kitti", "eth3d"])
def test_a_part_of_a_dataset_is_recognised_too(layout: str, tmp_path: Path) -> None:
    """People point at the folder above or below the one that we would."""
    TREES[layout](tmp_path)
    inner = {"instereo2k": "train/part1/000000", "kitti": "data_scene_flow/training", "eth3d": "two_view_training"}[layout]
    (item,) = open_dataset(f"{layout}:{tmp_path / inner}")
    assert np.nanmax(item.load().truth_px) == FRONT_PX


def test_occlusion_and_sign_of_disparity_agree_with_the_images() -> None:
    """The scene that the readers are tested with is itself right: visible points look the same in both eyes."""
    left, right, left_px, right_px, hidden = scene()
    y, x = np.nonzero(~hidden)
    np.testing.assert_array_equal(left[y, x], right[y, x - left_px[y, x].astype(int)])
    np.testing.assert_array_equal(occluded_by(left_px, right_px), hidden)
    left_px[:8] = np.nan
    assert not occluded_by(left_px, right_px)[:8].any(), "nobody knows"


def test_unknown_disparity_is_nan(tmp_path: Path) -> None:
    kitti(tmp_path)
    noc = tmp_path / "data_scene_flow/training/disp_noc_0/000000_10.png"
    (tmp_path / "data_scene_flow/training/disp_occ_0/000000_10.png").unlink()
    sample = open_dataset(tmp_path)[0].load()
    assert sample.occluded is None, "the map of what both eyes see says nothing of the rest"
    np.testing.assert_array_equal(np.isnan(sample.truth_px), cv2.imread(str(noc), cv2.IMREAD_UNCHANGED) == 0)


@pytest.mark.parametrize(
    ("layout", "file", "content", "why"),
    [
        ("sceneflow", "Monkaa/frames_cleanpass/family_x2/right/0006.png", None, "cannot be read"),
        ("sceneflow", "Monkaa/disparity/family_x2/left/0006.pfm", b"PF\n4 4\n-1\n", "colour PFM"),
        ("instereo2k", "train/part1/000000/left_disp.png", b"nothing", "not a whole image"),
        ("instereo2k", "train/part1/000000/left.png", b"", "not a whole image"),
        ("kitti", "data_scene_flow/training/disp_occ_0/000000_10.png", b"\x89PNG", "not a whole image"),
        ("middlebury", "2001/venus/disp2.pgm", b"P5", "not a whole image"),
        ("middlebury", "2014/Pipes-perfect/disp0.pfm", b"Pf\n96 64\n-1\n", "cut short"),
        ("eth3d", "two_view_training/terrace_1s/im1.png", None, "cannot be read"),
        ("ours", "indoor/a/disparity.pfm", b"", "not a PFM"),
        ("ours", "labels/b/confidence.png", None, "cannot be read"),
    ],
)
def test_a_damaged_file_is_one_sentence(layout: str, file: str, content: bytes | None, why: str, tmp_path: Path) -> None:
    TREES[layout](tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(SourceError, match=why) as error:
        for item in open_dataset(tmp_path):
            item.load()
    assert Path(file).name in str(error.value) and "\n" not in str(error.value)


def test_images_that_do_not_belong_together_are_one_sentence(tmp_path: Path) -> None:
    eth3d(tmp_path)
    png(tmp_path / "two_view_training/terrace_1s/im1.png", np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(SourceError, match=r"'right' differ in size \(96x64 and 50x40\)"):
        open_dataset(tmp_path)[0].load()


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("sceneflow", "Driving/disparity/15mm_focallength/fast/right/0006.pfm"),
        ("instereo2k", "test/000040/right_disp.png"),
        ("kitti", "data_scene_flow/training/disp_noc_0/000000_10.png"),
        ("middlebury", "2014/Pipes-perfect/disp1.pfm"),
        ("eth3d", "two_view_training_gt/terrace_1s/mask0nocc.png"),
        ("ours", "indoor/a/nocc.png"),
    ],
)
def test_maps_of_another_size_are_one_sentence(layout: str, file: str, tmp_path: Path) -> None:
    TREES[layout](tmp_path)
    small = np.ones((40, 50), np.uint8)
    if file.endswith(".pfm"):
        write_pfm(tmp_path / file, small.astype(np.float32))
    else:
        png(tmp_path / file, small)
    with pytest.raises(SourceError, match=r"differ in size \(96x64 and 50x40\); get this scene again"):
        for item in open_dataset(tmp_path):
            item.load()


def test_the_scenes_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eth3d(tmp_path)
    monkeypatch.chdir(tmp_path / "two_view_training")
    (found,) = open_dataset("eth3d:.")
    assert found.name == "terrace_1s" and found.load().occluded is not None


def test_a_size_that_does_not_tell_its_scale_is_one_sentence(tmp_path: Path) -> None:
    for name in ("view1", "view5", "disp1"):
        png(tmp_path / f"Aloe/{name}.png", np.zeros((200, 300), np.uint8))
    for name in ("im2", "im6", "disp2"):
        png(tmp_path / f"cones/{name}.png", np.zeros((200, 300), np.uint8))
    aloe, cones = open_dataset(tmp_path)
    with pytest.raises(SourceError, match="has 200 rows"):
        aloe.load()
    with pytest.raises(SourceError, match=r"cones: has images of 300x200, .* get the original images"):
        cones.load()


def test_what_is_no_dataset_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no labelled pairs in a layout that is known \(ours: .*kitti: image_2"):
        open_dataset(tmp_path)
    instereo2k(tmp_path)
    with pytest.raises(SourceError, match=r"\(kitti: image_2, image_3 and disp_occ_0"):
        open_dataset(f"kitti:{tmp_path}")
    with pytest.raises(SourceError, match="is no folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(UsageError, match="did you mean 'kitti:'"):
        open_dataset(f"kiti:{tmp_path}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_eval_reads_a_dataset_as_it_unpacks(layout: str, tmp_path: Path) -> None:
    names = TREES[layout](tmp_path / "data")
    out = tmp_path / "out.json"
    arguments = [f"{layout}:{tmp_path / 'data'}", "--backend", "sgbm", "--json", str(out), "--save", str(tmp_path / "maps")]
    result = CliRunner().invoke(cli.app, ["eval", *arguments])
    assert result.exception is None, result.output
    figures = json.loads(out.read_text())
    assert sorted(figures["scenes"]) == sorted(names)
    assert set(figures["sets"]) == {name.partition("/")[0] if "/" in name else "data" for name in names}
    for pair in open_dataset(tmp_path / "data"):
        given, row = pair.load(), figures["scenes"][pair.name]
        found_px = read_pfm(tmp_path / "maps" / pair.name / "disparity.pfm")
        everywhere, seen_twice = (error_rates(given.truth_px, found_px, only) for only in (None, ~given.occluded))
        assert everywhere is not None and row["all"]["bad2"] == pytest.approx(everywhere["bad2"])
        assert seen_twice is not None and row["noc"]["bad2"] == pytest.approx(seen_twice["bad2"])
        assert row["noc"]["bad2"] != row["all"]["bad2"], "what only one eye sees counts in one of them"


def test_a_scene_whose_truth_is_all_unknown_is_named(tmp_path: Path) -> None:
    instereo2k(tmp_path)
    file = tmp_path / "test/000040/left_disp.png"
    png(file, np.zeros_like(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)))
    result = CliRunner().invoke(cli.app, ["eval", str(tmp_path), "--backend", "sgbm"])
    assert isinstance(result.exception, SourceError) and f"{tmp_path}/test/000040: has no valid ground truth" in str(
        result.exception
    )


def test_both_editions_of_kitti_in_one_place(tmp_path: Path) -> None:
    """The archives of both unpack to training/, and number their frames alike."""
    left, right, left_px, _, _ = scene()
    for names in (
        ("image_2", "image_3", "disp_occ_0"),
        ("colored_0", "colored_1", "disp_occ"),
        ("image_0", "image_1", "disp_occ"),
    ):
        for name, image in zip(names, (left, right, (left_px * 256).astype(np.uint16)), strict=True):
            png(tmp_path / "training" / name / "000000_10.png", image)
    found = open_dataset(tmp_path)
    assert [pair.name for pair in found] == ["training/image_2/000000_10", "training/colored_0/000000_10"]
    assert {pair.set for pair in found} == {"training"}


def test_several_layouts_are_named(tmp_path: Path) -> None:
    kitti(tmp_path / "KITTI")
    instereo2k(tmp_path / "KITTI")
    with pytest.raises(
        UsageError, match=r"several layouts \(\d+ of instereo2k, \d+ of kitti\); choose one, such as instereo2k:"
    ):
        open_dataset(tmp_path / "KITTI")
    assert open_dataset(f"kitti:{tmp_path / 'KITTI'}")


def test_a_description_without_a_disparity_is_nobodys_scene(tmp_path: Path) -> None:
    names = kitti(tmp_path)
    (tmp_path / "meta.json").write_text('{"about": "a copy of KITTI"}')
    assert sorted(pair.name for pair in open_dataset(tmp_path)) == sorted(names)


def test_a_folder_inside_of_a_pass_of_scene_flow(tmp_path: Path) -> None:
    names = [name for name in TREES["sceneflow"](tmp_path) if "frames_finalpass/TRAIN" in name]
    inside = tmp_path / "FlyingThings3D/frames_finalpass/TRAIN"
    found = open_dataset(inside)
    assert [f"FlyingThings3D/frames_finalpass/TRAIN/{pair.name}" for pair in found] == names and len(names) == 1
    assert np.nanmax(found[0].load().truth_px) == FRONT_PX


def test_eval_takes_a_part_of_the_scenes(tmp_path: Path) -> None:
    names = sorted(TREES["sceneflow"](tmp_path / "data"))
    out = tmp_path / "out.json"
    arguments = [str(tmp_path / "data"), "--backend", "sgbm", "--json", str(out), "--scenes", "3"]
    assert CliRunner().invoke(cli.app, ["eval", *arguments]).exception is None
    every = [pair.name for pair in open_dataset(tmp_path / "data")]
    assert len(names) == 6 and list(json.loads(out.read_text())["scenes"]) == every[::2]
