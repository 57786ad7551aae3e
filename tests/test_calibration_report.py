"""The report of a calibration: what the page says and shows, drawn from a rig solved from projected corners."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from boards_seen import BOARDS, SIZE, held, rig
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.calib.bundle import residuals
from stereo_rt.calib.detect import Detection
from stereo_rt.calib.pictures import (
    ARROW,
    WIDTH,
    coverage_picture,
    grade,
    magnification,
    rectified_pair,
    residual_picture,
)
from stereo_rt.calib.report import DepthPoint, ReportFacts, page, view_rows, write_report
from stereo_rt.calib.rig import StereoRig
from stereo_rt.calib.rig_facts import Fact, rig_facts
from stereo_rt.calib.solve import Solution, solve
from stereo_rt.calib.views import View
from stereo_rt.errors import CalibrationError, OutputError
from stereo_rt.sources.rendering.target import TargetRig

BOARD = BOARDS["chessboard"]
TRUE = rig()
HOSTILE = "<script>alert('$x')</script> & \"b\""
MOVED, ALONE, EMPTY = "moved between", "left eye only", "no board"
TURNS = ((20, 0, 5), (-25, 10, 0), (0, 30, 10), (10, -30, -15), (25, 20, 30), (-20, -20, 90), (5, 5, 45), (-30, 0, -30))
FACTS = ReportFacts(
    "improve",
    "few views reach the <edge> of the image",
    "capture more: stereo-rt calibrate capture SOURCE",
    [Fact("Epipolar error", "0.21 px", "off its line & so on")],
    [DepthPoint(1, 0.1, 0.2, 0.3), DepthPoint(5, 0.5, 1.0, 1.5), DepthPoint(10, float("nan"), 2.0, 3.0)],
    "High: at the image's edge.",
)


def found(corners: np.ndarray, seed: int) -> Detection:
    noise = np.random.default_rng(seed).normal(0, 0.1, corners.shape)
    return Detection(np.arange(len(corners)), corners + noise, SIZE, 0.3)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> list[View]:
    """Eight good pairs, of which the first has images; one whose board moved; one that only one eye saw; one without."""
    folder, eyes = tmp_path_factory.mktemp("images"), TargetRig(BOARD, TRUE)
    views = []
    for n, turn in enumerate(TURNS):
        R, t = held(BOARD, turn, 0.45 + 0.03 * n)
        pose = R, t + np.array([0.12 * (n % 3 - 1), 0.08 * (n // 3 - 1), 0])
        left, right = eyes.corners_px(*pose)
        files = tuple(folder / f"{n}_{eye}.png" for eye in ("left", "right"))
        if n == 0:
            for file, image in zip(files, eyes.pair(*pose, noise=1.0, rng=np.random.default_rng(0)), strict=True):
                cv2.imwrite(str(file), image)
        views.append(View(HOSTILE if n == 3 else f"view{n}", found(left, n), found(right, 50 + n), files))
    shaken = replace(views[2].right, corners_px=views[2].right.corners_px + np.array([12, 7]))
    views.insert(4, View(MOVED, views[2].left, shaken))
    views.insert(1, View(EMPTY, None, None))
    return [*views, View(ALONE, views[-1].left, None)]


@pytest.fixture(scope="module")
def solution(views: list[View]) -> Solution:
    return solve(BOARD, views, "pinhole")


class Page(HTMLParser):
    """What a page holds; fails where tags are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found in self.tags if name in (found.get("class") or "").split()]

    @property
    def labels(self) -> list[str | None]:
        return [found.get("aria-label") for tag, found in self.tags if tag == "svg"]


def imaged(views: list[View]) -> list[View]:
    """The same, all of them with the first view's images: whichever is shown."""
    return [replace(view, files=views[0].files) for view in views]


def test_the_page_says_and_shows_it_all(solution: Solution, views: list[View], tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.html"
    write_report(path, solution, FACTS, imaged(views))
    raw = path.read_text(encoding="utf-8")
    found = Page(raw)
    assert [f.name for f in path.parent.iterdir()] == ["r.html"]
    for words in (FACTS.verdict, FACTS.reason, FACTS.next_step, "off its line & so on", "High: at the image's edge."):
        assert words in found.text
    for view in views:
        assert view.name in found.text
    assert found.text.count("When all is well") == 0 and len(found.with_class("well")) == 5, (
        "each picture says how it should be"
    )
    assert found.labels == [
        *("left eye, residuals", "right eye, residuals", "left eye, coverage", "right eye, coverage"),
        *("rectified pair", "Depth error"),
    ]
    images = [found.get("href") or "" for tag, found in found.tags if tag == "image"]
    assert len(images) == 2 and all(image.startswith("data:image/jpeg;base64,/9j/") for image in images)
    assert found.with_class("verdict") == [{"class": "verdict improve"}]
    plain = re.sub(r"base64,[^\"]+", "", raw)
    assert "url(" not in plain and "http" not in plain and "<script" not in plain, "nothing from elsewhere"
    assert not re.search(r"\bnan\b", plain, re.IGNORECASE)
    assert f"{1000 * TRUE.baseline_m:.0f}." in found.text, "the baseline in mm"
    assert "At 5 m" in found.text and "± 50.0 mm" in found.text and "At 10 m" not in found.text, "what is not known is not said"


def test_what_others_wrote_is_escaped(solution: Solution, views: list[View]) -> None:
    facts = ReportFacts('"><script>', HOSTILE, HOSTILE, [Fact(HOSTILE, HOSTILE, HOSTILE)])
    raw = page(solution, facts, views)
    found = Page(raw)
    assert "<script" not in raw and found.text.count(HOSTILE) >= 6
    assert found.with_class("verdict") == [{"class": "verdict redo"}]


def test_views_are_told_apart(solution: Solution, views: list[View]) -> None:
    rows = {row.name: row for row in view_rows(solution, views)}
    assert list(rows) == [view.name for view in views]
    assert rows[MOVED].state == "dropped" and "left out" in rows[MOVED].why and max(rows[MOVED].rms_px) > 2
    assert rows[EMPTY].state == "empty"
    assert rows[ALONE].state == "used" and np.isnan(rows[ALONE].rms_px[1]) and "left lens" in rows[ALONE].why
    off = residuals(solution.seen, solution.estimate)
    for view, name in enumerate(solution.names):
        for eye in (0, 1) if name != ALONE else (0,):
            assert rows[name].rms_px[eye] == pytest.approx(np.sqrt((off[view, eye] ** 2).sum(axis=-1).mean()))


def test_a_used_view_that_fits_badly_is_marked(solution: Solution, views: list[View]) -> None:
    fit = solution.everything
    kept = fit.kept | (np.array(fit.names) == MOVED)
    rows = {row.name: row for row in view_rows(replace(solution, everything=replace(fit, kept=kept)), views)}
    assert [name for name, row in rows.items() if row.state == "worst"] == [MOVED]


def test_views_of_the_same_name_keep_their_own_figures(solution: Solution, views: list[View]) -> None:
    renamed = [replace(view, name="image") for view in views]
    states = [row.state for row in view_rows(solution, views)]
    assert [row.state for row in view_rows(solution, renamed)] == states
    assert {"used", "dropped", "empty"} == set(states)


def test_it_does_without_images(solution: Solution, views: list[View]) -> None:
    gone = [replace(view, files=(Path("gone_left.png"), Path("gone_right.png"))) for view in views]
    for without in (gone, [replace(view, files=()) for view in views]):
        found = Page(page(solution, FACTS, without))
        assert "rectified pair" not in found.labels and len(found.labels) == 5
        assert "Not shown: " in found.text


def test_it_does_without_a_depth_error(solution: Solution, views: list[View]) -> None:
    found = Page(page(solution, replace(FACTS, depth=()), views))
    assert "Depth error" not in found.labels and "Not known" in found.text


def test_a_rig_that_is_none_is_said(solution: Solution, views: list[View]) -> None:
    swapped = replace(solution, estimate=replace(solution.estimate, T=-solution.estimate.T))
    found = Page(page(swapped, FACTS, views))
    assert "No rig: the right eye is" in found.text and "swapped" in found.text


def test_a_place_that_cannot_be_written_leaves_nothing(solution: Solution, views: list[View], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "r.html", solution, FACTS, views)
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_rectified_corners_lie_where_the_rectified_images_show_them(views: list[View]) -> None:
    pair = rectified_pair(TRUE, views[0])
    for image, corners in ((pair.left, pair.left_px), (pair.right, pair.right_px)):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-3)
        refined = cv2.cornerSubPix(grey, corners.astype(np.float32), (5, 5), (-1, -1), stop)
        assert np.median(np.linalg.norm(refined - corners, axis=1)) < 0.4
    assert np.abs(pair.offsets_px).max() < 1 and np.abs(pair.offsets_px).mean() == pytest.approx(0.11, abs=0.06), "the noise"


def test_only_corners_that_both_eyes_saw_are_compared(views: list[View]) -> None:
    view = views[0]
    some = Detection(view.right.ids[10:30], view.right.corners_px[10:30], SIZE, 0.3)
    pair, whole = rectified_pair(TRUE, replace(view, right=some)), rectified_pair(TRUE, view)
    np.testing.assert_allclose(pair.offsets_px, whole.offsets_px[10:30])
    with pytest.raises(CalibrationError):
        rectified_pair(TRUE, replace(view, right=None))


def test_offsets_are_graded() -> None:
    assert [grade(v) for v in (0, -0.5, 0.6, -1.0, 1.1, -9)] == ["fine", "fine", "fair", "fair", "poor", "poor"]


@given(st.floats(1e-4, 100), st.integers(100, 8000))
def test_arrows_are_long_enough_to_see_and_in_round_steps(usual_px: float, width: int) -> None:
    magnified = magnification(np.full(50, usual_px), (width, width))
    drawn = usual_px * magnified * WIDTH / width
    assert ARROW / 2.6 <= drawn <= ARROW * 1.001
    assert f"{magnified:.6e}"[0] in "125"


def test_an_arrow_points_to_the_projection_and_the_ruler_agrees() -> None:
    seen, off = np.array([[99.5, 199.5], [299.5, 99.5]]), np.array([[0.5, -0.25], [0.0, 0.1]])
    drawn = residual_picture("left", seen, off, (500, 300), 20)
    assert "M200 400l20.0 -10.0" in drawn and "M600 200l0.0 4.0" in drawn
    ruler = re.search(r'class="ruler" d="M16 582h([0-9.]+)m.*?>([0-9.]+) px \(20 times', drawn)
    assert ruler and float(ruler[1]) == pytest.approx(float(ruler[2]) * 20 * WIDTH / 500)


def test_a_corner_far_off_is_marked_and_many_are_thinned_out() -> None:
    rng = np.random.default_rng(0)
    seen, off = rng.uniform(0, 500, (9000, 2)), rng.normal(0, 0.1, (9000, 2))
    off[0] = 5, 5
    drawn = residual_picture("left", seen, off, (500, 500), 10)
    arrows = {kind: path.count("M") for kind, path in re.findall(r'class="arrow (\w+)" d="([^"]*)"', drawn)}
    assert arrows == {"usual": 3999, "far": 1}


def test_coverage_is_drawn_where_the_board_was() -> None:
    corners = np.array([[-0.5, -0.5], [249.5, -0.5], [249.5, 399.5], [-0.5, 399.5]])
    drawn = coverage_picture("left", [Detection(np.arange(4), corners, (500, 400), 0.3)], (500, 400))
    cells = re.findall(r'class="covered" x="([0-9.]+)".*?fill-opacity: ([0-9.]+)', drawn)
    assert len(cells) == 80
    inks = {side: {float(ink) for x, ink in cells if (float(x) < WIDTH / 2 - 1) == side} for side in (True, False)}
    assert min(inks[True]) > 0.4 and np.mean(list(inks[False])) < 0.1


@pytest.mark.parametrize(
    ("turn_deg", "words"),
    [
        ((0, 2, 0), "2.00° to the right (outwards)"),
        ((0, -2, 0), "2.00° to the left (inwards)"),
        ((2, 0, 0), "2.00° upwards"),
        ((0, 0, 2), "2.00° clockwise"),
    ],
)
def test_the_pose_of_the_right_eye_in_words(turn_deg: tuple[float, float, float], words: str) -> None:
    """turn_deg: how the right eye is turned; the axes are those of the left one."""
    R_left_right = cv2.Rodrigues(np.deg2rad(np.array(turn_deg, float)))[0]
    # An eye turned to the right looks along +x, one turned up along -y, and of one turned clockwise x dips down.
    look, across = R_left_right @ (0, 0, 1), R_left_right @ (1, 0, 0)
    seen = {"right": look[0], "left": -look[0], "upwards": -look[1], "clockwise": across[1]}
    assert max(seen, key=lambda key: seen[key]) in words
    place = np.array([0.1, -0.002, 0.003])
    turned = StereoRig(TRUE.left, TRUE.right, R_left_right.T, -R_left_right.T @ place)
    facts = {fact.name: fact for fact in rig_facts(turned, "pinhole", BOARD)}
    assert words in facts["Where the right eye looks"].value
    assert facts["Where the right eye sits"].value == "100.0 mm to the right, 2.0 mm up, 3.0 mm ahead"


def test_a_rig_in_squares_says_so() -> None:
    facts = {fact.name: fact.value for fact in rig_facts(TRUE, "pinhole", replace(BOARD, square_m=1))}
    assert "squares" in facts["Baseline"] and "mm" not in facts["Baseline"]


@pytest.mark.system
def test_a_browser_draws_it(solution: Solution, views: list[View], tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    write_report(tmp_path / "r.html", solution, FACTS, imaged(views))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars")
    shot = tmp_path / "shot.png"
    where = (f"--user-data-dir={tmp_path}/profile", f"--screenshot={shot}", "--window-size=1250,3600")
    subprocess.run(["chromium", *flags, *where, (tmp_path / "r.html").as_uri()], check=True, capture_output=True, timeout=120)
    image = cv2.imread(str(shot)).astype(int)
    blue = (abs(image - (0xB3, 0x68, 0x16)).max(axis=2) < 40).mean()
    ringed = (abs(image - (0x7F, 0xD0, 0x35)).max(axis=2) < 30).sum()
    assert blue > 5e-4 and ringed > 200, "arrows and rings"
    blank = (image == image[-1, 0]).all(axis=(1, 2))
    assert blank.mean() < 0.5, "no large gaps"
