"""Adapters of other projects' networks: sign, units, padding, colours and weights by stand-ins whose answer is known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from standins import FILES, make_standin, red_over_four, timm  # noqa: F401

from stereo_rt.config import load
from stereo_rt.errors import MissingExtra, ModelError, StereoError, UsageError
from stereo_rt.training.adapters import ADAPTERS, MONO, open_adapter
from stereo_rt.training.teachers import network_of, open_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
MATCH = load(flags={"match.device": "cpu"}).match
STEREO = [name for name in ADAPTERS if name not in MONO]
pytestmark = pytest.mark.usefixtures("timm")


def pair(size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    noise = np.random.default_rng(seed).integers(2, 256, (2, height, width, 3), np.uint8)
    return noise[0], noise[1]


def test_every_project_has_a_stand_in() -> None:
    assert set(FILES) == set(ADAPTERS) and set(ADAPTERS) > MONO


@pytest.mark.parametrize("name", STEREO)
def test_a_network_is_asked_in_its_own_terms_and_answers_in_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, checkpoint = make_standin(name, tmp_path)
    somebodys = ModuleType("core.update")
    monkeypatch.setitem(sys.modules, "core.update", somebodys)  # another project's, which is in use
    path, modules = list(sys.path), set(sys.modules)
    teacher = open_teacher(name, MATCH, clone, checkpoint)
    assert sys.path == path and sys.modules["core.update"] is somebodys
    assert not {n.partition(".")[0] for n in set(sys.modules) - modules} & {"core", "nets", "Utils", "hubconf"}
    assert teacher.spec.name == f"{name}:{checkpoint.stem}" and not teacher.spec.has_confidence
    for size in ((70, 45), (64, 32)):  # to be padded, and as it is
        left, right = pair(size)
        found = teacher(left, right)
        assert found.disparity_px.dtype == found.confidence.dtype == np.float32
        np.testing.assert_allclose(found.disparity_px, red_over_four(left), rtol=1e-6)
        seen = np.arange(size[0]) >= red_over_four(left)  # inside the right image
        assert np.array_equal(found.confidence, seen.astype(np.float32)) and 0.1 < seen.mean() < 0.9
    grey = teacher(left[..., 0], right[..., 0]).disparity_px
    np.testing.assert_allclose(grey, left[..., 0] / 4, rtol=1e-6)
    teacher.close()
    assert network_of(name) is None


def test_a_network_of_one_eye(tmp_path: Path) -> None:
    from stereo_rt.mono.base import MonoNetwork

    clone, checkpoint = make_standin("depth_anything", tmp_path)
    network = open_adapter("depth_anything", clone, checkpoint, "cpu")
    assert isinstance(network, MonoNetwork) and network.name == "depth_anything:depth_anything_v2_vits"
    left = cv2.GaussianBlur(pair((56, 42))[0], (0, 0), 3)
    seen = network(left)
    assert seen.shape == (42, 56) and seen.dtype == np.float32
    assert np.abs(seen - red_over_four(left)).max() < 1  # halved again by linear interpolation
    network.close()
    with pytest.raises(UsageError, match="sees one eye"):
        open_teacher("depth_anything", MATCH, clone, checkpoint)


def test_raft_stereos_variants_are_told_apart_by_their_tensors() -> None:
    from stereo_rt.training.adapters.clone import Weights
    from stereo_rt.training.adapters.raft_stereo import settings_of

    def settings(**shapes: tuple[int, ...]) -> dict[str, object]:
        weights = Weights(Path("none"))
        weights.__dict__["tensors"] = {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}
        return settings_of(weights)

    shared = {f"context_zqr_convs__{i}__weight": (1,) for i in range(2)}
    realtime = settings(**shared, conv2__0__conv1__weight=(1,), update_block__mask__2__weight=(576, 256, 1, 1))
    assert (realtime["shared_backbone"], realtime["slow_fast_gru"]) == (True, True)
    assert (realtime["n_downsample"], realtime["n_gru_layers"]) == (3, 2)
    usual = settings(cnet__norm1__running_mean=(64,), update_block__mask__2__weight=(144, 256, 1, 1))
    assert (usual["n_downsample"], usual["context_norm"], usual["shared_backbone"]) == (2, "batch", False)


REFUSALS = {
    "no clone": ("needs the code and the weights of RAFT-Stereo.*git clone https", "--teacher-checkpoint FILE"),
    "gone": ("is no folder", "git clone https://github.com/princeton-vl/RAFT-Stereo"),
    "another folder": ("is no clone of RAFT-Stereo, it lacks core/raft_stereo.py", "git clone"),
    "no checkpoint": ("gone.pth: there is no such file", "download_models.sh"),
    "damaged": ("cannot be read as weights and nothing else", "safetensors"),
    "more than weights": ("cannot be read as weights and nothing else", "safetensors"),
    "another's": ("does not fit RAFT-Stereo, 0 of its 1 tensors", "download_models.sh"),
    "a package": ("needs a Python package.*no_such_package", "instructions"),
    "a version": ("cannot be built .AttributeError: no act1", "in those versions"),
    "the device": ("device 'abacus'", "--device auto"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_are_one_sentence_that_says_what_to_do(what: str, tmp_path: Path) -> None:
    clone, checkpoint = make_standin("raft_stereo", tmp_path)
    main, device = clone / "core/raft_stereo.py", "cpu"
    given: list[Path | None] = [clone, checkpoint]
    if what == "no clone":
        given[0] = None
    elif what == "gone":
        given[0] = tmp_path / "gone"
    elif what == "another folder":
        given[0] = tmp_path
    elif what == "no checkpoint":
        given[1] = tmp_path / "gone.pth"
    elif what == "damaged":
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    elif what == "more than weights":
        torch.save({"gain": torch.ones(1), "notes": Path("surprise")}, checkpoint)
    elif what == "another's":
        torch.save({"other": torch.ones(1)}, checkpoint)
        main.write_text(main.read_text().replace('"instance"', '"instance", "batch"').replace("== (2, 3,", "!= (2, 3,"))
    elif what == "a package":
        main.write_text("import no_such_package\n" + main.read_text())
    elif what == "a version":
        main.write_text(main.read_text().replace("super().__init__()", 'raise AttributeError("no act1")', 1))
    elif what == "the device":
        device = "abacus"
    path = list(sys.path)
    match, advice = REFUSALS[what]
    with pytest.raises(StereoError, match=match) as e:
        open_adapter("raft_stereo", *given, device)
    assert advice in str(e.value) and "\n" not in str(e.value) and sys.path == path
    assert not any(name.partition(".")[0] == "core" for name in sys.modules)


def test_foundation_stereo_needs_the_settings_beside_its_weights(tmp_path: Path) -> None:
    clone, checkpoint = make_standin("foundation_stereo", tmp_path)
    settings = checkpoint.with_name("cfg.yaml")
    for text in ("hidden_dims: [1]\n", "- a list\n", "max_disp: far\n", None):
        if text is None:
            settings.unlink()
        else:
            settings.write_text(text)
        with pytest.raises(ModelError, match=r"cfg.yaml: the settings .* 23-51-11") as e:
            open_adapter("foundation_stereo", clone, checkpoint, "cpu")
        assert "\n" not in str(e.value)


def test_distill_takes_a_teacher_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stereo_rt.cli.app import main

    clone, checkpoint = make_standin("raft_stereo", tmp_path)
    scene = tmp_path / "pairs" / "a"
    scene.mkdir(parents=True)
    for eye, image in zip(("left", "right"), pair((96, 48)), strict=True):
        image[..., 2] = 36
        cv2.imwrite(str(scene / f"{eye}.png"), image)
    asked = ["distill", "student_n", "--teacher", "raft_stereo", "--pairs", str(tmp_path / "pairs"), "--steps", "0"]
    asked += ["-o", str(tmp_path / "out"), "--device", "cpu"]
    with pytest.raises(SystemExit) as e:
        main(asked)
    said = capsys.readouterr().err
    assert e.value.code == 2 and said.count("\n") == 1 and "git clone https://github.com/princeton-vl" in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as e:
        main([*asked, "--teacher-clone", str(clone), "--teacher-checkpoint", str(checkpoint)])
    assert not e.value.code
    from stereo_rt.datasets import open_dataset

    (labelled,) = open_dataset(tmp_path / "out" / "labels")
    truth = labelled.load().truth_px
    assert np.isnan(truth[:, :9]).all() and (truth[:, 9:] == 9).all()


@pytest.mark.parametrize("name", ADAPTERS)
def test_without_torch_the_extra_is_named_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, ADAPTERS[name].partition(":")[0], raising=False)
    with pytest.raises(MissingExtra, match=rf"the teacher {name}.*\[train\]"):
        open_adapter(name, None, None, "cpu")
