"""Settings: what wins over what, which mistakes are named, and that nothing but ConfigError ever comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt import config
from stereo_rt.config import Config, dump, load, to_yaml, validate
from stereo_rt.errors import ConfigError, FlagError

ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates too: an argument may hold any byte
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["640x480", "0.3:10", "1:", "onnx", "pfm,ply", ".inf", "1e999"])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3))
KEYS = st.sampled_from(sorted(config._keys(Config))) | ANY_TEXT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("post:\n  min_confidence: 0.6\n  edge_px: 2\nmatch:\n  backend: sgbm\n")
    return path


def test_each_layer_wins_over_the_one_before(file: Path) -> None:
    assert load().post.min_confidence == Config().post.min_confidence
    assert load(file).post.min_confidence == 0.6
    assert load(file, ["post.min_confidence=0.7"]).post.min_confidence == 0.7
    resolved = load(file, ["post.min_confidence=0.7"], {"post.min_confidence": 0.8, "post.edge_px": None})
    assert resolved.post.min_confidence == 0.8
    assert resolved.post.edge_px == 2  # a flag that was not given overrides nothing
    assert resolved.match.backend == "sgbm"


def test_a_wrong_flag_is_a_wrong_command_and_a_wrong_file_is_not(file: Path) -> None:
    for wrong in ((file, ["post.min_confidence=3"]), (None, ["a.b=1"]), (file, [], {"match.backend": "nonsense"})):
        with pytest.raises(FlagError) as e:
            load(*wrong)
        assert e.value.exit_code == 2
    file.write_text("post:\n  min_confidence: 3\n")
    with pytest.raises(ConfigError) as e:
        load(file, ["post.edge_px=1"])
    assert e.value.exit_code == 1
    assert load(file, ["post.min_confidence=0.5"]).post.min_confidence == 0.5


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("post.min_confidance", "post.min_confidence"),
        ("min_confidence", "post.min_confidence"),
        ("pots.edge_px", "post"),
        ("match.sgbm.blok_px", "match.sgbm.block_px"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(key: str, suggestion: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{suggestion}"):
        load(assignments=[f"{key}=1"])


def test_a_key_like_no_other_points_at_the_list() -> None:
    with pytest.raises(ConfigError, match="stereo-rt config show"):
        load(assignments=["zzzzzz=1"])


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("post.min_confidence=1.5", "less than or equal to 1"),
        ("post.min_confidence=.nan", "post.min_confidence"),
        ("capture.timeout_s=.inf", "finite"),
        ("calib.size=640", "calib.size"),
        ("calib.size=640*480", "640x480"),
        ("post.range_m=5:1", "empty"),
        ("post.range_m=5", "two ends"),
        ("post.range_m=near:far", "0.3:10"),
        ("match.backend=cuda", "sgbm"),
        ("match.sgbm.max_disparity_px=100", "multiple of 16"),
        ("post.edge_px.x=1", "not a section"),
        ("post", "section.key=value"),
        ("post.edge_px=[1", "not valid YAML"),
        ("post.edge_px=2001-99-99", "not valid YAML"),
    ],
)
def test_a_wrong_value_is_one_sentence_about_it(assignment: str, words: str) -> None:
    assignments = ["post.edge_px=1", assignment]
    with pytest.raises(ConfigError) as caught:
        load(assignments=assignments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1:30", (1.0, 30.0)), ("0.3:10", (0.3, 10.0)), (":4", (0.0, 4.0)), ("2:", (2.0, float("inf"))), ("[1, 2]", (1.0, 2.0))],
)
def test_a_range_reads_as_written(text: str, expected: tuple[float, float]) -> None:
    """YAML 1.1 takes a bare 1:30 for 90."""
    assert load(assignments=[f"post.range_m={text}"]).post.range_m == expected


def test_a_bare_range_in_a_file_is_refused_rather_than_misread(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("post:\n  range_m: 1:30\n")
    with pytest.raises(ConfigError, match="in quotes"):
        load(path)


def test_numbers_do_where_text_is_expected() -> None:
    assert load(assignments=["view.web=8080"]).view.web == "8080"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "post:\n# min_confidence: 0.7\n"])
def test_an_empty_file_or_section_means_the_defaults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert load(path, ["post.edge_px=1"]) == Config()


@pytest.mark.parametrize(
    "content",
    [
        b"- 1\n",
        b"post: [",
        b"\xff\xfe\x00",
        b"a: &a [*a]\n",
        b"1: 2\n",
        b"? [x]\n: 1\n",
        b"post: !!python/object/apply:os.system ['true']\n",
        b"post: 2001-99-99\n",
        b"run: {queue: " + b"9" * 9000 + b"}\n",
        b"[" * 2000,
        b"\n".join([b"a0: &a0 [x, x]"] + [b"a%d: &a%d [*a%d, *a%d]" % (i, i, i - 1, i - 1) for i in range(1, 60)]),
    ],
)
def test_a_hostile_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value)) < 500


def test_a_missing_file_or_a_folder_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read.*default, fast, jetson, quality"):
            load(path)


def test_a_shipped_file_goes_by_its_name_unless_one_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Path("fast")).match.backend == "sgbm"
    Path("fast").write_text("match: {backend: onnx}")
    assert load(Path("fast")).match.backend == "onnx"


def test_what_is_saved_loads_as_the_same(tmp_path: Path) -> None:
    original = load(assignments=["post.range_m=0.4:", "calib.file=rig.yaml", "calib.size=640x480", "output.formats=ply,mp4"])
    path = tmp_path / "resolved.yaml"
    path.write_text(to_yaml(original))
    assert load(path) == original
    assert validate(dump(original)) == original


def test_a_resolved_config_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().post.edge_px = 3  # type: ignore[misc]


@given(tree=st.dictionaries(st.sampled_from(list(Config.model_fields)) | ANY_TEXT, TREES, max_size=4))
def test_any_tree_is_a_config_or_a_config_error(tree: dict[str, Any]) -> None:
    try:
        assert validate(dump(validate(tree))) == validate(tree)
    except ConfigError as e:
        assert 10 < len(str(e)) < 500


@given(key=KEYS, value=LEAVES.map(str) | ANY_TEXT)
def test_any_assignment_is_a_config_or_a_config_error(key: str, value: str) -> None:
    try:
        load(assignments=[f"{key}={value}"])
    except ConfigError as e:
        assert 10 < len(str(e)) < 500


@given(content=st.binary(max_size=60) | TREES.map(lambda t: yaml.safe_dump(t).encode()))
def test_any_file_is_a_config_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    try:
        load(path)
    except ConfigError as e:
        assert 10 < len(str(e)) < 500


def test_the_shipped_configs_are_right(repo: Path) -> None:
    shipped = sorted((repo / "configs").glob("*.yaml"))
    assert shipped
    for path in shipped:
        load(path)
    assert load(repo / "configs" / "default.yaml") == Config(), "default.yaml documents the defaults"
    documented = set(_leaves(yaml.safe_load((repo / "configs" / "default.yaml").read_text())))
    assert documented == set(_leaves(dump(Config()))), "default.yaml shows every setting"


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in tree.items()
        for leaf in (_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key])
    ]
