"""The rectification probe: on pairs whose misalignment we chose, and on real recordings where these are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_rt.calib.formats import read_calibration
from stereo_rt.calib.probe import MIN_MATCHES, Probe, RectificationProbe, advice, probe_pair
from stereo_rt.calib.rectify import Rectifier, rectify_rig
from stereo_rt.calib.rig import StereoRig
from stereo_rt.frames import StereoFrame

SIZE = (480, 320)


def pair(disparity_px: float = 12.0, dy_px: float = 0.0, roll_rad: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured slanted scene; the right image is moved up by dy_px and rolled about the middle."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    left = np.full((height, width), 90, np.uint8)
    for _ in range(700):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(4, 30, 2)
        cv2.rectangle(left, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 256)), -1)
    left = cv2.GaussianBlur(left, (0, 0), 0.8)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    # Right pixel (u, v) shows left pixel (u + disparity, v + offset); disparity grows downwards.
    du, dv = u - width / 2, v - height / 2
    map_x = u + disparity_px * (0.5 + v / height) - roll_rad * dv
    map_y = v + dy_px + roll_rad * du
    return left, cv2.remap(
        left, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


@pytest.mark.parametrize("dy", [-3.0, -1.2, 0.0, 0.25, 1.2, 8.0])
def test_a_vertical_shift_is_measured(dy: float) -> None:
    probe = probe_pair(*pair(dy_px=dy))
    assert probe.matches > 200 and probe.size == SIZE
    assert probe.vertical_px == pytest.approx(dy, abs=0.1)
    assert probe.vertical_rms_px == pytest.approx(abs(dy), abs=0.1)
    assert probe.negative_share < 0.05


def test_a_roll_is_measured_over_the_whole_image() -> None:
    """Its offsets cancel in the median, so only the fitted plane tells."""
    roll = 0.01
    probe = probe_pair(*pair(roll_rad=roll))
    assert abs(probe.vertical_px) < 0.6
    assert probe.vertical_rms_px == pytest.approx(roll * SIZE[0] / np.sqrt(12), rel=0.15)
    assert "off vertically" in advice(probe)[0]


@pytest.mark.parametrize("dy", [0.0, 0.3])
def test_a_good_pair_gives_no_advice(dy: float) -> None:
    assert advice(probe_pair(*pair(dy_px=dy))) == []


def test_an_old_calibration_is_told_with_its_number() -> None:
    (sentence,) = advice(probe_pair(*pair(dy_px=1.2)))
    assert "about 1.2 px off vertically at 480x320" in sentence and "stereo-rt calibrate check" in sentence


def test_swapped_eyes_are_told() -> None:
    left, right = pair()
    (sentence,) = advice(probe_pair(right, left))
    assert "--swap" in sentence


def test_an_unrectified_pair_is_told_apart_from_an_old_calibration() -> None:
    (sentence,) = advice(probe_pair(*pair(dy_px=15.0)))
    assert "not rectified" in sentence and "--calib" in sentence


def test_colour_and_grey_say_the_same() -> None:
    left, right = pair(dy_px=1.0)
    colour = probe_pair(*(cv2.cvtColor(i, cv2.COLOR_GRAY2BGR) for i in (left, right)))
    assert colour.vertical_rms_px == pytest.approx(probe_pair(left, right).vertical_rms_px, abs=0.05)


@pytest.mark.parametrize("size", [(16, 16), (320, 240)])
def test_a_blank_pair_gives_no_verdict(size: tuple[int, int]) -> None:
    blank = np.zeros(size[::-1], np.uint8)
    probe = probe_pair(blank, blank)
    assert probe.matches == 0 and advice(probe) == []


def test_unrelated_images_give_no_verdict() -> None:
    assert advice(probe_pair(pair(seed=1)[0], pair(seed=2)[0])) == []


def test_noise_in_few_matches_is_no_evidence() -> None:
    shaky = Probe(MIN_MATCHES, 0.2, 1.0, 0.7, 0.0, SIZE)
    assert advice(shaky) == []
    assert advice(Probe(400, 0.2, 0.3, 0.7, 0.0, SIZE)) != []
    assert advice(Probe(MIN_MATCHES - 1, 5.0, 0.1, 5.0, 1.0, SIZE)) == []


def frame(left: np.ndarray, right: np.ndarray) -> StereoFrame:
    return StereoFrame(left, right, 0, 0)


def test_one_rich_frame_is_enough() -> None:
    assert RectificationProbe()(frame(*pair())) == []
    warnings = RectificationProbe()(frame(*pair(dy_px=1.2)))
    assert warnings and "1.2 px" in warnings[0]


def test_poor_frames_are_gathered_until_they_suffice() -> None:
    inspect = RectificationProbe()
    left, right = pair(dy_px=1.2)
    left, right = left[:90, :200], right[:90, :200]
    opinions = [inspect(frame(left, right)) for _ in range(40)]
    first = next(i for i, opinion in enumerate(opinions) if opinion is not None)
    assert first >= inspect.EVERY and opinions[first]
    assert inspect.probe.matches >= inspect.ENOUGH


def test_a_blank_recording_ends_without_an_opinion() -> None:
    inspect = RectificationProbe()
    blank = np.zeros((64, 64), np.uint8)
    opinions = [inspect(frame(blank, blank)) for _ in range(1 + inspect.EVERY * (inspect.MAX_LOOKS - 1))]
    assert opinions[-1] == [] and set(map(str, opinions[:-1])) == {"None"}


def test_a_change_of_size_starts_over() -> None:
    inspect = RectificationProbe()
    left, right = pair(dy_px=3.0)
    inspect(frame(left[:60, :120], right[:60, :120]))
    for _ in range(inspect.EVERY):
        opinion = inspect(frame(*pair()))
    assert opinion == [] and inspect.probe.size == SIZE


@pytest.mark.parametrize(
    "dataset", ["middeval3_trainingQ", "eth3d_twoview", "kitti_noGT", "middlebury2003", "middlebury2005_third"]
)
def test_well_rectified_recordings_give_no_advice(shared_data: Path, dataset: str) -> None:
    scenes = sorted((shared_data / dataset).glob("*/meta.json"))
    if not scenes:
        pytest.skip(f"{dataset} is not here")
    for scene in scenes:
        images = [cv2.imread(str(scene.with_name(f"{eye}.png"))) for eye in ("left", "right")]
        assert advice(probe_pair(*images)) == [], scene.parent.name


def test_the_oak_recording_is_about_1_2_px_off(shared_data: Path) -> None:
    folder = shared_data / "video" / "oak_people_counting"
    if not folder.is_dir():
        pytest.skip("the recording is not here")
    rig = read_calibration(folder / "calib.json")
    assert isinstance(rig, StereoRig)
    rectify, inspect = Rectifier(rectify_rig(rig)), RectificationProbe()
    videos = [cv2.VideoCapture(str(folder / f"{eye}.mp4")) for eye in ("left", "right")]
    opinion = None
    while opinion is None:
        opinion = inspect(rectify(frame(*(video.read()[1] for video in videos))))
    assert inspect.probe.vertical_rms_px == pytest.approx(1.2, abs=0.2)
    assert len(opinion) == 1 and "px off vertically at 1280x800" in opinion[0]
