"""The benchmark: how figures come from stamps, what each mode measures, and the command on small frames."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt.bench import run_bench
from stereo_rt.bench.accuracy import CUTS, accuracy_at_cuts
from stereo_rt.bench.loop import STRETCH, WARM_UP, LoopRun, Meter, loop_figures
from stereo_rt.bench.overhead import FreeMatcher, overhead
from stereo_rt.bench.plot import draw
from stereo_rt.bench.reference import KINDS, reference_ms
from stereo_rt.bench.report import BenchReport
from stereo_rt.bench.roofline import DEVICES, best_ms, layers_of
from stereo_rt.config import Config, MatchConfig, PostConfig, SgbmConfig
from stereo_rt.errors import CalibrationError, ConfigError, ModelError, SourceError, UsageError
from stereo_rt.frames import Disparity, StereoFrame
from stereo_rt.geometry import RectifiedRig
from stereo_rt.matchers.base import MatcherSpec
from stereo_rt.matchers.models import find_model, shipped_models
from stereo_rt.pipeline import Pipeline
from stereo_rt.sources.memory import MemorySource

SMALL = "synthetic://room?width=96&height=72"
SGBM = Config(match=MatchConfig(backend="sgbm", sgbm=SgbmConfig(max_disparity_px=32)))
RIG = RectifiedRig(12, 8, 10.0, 5.5, 3.5, 0.1)


def run_of(stamps_ms: list[float], index: list[int] | None = None) -> LoopRun:
    """A loop whose results came at these times after the warm-up."""
    meter = Meter()
    lead = [-1e4 + k for k in range(WARM_UP)]
    meter.stamps_ns = [round(t * 1e6) for t in [*lead, *stamps_ms]]
    meter.index = [*range(-WARM_UP, 0), *(index or range(len(stamps_ms)))]
    meter.ages_ms = [1e9] * WARM_UP + [float(k) for k in range(len(stamps_ms))]
    meter.stage_ms = [{"match": 2.0}] * len(meter.index)
    image = np.zeros((8, 12), np.uint8)
    idle = Pipeline(MemorySource([StereoFrame(image, image, 0, 0)]), lambda: None, lambda *_: None, post=SGBM.post)
    return LoopRun(meter, idle.status())


def test_figures_of_an_even_loop() -> None:
    found = loop_figures([run_of([10.0 * k for k in range(30)])])
    assert found.fps == found.best_fps == pytest.approx(100)
    assert found.jitter_ms == {"mean": 0, "std": 0, "max": 0}
    assert (found.frames, found.sent) == (30, 30)
    assert found.age_ms["max"] == 29, "the warm-up does not count"


def test_jitter_is_the_change_between_intervals_and_missed_frames_are_counted() -> None:
    found = loop_figures([run_of([0, 10, 30, 40, 60], index=[3, 4, 6, 7, 9])])
    assert found.jitter_ms == {"mean": 10, "std": 0, "max": 10}
    assert (found.frames, found.sent) == (5, 7)
    assert found.fps == pytest.approx(1e3 / 15)


def test_runs_are_joined_without_the_pause_between_them() -> None:
    found = loop_figures([run_of([0.0, 10, 20, 30]), run_of([500.0, 520, 540, 560])])
    assert found.fps == pytest.approx(1e3 / 15)
    assert found.best_fps == pytest.approx(100)
    assert found.jitter_ms["max"] == 0
    assert found.sent == 8


@given(st.lists(st.floats(1, 50), min_size=3, max_size=60))
def test_the_best_stretch_is_never_below_the_mean(intervals: list[float]) -> None:
    found = loop_figures([run_of(np.cumsum([0.0, *intervals]).tolist())])
    slack = len(intervals) / min(STRETCH, len(intervals))  # the best of few overlapping stretches
    assert found.best_fps * slack >= found.fps * (1 - 1e-6)
    assert found.best_fps <= 1e3 / min(intervals) * (1 + 1e-6)


@pytest.fixture(scope="module")
def small() -> BenchReport:
    return run_bench(SMALL + "&raw=1", SGBM, frames=10, rate_hz=60.0, against=["sgbm"])


def test_every_part_is_there_for_every_candidate(small: BenchReport) -> None:
    assert len(small.runs) == 2
    for run in small.runs:
        assert run.alone_ms.keys() == {"rectify", "match", "post"}
        assert run.flat_out and run.live
        assert (run.flat_out.frames, run.live.frames) == (10, 10)
        assert run.flat_out.stage_ms.keys() == {"capture", "rectify", "match", "post"}
        assert run.live.age_ms["p50"] > 0 and run.live_rate_hz == 60
        assert run.network_ms == {}, "it has none"
        assert run.alone_ms["match"]["min"] <= run.alone_ms["match"]["p50"] <= run.alone_ms["match"]["max"]
    assert small.overhead and small.overhead.cpu_ms > 0
    assert small.reference_ms.keys() == set(KINDS)
    assert small.peak_memory_mb > 10
    assert small.machine["cores"] >= 1


def test_the_report_is_strict_json_and_holds_the_settings(small: BenchReport) -> None:
    again = json.loads(json.dumps(small.as_dict(), allow_nan=False))
    assert again["settings"]["match"]["sgbm"]["max_disparity_px"] == 32
    assert again["runs"][0]["grid"] == [96, 72]


def test_fewer_pixels_are_kept_at_higher_cuts_and_they_are_better(small: BenchReport) -> None:
    rows = small.runs[0].accuracy
    assert [row.cut for row in rows] == list(CUTS)
    kept = [row.kept_percent for row in rows]
    assert kept == sorted(kept, reverse=True) and kept[0] > 50
    assert rows[-1].bad2 < rows[0].bad2
    assert rows[-1].depth_p50_percent <= rows[0].depth_p50_percent < 20


def test_the_picture_is_a_whole_svg_that_names_everything(small: BenchReport) -> None:
    tree = ElementTree.fromstring(draw(small))
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert tree.tag.endswith("svg")
    for name in ("match alone", "post in the loop", "frame age at 60 Hz", "sgbm_3way on sgbm, 96x72"):
        assert texts.count(name) == 2, name
    width = float(tree.get("width") or 0)
    assert all(0 <= float(bar.get("width") or 0) <= width for bar in tree.iter("{http://www.w3.org/2000/svg}rect"))


def test_accuracy_at_cuts_by_hand() -> None:
    """Three kinds of pixels: right, 3 px off and doubted, and without an estimate; a quarter has no truth."""
    truth = np.full((8, 12), 10, np.float32)
    truth[:2] = np.nan
    d, confidence = truth.copy(), np.full((8, 12), 0.95, np.float32)
    d[:2] = 7
    d[2:4], confidence[2:4] = 13, 0.35
    d[4:6], confidence[4:6] = np.nan, 0
    rows = {row.cut: row for row in accuracy_at_cuts([truth], [Disparity(d, confidence)], RIG)}
    assert rows[0.3].kept_percent == pytest.approx(200 / 3)
    assert (rows[0.3].epe_px, rows[0.3].bad1, rows[0.3].bad2) == (1.5, 50, 50)
    assert rows[0.3].depth_p95_percent == pytest.approx(100 * 3 / 13, rel=1e-5), "10 px shown as 13 are 3/13 too near"
    assert rows[0.4].kept_percent == pytest.approx(100 / 3)
    assert (rows[0.9].epe_px, rows[0.9].depth_p95_percent) == (0, 0)


def test_nothing_kept_and_no_metres_are_none() -> None:
    truth, doubted = np.full((8, 12), 10, np.float32), np.zeros((8, 12), np.float32)
    rows = accuracy_at_cuts([truth], [Disparity(truth, doubted)], RectifiedRig.uncalibrated(12, 8))
    assert rows[0].epe_px == 0 and rows[0].depth_p50_percent is None
    assert rows[1].kept_percent == 0 and rows[1].epe_px is None


def test_a_scene_folder_brings_its_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (96, 168, 3), np.uint8), (3, 3), 0)
    cv2.imwrite(str(tmp_path / "left.png"), wide[:, :160])
    cv2.imwrite(str(tmp_path / "right.png"), wide[:, 8:])  # what is at x in the left is at x - 8 in the right
    cv2.imwrite(str(tmp_path / "disp.png"), np.full((96, 160), 80, np.uint8))
    encoding = {"file": "disp.png", "scale": 10, "invalid": 0}
    (tmp_path / "meta.json").write_text(json.dumps({"disparity_encoding": encoding}))
    cfg = SGBM.model_copy(update={"calib": SGBM.calib.model_copy(update={"rectified": True})})
    run = run_bench(str(tmp_path), cfg, frames=10, rate_hz=200.0).runs[0]
    assert run.accuracy[5].bad1 < 2 and run.accuracy[5].kept_percent > 70
    assert run.accuracy[5].depth_p50_percent is None, "nobody told the focal length"
    with pytest.raises(CalibrationError, match="--rectified"):
        run_bench(str(tmp_path), SGBM, frames=10)


def test_the_network_alone(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from networks import network

    file = tmp_path / "tiny.onnx"
    onnx.save(network(), file)
    report = run_bench("unused", Config(match=MatchConfig(model=str(file), backend="onnx")), frames=10, engine_only=True)
    (run,) = report.runs
    assert (run.matcher, run.backend, run.grid) == ("tiny", "onnx", (24, 16))
    assert run.network_ms["min"] > 0 and len(run.sha256) == 64
    assert run.flat_out is None and report.overhead is None
    with pytest.raises(UsageError, match="no network"):
        run_bench("unused", SGBM, frames=10, engine_only=True)


def test_live_measures_the_source_itself() -> None:
    report = run_bench(SMALL + "&fps=200&cycle=3&live=1", SGBM, frames=10, live=True)
    (run,) = report.runs
    assert run.live.frames == 10 and run.live_rate_hz == 200
    assert run.live.sent >= 10 and report.frame_size == (96, 72)
    assert run.alone_ms == {}
    with pytest.raises(SourceError, match="too few frames"):
        run_bench(SMALL + "&frames=4", SGBM, frames=10, live=True)


@pytest.mark.parametrize("fill", ["none", "rows", "mono"])
def test_the_loops_own_cost_is_without_a_second_network(small: BenchReport, fill: str) -> None:
    """The free matcher has none of what these confidences are made of; and a network to fill with is none of the loop."""
    post = PostConfig(confidence_from="entropy", fill=fill, mono="absent.onnx" if fill == "mono" else None)
    answer = Disparity(np.full((8, 12), 2, np.float32), np.ones((8, 12), np.float32))
    image = np.zeros((8, 12, 3), np.uint8)
    spec = MatcherSpec("any", "torch", 12, 8, 64, True)
    found = overhead(spec, RIG, [StereoFrame(image, image, 0, 0)], [answer], SGBM.model_copy(update={"post": post}))
    assert found.cpu_ms > 0


def test_a_backend_that_is_none_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stereo_rt.bench.run.reference_ms", lambda: pytest.fail("measured"))
    with pytest.raises(ConfigError, match=r"match\.backend.*'onnx'.*got 'cuda'"):
        run_bench(SMALL, SGBM, frames=10, against=["onnx", "cuda"])


def test_the_free_matcher_copies_as_an_accelerator_does() -> None:
    answers = [Disparity(np.full((8, 12), k, np.float32), np.ones((8, 12), np.float32)) for k in range(2)]
    image = np.zeros((8, 12, 3), np.uint8)
    free = FreeMatcher(MatcherSpec("free", "none", 12, 8, 64, True), answers, StereoFrame(image, image, 0, 0))
    first, second, third = (free(image, image) for _ in range(3))
    assert (first.disparity_px == 1).all() and (second.disparity_px == 0).all()
    assert np.array_equal(first.disparity_px, third.disparity_px)
    assert not np.shares_memory(first.disparity_px, third.disparity_px)


def test_the_reference_takes_as_many_times_as_asked() -> None:
    found = reference_ms(3)
    assert found.keys() == set(KINDS)
    assert all(len(times) == 3 and min(times) > 0 for times in found.values())


@pytest.mark.parametrize("name", list(shipped_models()))
def test_the_roofline_counts_what_the_table_says(name: str) -> None:
    pytest.importorskip("onnx")
    layers = layers_of(find_model(name).path)
    gmacs = sum(layer.macs for layer in layers) / 1e9
    assert gmacs == pytest.approx(shipped_models()[name]["gmacs"], abs=0.06)
    for device in DEVICES:
        least = 2 * gmacs / device.tflops
        assert best_ms(layers, device) >= least, "no faster than its arithmetic"
        assert best_ms(layers, device) >= sum(layer.moved for layer in layers) * 2e-6 / device.gb_s
        slower = replace(device, tflops=device.tflops / 2, gb_s=device.gb_s / 2)
        assert best_ms(layers, slower) == pytest.approx(2 * best_ms(layers, device))


def test_a_roofline_of_what_is_no_network_is_one_sentence(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from networks import network

    file = tmp_path / "mine.onnx"
    for content, words in ((b"not a network", "cannot be read as ONNX"), (b"", "of no fixed size")):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=rf"mine\.onnx: .*{words}"):
            layers_of(file)
    free = network()
    for value in free.graph.input:
        value.type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(free, file)
    with pytest.raises(ModelError, match="of no fixed size"):
        layers_of(file)


def test_the_command_writes_compares_and_draws(tmp_path: Path) -> None:
    """One run, then a second against a report that claims to have been a hundred times as fast: exit 3, in one sentence."""
    base = [sys.executable, "-m", "stereo_rt", "bench", SMALL, "--backend", "sgbm", "--frames", "10", "--rate", "100"]
    first = subprocess.run([*base, "--json", "a.json", "--plot", "a.svg"], cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    for words in ("match alone", "frame age at 100 Hz", "flat out", "confidence", "around the network", "peak memory"):
        assert words in first.stdout, words
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    report = json.loads((tmp_path / "a.json").read_text())
    report["runs"][0]["alone_ms"]["match"]["min"] /= 100
    (tmp_path / "a.json").write_text(json.dumps(report))
    second = subprocess.run([*base, "--compare", "a.json"], cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 3, second.stdout + second.stderr
    assert "match alone" in second.stderr.splitlines()[-1] and "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--plot", "a.bmp"], "end the name with .svg"),
        (["--compare", "absent.json"], "stereo-rt bench --json"),
        (["--max-regress", "much"], "percentage"),
        (["--live", "--engine-only"], "take one"),
    ],
)
def test_wrong_asks_are_told_before_anything_runs(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "stereo_rt", "bench", "absent.mp4", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sentence in done.stderr


def test_the_guides_estimate_is_the_programs(repo: Path) -> None:
    pytest.importorskip("onnx")
    both = [layers_of(find_model(name).path) for name in ("student_s", "student_m")]
    guide = (repo / "docs" / "jetson.md").read_text()
    for device in DEVICES:
        small, fine = (f"{best_ms(layers, device):.2f} ms" for layers in both)
        assert f"| {device.name} | {device.tflops:g} | {device.gb_s:g} | {small} | {fine} |" in guide
