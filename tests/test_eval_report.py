"""What `stereo-rt eval` shows: sets, two matchers side by side, confidence methods, and the page."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stereo_rt.cli import app as cli
from stereo_rt.datasets import open_dataset
from stereo_rt.errors import ModelError, UsageError
from stereo_rt.evaluation.charts import Line, chart
from stereo_rt.evaluation.pictures import error_ramp, named_ramp, palette_png
from stereo_rt.evaluation.table import COLUMNS, table
from stereo_rt.render import color_table
from stereo_rt.sinks.files import write_pfm
from stereo_rt.sources.synthetic import SyntheticCamera

SIZE = (160, 120)
NAMES = ("rooms/a", "rooms/b & <b>", "alone")
METHODS = "left_right,variance,entropy"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes in two sets, one name with characters that HTML gives a meaning; one scene knows its occlusions."""
    root = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(NAMES):
        folder = root / name
        folder.mkdir(parents=True)
        camera = SyntheticCamera(size=SIZE, seed=seed)
        frame, truth = camera.frame(0), camera.ground_truth(0)
        cv2.imwrite(str(folder / "left.png"), frame.left)
        cv2.imwrite(str(folder / "right.png"), frame.right)
        write_pfm(folder / "disp.pfm", truth.disparity_px)
        if seed == 0:
            cv2.imwrite(str(folder / "nocc.png"), np.where(truth.occluded, 128, 255).astype(np.uint8))
        encoding = {"file": "disp.pfm", "scale": 1.0, "invalid": "inf"}
        (folder / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    return root


def run(*arguments: str | Path):
    if not cli.app.registered_commands:
        cli.register()
    return CliRunner().invoke(cli.app, ["eval", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str, Path]:
    """The JSON, what was printed, and the page, of SGBM against the shipped network."""
    out = tmp_path_factory.mktemp("report")
    told = ("--backend", "sgbm", "--against", "student_s", "--set", "match.threads=1", "--confidence", METHODS)
    files = ("--json", out / "r.json", "--report", out / "r.html")
    result = run(dataset, *told, *files)
    assert result.exception is None, result.output
    return json.loads((out / "r.json").read_text()), result.output, out / "r.html"


def test_a_scene_belongs_to_the_first_folder_below_the_dataset(dataset: Path) -> None:
    assert [s.set for s in open_dataset(dataset)] == [dataset.name, "rooms", "rooms"]


def test_sets_and_the_mean_are_means_over_scenes(made: tuple[dict, str, Path], dataset: Path) -> None:
    figures, _, _ = made
    for result in (figures, figures["against"]):
        assert set(result["sets"]) == {"rooms", dataset.name}
        rooms = [row for row in result["scenes"].values() if row["set"] == "rooms"]
        assert result["sets"]["rooms"]["all"]["bad2"] == pytest.approx(np.mean([row["all"]["bad2"] for row in rooms]))
        assert result["sets"]["rooms"]["noc"] == rooms[0]["noc"], "the one that knows"
        assert result["sets"][dataset.name]["noc"] is None
        assert result["mean"]["all"]["mae"] == result["mean"]["all"]["epe"]
        assert result["latency_ms"] == pytest.approx(np.median([row["latency_ms"] for row in result["scenes"].values()]))
        assert np.mean(result["curves"]["bad2"]) == pytest.approx(result["mean"]["confidence"]["auc"])
        assert np.mean(result["curves"]["bad2_optimum"]) == pytest.approx(result["mean"]["confidence"]["auc_opt"])
        assert sum(result["reliability"]["share"]) == pytest.approx(1)
    assert figures["backend"] == "sgbm" and figures["against"]["matcher"] == "student_s"
    assert {row["grid"] for row in figures["scenes"].values()} == {None}
    assert all(row["grid"] == [640, 480] for row in figures["against"]["scenes"].values())


def test_the_table_shows_both_in_every_row(made: tuple[dict, str, Path]) -> None:
    figures, printed, _ = made
    lines = printed.splitlines()
    assert table([figures, figures["against"]]) in printed
    for name in (*NAMES, "rooms (2)", "mean (3)"):
        first = next(i for i, line in enumerate(lines) if line.startswith(name))
        row = figures["mean"] if name.startswith("mean") else figures["sets" if "(" in name else "scenes"][name.split(" (")[0]]
        assert lines[first].split()[-len(COLUMNS) - 1] == "sgbm_3way" and lines[first + 1].split()[0] == "student_s"
        assert lines[first].split()[-len(COLUMNS)] == f"{row['all']['epe']:.2f}"


def test_confidence_methods_judge_the_first_matcher(made: tuple[dict, str, Path]) -> None:
    figures, printed, _ = made
    study = figures["confidence_methods"]
    assert list(study["skipped"]) == ["entropy"] and "skipped: entropy (" in printed
    assert set(study["mean"]) == {"left_right", "variance"} == set(study["latency_ms"])
    for method in study["mean"]:
        rows = [scene[method] for scene in study["scenes"].values()]
        assert study["mean"][method]["ause"] == pytest.approx(np.mean([row["ause"] for row in rows]))
        assert study["mean"][method]["auc_opt"] == pytest.approx(figures["mean"]["confidence"]["auc_opt"]), "the same map"
        line = next(line for line in printed.splitlines() if line.startswith(method))
        mean = study["mean"][method]
        assert line.split()[-4:-2] == [f"{mean['ause']:.2f}", f"{mean['roc_auc']:.3f}"]
        assert line.split()[-2:] == [f"{mean['ece_target']:.3f}", f"{study['latency_ms'][method]:.0f}"]


class Page(HTMLParser):
    """Collects what a page refers to, and checks that what it opens it closes."""

    VOID = ("meta", "img", "path", "circle", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.images += [str(found["src"])] if "src" in found else []
        self.links += [str(found["href"])] if "href" in found else []
        self.ids += [str(found["id"])] if "id" in found else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)


def test_the_page_stands_alone(made: tuple[dict, str, Path]) -> None:
    text = made[2].read_text(encoding="utf-8")
    page = Page(text)
    text = re.sub(r"base64,[^\"]+", "", text)  # in which any short word may occur
    assert set(NAMES) <= set(page.headings) and "<b>" not in text, "names are escaped"
    assert not page.links and "url(" not in text and "http" not in text and "<script" not in text, "nothing from elsewhere"
    assert len(page.images) == len(NAMES) * (2 + 2 * 3)
    for source in page.images:
        kind, _, data = source.partition(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (*SIZE[::-1], 3)
    assert text.count("<svg") == 4 and not re.search(r"\bnan\b", text, re.IGNORECASE)


@pytest.mark.system
def test_a_browser_draws_it(made: tuple[dict, str, Path], tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path}/profile",
    )
    shot = tmp_path / "shot.png"
    command = ["chromium", *flags, "--window-size=1366,4200", f"--screenshot={shot}", made[2].as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    image = cv2.imread(str(shot))
    assert image.shape[1] == 1366
    pixels = image.reshape(-1, 3).astype(int)
    colourful = (pixels.max(1) - pixels.min(1) > 90).mean()
    assert colourful > 0.05, "maps in colour"
    blank = (image == image[-1, 0]).all(axis=(1, 2))
    assert blank.mean() < 0.5, "no large gaps"


def test_a_palette_png_is_what_opencv_reads() -> None:
    index = np.random.default_rng(0).integers(0, 256, (17, 31), np.uint8)
    rgb = color_table("turbo")[:, 0, ::-1]
    image = cv2.imdecode(np.frombuffer(palette_png(index, rgb), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image[..., ::-1], rgb[index])


def test_error_colours_tell_the_sign_and_leave_right_white() -> None:
    table = error_ramp(5).table.astype(int)
    too_far, right, too_near = table[1], table[128], table[255]
    assert too_far[2] > too_far[0] + 50 and too_near[0] > too_near[2] + 50 and right.min() > 240
    assert named_ramp(0, 1, "gray").gradient().startswith("linear-gradient(")


def test_a_chart_places_points_inside_and_escapes_its_words() -> None:
    drawn = chart("a < b", "x", "y", [Line("l & m", [(0, 0), (1, 2), (5, 1)], 0)], 1, 1)
    assert "a &lt; b" in drawn and "l &amp; m" in drawn
    assert 'd="M48.0 260.0L418.0 10.0L418.0 10.0"' in drawn, "held inside the axes"


@pytest.mark.parametrize("flag", ["--calib", "--range", "--min-conf", "--size", "--max-frames"])
def test_flags_of_the_loop_mean_nothing_here(dataset: Path, flag: str) -> None:
    result = run(dataset, flag, "1")
    assert result.exit_code == 2 and "No such option" in result.output


def test_an_unknown_method_is_one_sentence_before_anything_runs(dataset: Path, tmp_path: Path) -> None:
    result = run(dataset, "--backend", "sgbm", "--confidence", "lerned", "--json", tmp_path / "r.json")
    assert isinstance(result.exception, UsageError) and "did you mean 'learned'" in str(result.exception)
    assert not (tmp_path / "r.json").exists()


def test_an_unknown_opponent_is_one_sentence_before_anything_runs(dataset: Path, tmp_path: Path) -> None:
    result = run(dataset, "--backend", "sgbm", "--against", "student_x", "--save", tmp_path / "kept")
    assert isinstance(result.exception, ModelError) and "student_x" in str(result.exception)
    assert not (tmp_path / "kept").exists()


def test_the_shipped_network_against_sgbm(dataset: Path, tmp_path: Path) -> None:
    result = run(dataset / "rooms", "--against", "sgbm", "--set", "match.threads=1", "--json", tmp_path / "r.json")
    assert result.exception is None, result.output
    figures = json.loads((tmp_path / "r.json").read_text())
    assert (figures["matcher"], figures["against"]["matcher"]) == ("student_s", "sgbm_3way")
    assert set(figures["scenes"]) == set(figures["against"]["scenes"]) == {"a", "b & <b>"}
    assert set(figures["sets"]) == {"rooms"}
