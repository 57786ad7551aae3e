"""Tiny trees of the layouts of public datasets, with one scene that is exact to the pixel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from stereo_rt.sinks.files import write_confidence, write_pfm

SIZE = (96, 64)
BACK_PX, FRONT_PX = 6.0, 15.0


OLD_MIDDLEBURY = (
    ("2001/venus", (434, 383), 8, "ppm", "pgm"),
    ("2003/teddyQ", (450, 375), 4, "png", "png"),
    ("2003/teddyH", (900, 750), 2, "ppm", "pgm"),
)
"""name, size of the images, grey levels a px, ends of the names."""


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
    for name, size, scale, image, truth in OLD_MIDDLEBURY:
        left, right, left_px, right_px, _ = scene(size)
        for number, values, grey in ((2, left, left_px), (6, right, right_px)):
            png(root / name / f"im{number}.{image}", values)
            png(root / name / f"disp{number}.{truth}", (grey * scale).astype(np.uint8))
    thirds = ["2006/ThirdSize/Aloe", "2006/ThirdSize/Art/Illum1/Exp0"]
    return ["2014/Pipes-perfect", *thirds, "MiddEval3/trainingQ/Piano", *(name for name, *_ in OLD_MIDDLEBURY)]


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
