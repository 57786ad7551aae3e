"""Readers of dataset layouts, each on a tiny tree of the true layout made here, and batches of what they give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stereo_rt.errors import SourceError, UsageError  # noqa: E402
from stereo_rt.sinks.files import write_confidence, write_pfm  # noqa: E402
from stereo_rt.training.datasets import LAYOUTS, Labelled, Sample, open_dataset  # noqa: E402
from stereo_rt.training.datasets.labelled import occluded_by  # noqa: E402
from stereo_rt.training.datasets.stream import DatasetStream  # noqa: E402
from stereo_rt.training.sensor import Sensor  # noqa: E402

SIZE = (96, 64)
BACK_PX, FRONT_PX = 6.0, 15.0


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """left, right (BGR), the disparity of both eyes, and what the right eye does not see: a square in front of a wall."""
    width, height = size
    rng = np.random.default_rng(seed)
    x = np.arange(width)
    square = np.zeros((2, height, width), bool)
    rows, first, last = slice(height // 4, 3 * height // 4), width // 2, width // 2 + width // 4
    square[0, rows, first:last] = True
    square[1, rows, first - int(FRONT_PX) : last - int(FRONT_PX)] = True
    left_px, right_px = np.where(square, np.float32(FRONT_PX), np.float32(BACK_PX))
    wall, front = rng.integers(0, 256, (2, height, width + 32, 3), np.uint8)
    left = np.where(square[0][..., None], front[:, x], wall[:, x])
    right = np.where(square[1][..., None], front[:, x + int(FRONT_PX)], wall[:, x + int(BACK_PX)])
    hidden = np.broadcast_to(x < BACK_PX, square[0].shape).copy()  # beyond the right image's edge
    hidden[rows, first - int(FRONT_PX - BACK_PX) : first] = True  # behind the square
    return left, right, left_px, right_px, hidden


def png(file: Path, image: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)


def grey16(disparity_px: np.ndarray, scale: float, known: np.ndarray | None = None) -> np.ndarray:
    values = np.rint(disparity_px * scale).astype(np.uint16)
    return values if known is None else np.where(known, values, 0).astype(np.uint16)


def sceneflow(root: Path) -> list[str]:
    left, right, left_px, right_px, _ = scene()
    names = []
    for home, place in (("FlyingThings3D", "TRAIN/A/0000"), ("Monkaa", "family_x2"), ("Driving", "15mm_focallength/fast")):
        for eye, image, truth in (("left", left, left_px), ("right", right, right_px)):
            for frames in ("frames_cleanpass", "frames_finalpass"):
                png(root / home / frames / place / eye / "0006.png", image)
            write_pfm(root / home / "disparity" / place / eye / "0006.pfm", -truth if home == "Monkaa" else truth)
        names += [f"{home}/{frames}/{place}/left/0006" for frames in ("frames_cleanpass", "frames_finalpass")]
    return names


def instereo2k(root: Path) -> list[str]:
    left, right, left_px, right_px, _ = scene()
    names = ["test/000040", "train/part1/000000", "train/part2/000001"]
    for name in names:
        for file, values in (("left", left), ("right", right)):
            png(root / name / f"{file}.png", values)
        for file, truth in (("left_disp", left_px), ("right_disp", right_px)):
            png(root / name / f"{file}.png", grey16(truth, 100))
    return names


def kitti(root: Path) -> list[str]:
    left, right, left_px, _, hidden = scene()
    for home, eyes, occ, noc in (
        ("data_scene_flow/training", ("image_2", "image_3"), "disp_occ_0", "disp_noc_0"),
        ("data_stereo_flow/training", ("image_0", "image_1"), "disp_occ", "disp_noc"),
    ):
        for frame in ("000000_10", "000000_11"):  # the second has no disparity
            for eye, image in zip(eyes, (left, right), strict=True):
                grey = eyes[0] == "image_0"
                png(root / home / eye / f"{frame}.png", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if grey else image)
        png(root / home / occ / "000000_10.png", grey16(left_px, 256))
        png(root / home / noc / "000000_10.png", grey16(left_px, 256, ~hidden))
    return ["data_scene_flow/training/000000_10", "data_stereo_flow/training/000000_10"]


def middlebury(root: Path) -> list[str]:
    left, right, left_px, right_px, hidden = scene()
    for name, suffix in (("MiddEval3/trainingQ/Piano", "GT"), ("2014/Pipes-perfect", "")):
        png(root / name / "im0.png", left)
        png(root / name / "im1.png", right)
        write_pfm(root / name / f"disp0{suffix}.pfm", left_px)
        (root / name / "calib.txt").write_text("cam0=[100 0 48; 0 100 32; 0 0 1]\n")
    png(root / "MiddEval3/trainingQ/Piano/mask0nocc.png", np.where(hidden, 128, 255).astype(np.uint8))
    write_pfm(root / "2014/Pipes-perfect/disp1.pfm", right_px)
    left, right, left_px, right_px, _ = scene((413, 370))
    for name in ("2006/ThirdSize/Aloe", "2006/ThirdSize/Art/Illum1/Exp0"):
        png(root / name / "view1.png", left)
        png(root / name / "view5.png", right)
    for name in ("2006/ThirdSize/Aloe", "2006/ThirdSize/Art"):
        png(root / name / "disp1.png", (left_px * 3).astype(np.uint8))
        png(root / name / "disp5.png", (right_px * 3).astype(np.uint8))
    thirds = ["2006/ThirdSize/Aloe", "2006/ThirdSize/Art/Illum1/Exp0"]
    return ["2014/Pipes-perfect", *thirds, "MiddEval3/trainingQ/Piano"]


def eth3d(root: Path) -> list[str]:
    left, right, left_px, _, hidden = scene()
    for eye, image in (("im0", left), ("im1", right)):
        png(root / "two_view_training" / "terrace_1s" / f"{eye}.png", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    truth = root / "two_view_training_gt" / "terrace_1s"
    png(truth / "mask0nocc.png", np.where(hidden, 128, 255).astype(np.uint8))
    write_pfm(truth / "disp0GT.pfm", left_px)
    return ["two_view_training/terrace_1s"]


def ours(root: Path) -> list[str]:
    left, right, left_px, _, hidden = scene()
    for name in ("indoor/a", "labels/b"):
        png(root / name / "left.png", left)
        png(root / name / "right.png", right)
        write_pfm(root / name / "disparity.pfm", left_px)
        meta = {"disparity_encoding": {"file": "disparity.pfm", "scale": 1, "offset": 0, "invalid": "inf"}}
        if name == "labels/b":
            write_confidence(root / name / "confidence.png", np.full(left_px.shape, 0.25, np.float32))
            meta["confidence_encoding"] = {"file": "confidence.png", "scale": 65535}
        (root / name / "meta.json").write_text(json.dumps(meta))
        png(root / name / "nocc.png", np.where(hidden, 0, 255).astype(np.uint8))
    return ["indoor/a", "labels/b"]


TREES: dict[str, Callable[[Path], list[str]]] = {
    "sceneflow": sceneflow,
    "instereo2k": instereo2k,
    "kitti": kitti,
    "middlebury": middlebury,
    "eth3d": eth3d,
    "ours": ours,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_and_read(layout: str, tmp_path: Path) -> None:
    names = TREES[layout](tmp_path)
    items = open_dataset(tmp_path)
    assert sorted(item.name for item in items) == sorted(names)
    assert [item.name for item in open_dataset(f"{layout}:{tmp_path}")] == [item.name for item in items]
    for item in items:
        sample = item.load()
        left, right, left_px, _, hidden = scene((413, 370)) if "2006" in item.name else scene()
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
    with pytest.raises(SourceError, match="has 200 rows"):
        open_dataset(tmp_path)[0].load()


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


def item(size: tuple[int, int] = SIZE, seed: int = 0, weight: float | None = None) -> Labelled:
    left, right, left_px, _, hidden = scene(size, seed)
    trust = None if weight is None else np.full(left_px.shape, weight, np.float32)
    return Labelled(f"made/{seed}", lambda: Sample(left, right, left_px, hidden, trust))


def test_a_batch_depends_on_the_step_alone() -> None:
    items = [item(seed=k) for k in range(5)]
    first, second = (DatasetStream(items, (64, 32), batch=3, seed=7) for _ in range(2))
    later = first.batch(11)
    first.batch(0)
    for again in (first.batch(11), second.batch(11)):
        for field in ("left", "right", "disparity_px", "occluded"):
            torch.testing.assert_close(getattr(again, field), getattr(later, field), rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first.batch(12).left, later.left)
    one = [DatasetStream(items[:1], (64, 32), batch=1, seed=seed).batch(0).left for seed in (7, 8)]
    assert not torch.equal(*one)


def test_every_pair_comes_once_an_epoch() -> None:
    seen: list[str] = []

    def noted(k: int) -> Labelled:
        made = item(seed=k)
        return Labelled(made.name, lambda: (seen.append(made.name), made.read())[1])

    stream = DatasetStream([noted(k) for k in range(6)], (32, 32), batch=2)
    for step in range(6):
        stream.batch(step)
    assert sorted(seen[:6]) == sorted(seen[6:]) == sorted({f"made/{k}" for k in range(6)})
    assert seen[:6] != seen[6:]


def test_crops_are_batches_whose_truth_still_holds() -> None:
    """Without a sensor and at any scale, a point that both eyes see looks the same at x and at x - d."""
    smooth = Labelled("smooth", lambda: ramp())
    stream = DatasetStream([smooth], (96, 48), batch=4, sensor=Sensor.none())
    for step in range(3):
        batch = stream.batch(step)
        assert batch.left.shape == batch.right.shape == (4, 3, 48, 96) and batch.left.dtype == torch.float32
        assert batch.disparity_px.shape == batch.occluded.shape == (4, 48, 96) and batch.weight is None
        x = torch.arange(96.0) - batch.disparity_px
        there = (x.nan_to_num(-1) >= 0) & ~batch.occluded
        low = x.nan_to_num(0).clamp(0, 94).floor()
        share = (x.nan_to_num(0) - low)[:, None]
        index = low.long()[:, None].expand(-1, 3, -1, -1)
        seen = torch.lerp(batch.right.gather(3, index), batch.right.gather(3, index + 1), share)
        assert there.float().mean() > 0.3
        error = (seen - batch.left).abs().mean(1)[there]
        assert error.mean() < 0.01
        assert (x[batch.disparity_px.isfinite() & ~batch.occluded] >= -0.5).all()


def ramp() -> Sample:
    """A slanted wall with a smooth pattern, three times as large as the crops."""
    width, height = 288, 144
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    truth_px = (8 + 0.05 * x + 0.02 * y).astype(np.float32)

    def pattern(at: np.ndarray) -> np.ndarray:
        waves = [np.sin(at / 17 + y / 23), np.cos(at / 11 - y / 31), np.sin(at / 29)]
        return np.rint(127 + 100 * np.stack(waves, 2)).astype(np.uint8)

    # The right eye's x + d(x') = x' has the closed solution below, as d is linear.
    seen = (x + 8 + 0.02 * y) / (1 - 0.05)
    truth_px[:10] = np.nan
    return Sample(pattern(x), pattern(seen), truth_px)


def test_labels_keep_their_weight_and_what_is_too_near_is_not_known() -> None:
    batch = DatasetStream([item(weight=0.25), item(seed=1)], (64, 32), batch=2).batch(0)
    assert batch.weight is not None and sorted(batch.weight.flatten(1).mean(1).tolist()) == [0.25, 1.0]
    near = DatasetStream([item()], (64, 32), batch=8, max_disparity_px=10).batch(0)
    known = near.disparity_px[near.disparity_px.isfinite()]
    assert 0 < known.max() <= 10 and near.disparity_px.isnan().any()


def test_a_stream_of_nothing_is_refused_and_damage_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 items"):
        DatasetStream([])
    eth3d(tmp_path)
    stream = DatasetStream(open_dataset(tmp_path), (64, 32), batch=1)
    assert stream.batch(0).left.shape == (1, 3, 32, 64)
    (tmp_path / "two_view_training_gt/terrace_1s/disp0GT.pfm").write_bytes(b"")
    with pytest.raises(SourceError, match="not a PFM"):
        stream.batch(1)
