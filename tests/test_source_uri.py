"""What the user may type for a source, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stereo_rt.errors import SourceError, StereoError
from stereo_rt.sources.uri import SCHEMES, SourceUri, parse_source


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with something of every kind in it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("left.png", "right.png", "left.mp4", "right.mp4", "sbs.mp4", "run.mcap", "run.bag", "notes.txt"),
        *("a,b.png", "c,d.png", "what?.mp4", "x?layout=sbs.mp4", "l_0001.png", "r_0001.png"),
    ):
        Path(name).touch()
    Path("leftdir").mkdir()
    Path("rightdir").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "paths", "options"),
    [
        ("left.png,right.png", "images", ("left.png", "right.png"), {}),
        (" left.png , right.png ", "images", ("left.png", "right.png"), {}),
        ("leftdir,rightdir", "images", ("leftdir", "rightdir"), {}),
        ("l_%04d.png,r_%04d.png", "images", ("l_%04d.png", "r_%04d.png"), {}),
        ("leftdir?layout=tb", "images", ("leftdir",), {"layout": "tb"}),
        ("left.mp4,right.mp4", "video", ("left.mp4", "right.mp4"), {}),
        ("sbs.mp4?layout=sbs", "video", ("sbs.mp4",), {"layout": "sbs"}),
        ("a,b.png,c,d.png", "images", ("a,b.png", "c,d.png"), {}),
        ("what?.mp4,left.mp4", "video", ("what?.mp4", "left.mp4"), {}),
        ("what?.mp4?layout=sbs", "video", ("what?.mp4",), {"layout": "sbs"}),
        ("x?layout=sbs.mp4,left.mp4", "video", ("x?layout=sbs.mp4", "left.mp4"), {}),
        ("v4l2:///dev/video0?layout=sbs&fourcc=MJPG", "v4l2", ("/dev/video0",), {"layout": "sbs", "fourcc": "MJPG"}),
        ("v4l2:///dev/video0,/dev/video2", "v4l2", ("/dev/video0", "/dev/video2"), {}),
        ("v4l2://0,2?fps=29.97", "v4l2", ("/dev/video0", "/dev/video2"), {"fps": "29.97"}),
        ("csi://0,1", "csi", ("0", "1"), {}),
        ("gst://a ! video/x-raw,width=1 || b ! c", "gstreamer", ("a ! video/x-raw,width=1", "b ! c"), {}),
        ("gst://a uri=x?y=1 ! b?layout=tb", "gstreamer", ("a uri=x?y=1 ! b",), {"layout": "tb"}),
        ("rtsp://a,rtsp://b", "rtsp", ("rtsp://a", "rtsp://b"), {}),
        ("RTSP://u:p,w@h/l?p=1&q=2,rtsps://h/r", "rtsp", ("RTSP://u:p,w@h/l?p=1&q=2", "rtsps://h/r"), {}),
        ("rtsp://h/x?p=1&layout=sbs", "rtsp", ("rtsp://h/x?p=1",), {"layout": "sbs"}),
        ("run.mcap", "mcap", ("run.mcap",), {}),
        ("run.bag", "bag", ("run.bag",), {}),
        ("run.mcap?left=/a/l&right=r", "mcap", ("run.mcap",), {"left": "/a/l", "right": "r"}),
        ("synthetic://room?seed=3", "synthetic", ("room",), {"seed": "3"}),
    ],
)
def test_grammar(text: str, kind: str, paths: tuple[str, ...], options: dict[str, str]) -> None:
    assert parse_source(text) == SourceUri(kind, paths, options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"empty.*stereo-rt demo"),
        ("rstp://a,rtsp://b", r"did you mean 'rtsp://'"),
        ("http://a,http://b", r"not a kind of source; known are v4l2://"),
        ("left.png", r"second eye is missing; give left,right.*\?layout=sbs"),
        ("left.png,", r"empty"),
        ("lft.png,right.png", r"lft\.png: does not exist; did you mean left\.png\?"),
        ("left.png,nowhere/right.png", r"folder does not exist"),
        ("left.png,left.png", r"both eyes are the same"),
        ("left.png,./left.png", r"both eyes are the same"),
        ("left.png,right.mp4", r"one eye is images and the other is video"),
        ("left.png,right.png,l_0001.png", r"names 3 files"),
        ("left.*,right.*", r"wildcards.*%04d"),
        ("notes.txt,notes.txt", r"'\.txt' is no image, video or recording"),
        ("sbs.mp4?layuot=sbs", r"did you mean 'layout'"),
        ("sbs.mp4?layout=abs", r"layout=abs should be sbs"),
        ("sbs.mp4?layout", r"not key=value|does not exist"),
        ("left.mp4,right.mp4?layout=sbs", r"one path that holds both eyes"),
        ("run.mcap,left.mp4", r"holds both eyes"),
        ("run.mcap?left=/a b", r"left=/a b should be a topic, such as /left/image_raw"),
        ("/dev/video0,/dev/video2", r"did you mean v4l2:///dev/video0,/dev/video2"),
        ("v4l2:///dev/video0", r"second eye is missing"),
        ("v4l2://camera", r"device file.*stereo-rt doctor"),
        ("v4l2:///dev/video0?fourcc=MJPEG,/dev/video2", r"fourcc=.* should be four letters"),
        ("v4l2:///dev/video0?layout=sbs&width=0", r"width=0 should be"),
        ("v4l2:///dev/video0,/dev/video0", r"both eyes are the same"),
        ("csi://0", r"second eye is missing"),
        ("csi://a,b", r"csi://0,1"),
        ("gst://a || ", r"a pipeline is empty"),
        ("gst://a", r"second eye is missing"),
        ("rtsp://a", r"second eye is missing"),
        ("rtsp://a,b", r"not the address|second eye is missing"),
        ("C:\\data\\left.png,C:\\data\\right.png", r"does not exist|folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        parse_source(text)
    assert "\n" not in str(caught.value)


def test_a_link_to_the_same_file_is_the_same_file(folder: Path) -> None:
    Path("link.png").symlink_to("left.png")
    with pytest.raises(SourceError, match=r"both eyes are the same"):
        parse_source("left.png,link.png")


def test_home_is_understood_in_both_eyes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert parse_source("~/left.png,~/right.png").paths == (str(folder / "left.png"), str(folder / "right.png"))


PIECES = st.sampled_from(
    [f"{s}://" for s in (*SCHEMES, "file", "")]
    + ["left.png", "right.png", "leftdir", "sbs.mp4", "run.mcap", "/dev/video0", "/dev/video2", "%04d", "%d.png", ".."]
    + [
        ",",
        "?",
        "&",
        "=",
        "!",
        "||",
        "layout=sbs",
        "fourcc=MJPG",
        "width=1",
        "0",
        "1",
        "~",
        "~root/",
        "/",
        "\0",
        "\n",
        "*",
        " ",
    ]
)


@given(
    st.one_of(
        st.text(max_size=200), st.lists(PIECES, max_size=12).map("".join), st.characters().map(lambda c: f"a{c}.png,b{c}.png")
    )
)
@example("a" * 5000 + "," + "b" * 5000)
@example("," * 3000)
@example("~nobody-of-that-name/a.png,b.png")
@example("\ud800.png,\udfff.png")
@example("%d,%d")
def test_whatever_is_typed_only_our_errors_come_out(text: str) -> None:
    try:
        uri = parse_source(text)
    except StereoError as e:
        assert str(e) and "\n" not in str(e) and str(e).isprintable() and len(str(e)) < 700
    else:
        assert uri.paths and 1 <= len(uri.paths) <= 2
        assert len(uri.paths) == 2 or uri.layout or uri.kind in ("synthetic", "mcap", "bag")
