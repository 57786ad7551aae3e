"""A network for another grid that reads its weights out of the file of the first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from stereo_rt.engine.export import export_checked, export_onnx  # noqa: E402
from stereo_rt.engine.origin import made_up  # noqa: E402
from stereo_rt.engine.shared import LEAST, WEIGHTS_SHA256, share_weights  # noqa: E402
from stereo_rt.errors import CheckFailed  # noqa: E402
from stereo_rt.nets.weights import load_network  # noqa: E402

GRID, OTHER = (256, 128), (320, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, its twin on another grid, and that one with weights of its own."""
    folder, origin = tmp_path_factory.mktemp("shared"), made_up("student_n")
    export_onnx(origin.net, folder / "net.onnx", GRID, origin.facts)
    export_onnx(origin.net, folder / "whole.onnx", OTHER, origin.facts)
    original = folder / "net.onnx"
    export_checked(origin.net, folder / "twin.onnx", OTHER, origin.facts, trained=False, original=original)
    return folder


def maps(file: Path) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    shape = (1, 3, OTHER[1], OTHER[0])
    rng = np.random.default_rng(1)
    return session.run(None, {eye: rng.random(shape, dtype=np.float32) for eye in ("left", "right")})


def test_a_twin_answers_as_the_whole_file_does(folder: Path) -> None:
    for one, other in zip(maps(folder / "twin.onnx"), maps(folder / "whole.onnx"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (folder / "twin.onnx").stat().st_size < 0.2 * (folder / "whole.onnx").stat().st_size
    onnx.checker.check_model(str(folder / "twin.onnx"), full_check=True)


def test_torch_reads_the_same_weights_out_of_it(folder: Path) -> None:
    own, twin = (load_network(folder / name)[0].state_dict() for name in ("net.onnx", "twin.onnx"))
    assert own.keys() == twin.keys() and all(torch.equal(own[key], twin[key]) for key in own)


def test_it_says_which_weights_it_means(tmp_path: Path) -> None:
    """So that a checksum of the twin tells other weights apart, though they lie at the same places of their file."""
    texts = []
    for seed in (0, 1):
        origin, file = made_up("student_n", seed), tmp_path / f"{seed}" / "net.onnx"
        export_onnx(origin.net, file, GRID, {})
        export_onnx(origin.net, tmp_path / "other.onnx", OTHER, {})
        model = onnx.load(tmp_path / "other.onnx")
        assert share_weights(model, file) > 30
        assert all(len(tensor.raw_data) < LEAST or tensor.name.endswith("output_0") for tensor in model.graph.initializer)
        texts.append(model.SerializeToString())
        assert {p.key for p in model.metadata_props} == {WEIGHTS_SHA256}
    assert texts[0] != texts[1] and len(texts[0]) == len(texts[1])


def test_other_weights_are_refused_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    other = made_up("student_n", seed=1)
    shutil.copy(folder / "net.onnx", tmp_path)
    with pytest.raises(CheckFailed, match=r"net\.onnx: holds none of these weights, so nothing was written"):
        export_checked(other.net, tmp_path / "twin.onnx", OTHER, {}, trained=False, original=tmp_path / "net.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
