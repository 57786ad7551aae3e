"""The window: its drawing and keys on SDL's dummy driver, and the real command under Xvfb."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import alive, wait_for
from viewing import CAMERA, live_viewer, pause, put_back, shown

from stereo_rt import render
from stereo_rt.errors import OutputError
from stereo_rt.pipeline import Pipeline
from stereo_rt.sinks.recorder import Recorder
from stereo_rt.versions import Versioned
from stereo_rt.viewer import Viewer

pygame = pytest.importorskip("pygame")
from stereo_rt.sinks.picture_window import PictureWindow  # noqa: E402
from stereo_rt.sinks.window import Window  # noqa: E402

TOOLS = ("Xvfb", "xdotool", "import")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Viewer, Pipeline]]:
    with live_viewer(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(autouse=True)
def _put_back(running: tuple[Viewer, Pipeline]) -> Iterator[None]:
    with put_back(*running):
        yield


@pytest.fixture
def window(running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield Window(running[0])
    pygame.quit()


def press(key: int, text: str = "") -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=text))


def drawn(window: Window) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the window as it is."""
    window.draw()
    return np.swapaxes(pygame.surfarray.array3d(pygame.display.get_surface()), 0, 1)


def test_the_window_shows_the_composite(window: Window, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    pause(viewer, pipeline)
    screen = drawn(window)
    where = window._layout
    assert where is not None
    expected = render.panes(shown(viewer), viewer.view, where)[..., ::-1]
    width, height = where.size
    x = (screen.shape[1] - width) // 2
    np.testing.assert_array_equal(screen[:height, x : x + width], expected)
    assert screen[height + 2 :].max() > 150, "status lines are written below"


def test_the_pixel_under_the_pointer_is_told(
    window: Window, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    window.draw()
    where = window._layout
    assert where is not None
    x, y = where.origin("depth")
    offset = (pygame.display.get_surface().get_width() - where.size[0]) // 2
    at = offset + x + where.picture[0] // 2, y + where.picture[1] // 2
    said: list[str] = []
    monkeypatch.setattr(pygame.mouse, "get_pos", lambda: at)
    monkeypatch.setattr(pygame.mouse, "get_focused", lambda: True)
    monkeypatch.setattr(window, "_panel", lambda lines, at: said.append(lines[0][0]))
    window.draw()
    assert said[0].startswith("x 160 y 120  ")


def test_keys_reach_the_viewer_and_the_window(window: Window, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    colormap, threshold = viewer.view.colormap, pipeline.post_config.min_confidence
    press(pygame.K_c, "c")
    press(pygame.K_EQUALS, "+")
    press(pygame.K_3, "3")
    assert window._handle_events()
    assert viewer.view.colormap != colormap
    assert pipeline.post_config.min_confidence == pytest.approx(threshold + 0.05)
    window.draw()
    assert window._layout is not None and window._layout.panes == ("depth",)
    bare = drawn(window)
    press(pygame.K_h, "h")
    press(pygame.K_UP)
    assert window._handle_events()
    assert np.abs(drawn(window).astype(int) - bare).mean() > 1, "the help covers something"
    press(pygame.K_0, "0")
    press(pygame.K_i, "i")
    assert window._handle_events()
    window.draw()
    assert window._layout.panes == render.PANES
    press(pygame.K_q, "q")
    assert not window._handle_events()


def test_a_key_that_is_held_steps_on_but_toggles_once(window: Window, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    colormap, threshold = viewer.view.colormap, pipeline.post_config.min_confidence
    for _ in range(4):  # as SDL repeats them: no KEYUP between
        press(pygame.K_c, "c")
        press(pygame.K_DOWN)
    assert window._handle_events()
    assert viewer.view.colormap == render.COLORMAPS[render.COLORMAPS.index(colormap) + 1]
    assert pipeline.post_config.min_confidence == pytest.approx(threshold - 4 * 0.05)
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_c))
    press(pygame.K_c, "c")
    assert window._handle_events()
    assert viewer.view.colormap == render.COLORMAPS[render.COLORMAPS.index(colormap) + 2]


def test_a_recording_that_broke_is_among_the_warnings(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = OutputError("a.mkv: recording stopped after 7 pairs (no space left on device); free some space")
    before = window._lines()
    monkeypatch.setattr(Recorder, "error", broken, raising=False)
    assert [text for text, _ in window._lines()][len(before) :] == [str(broken)]


@pytest.mark.parametrize("leave", ["close", "escape", "end"])
def test_the_window_leaves_when_asked(running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch, leave: str) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window(running[0])
    draws = 0

    def ended() -> bool:
        nonlocal draws
        draws += 1
        if draws == 3 and leave == "close":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        if draws == 3 and leave == "escape":
            press(pygame.K_ESCAPE)
        return draws == 3 and leave == "end"

    window.run(until=ended)
    assert draws == 3
    assert not pygame.display.get_init()


def test_the_composite_is_drawn_anew_only_when_it_changes(
    window: Window, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, pipeline = running
    pause(viewer, pipeline)
    made: list[object] = []
    panes = render.panes
    monkeypatch.setattr(render, "panes", lambda *about: made.append(about) or panes(*about))
    first = drawn(window)
    viewer.note("only the words below change")
    drawn(window)
    assert len(made) == 1
    height = window._layout.size[1]  # type: ignore[union-attr]
    np.testing.assert_array_equal(drawn(window)[:height], first[:height])

    def renews() -> bool:
        before = len(made)
        again = drawn(window)
        return len(made) == before + 1 and again.std() > 20

    viewer.next_colormap()
    assert renews(), "other colours"
    viewer.change_threshold(0.05)
    assert renews(), "another mask"
    press(pygame.K_2, "2")
    window._handle_events()
    assert renews(), "other panes"
    pygame.display.set_mode((700, 500), pygame.RESIZABLE)
    assert renews(), "another size"
    viewer.write(replace(shown(viewer)))
    assert renews(), "another result"
    assert not renews()


def test_the_picture_of_a_capture_is_drawn_anew_only_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    changes, made = Versioned(), []
    picture = np.full((30, 60, 3), 200, np.uint8)
    window = PictureWindow(changes, lambda: made.append(1) or picture, {}, "title")
    now_s = 100.0
    monkeypatch.setattr("stereo_rt.sinks.picture_window.monotonic", lambda: now_s, raising=False)
    try:
        for _ in range(3):
            window.draw()
        assert len(made) == 1
        assert pygame.surfarray.array3d(pygame.display.get_surface()).mean() > 100, "it is still shown"
        changes.touch()
        window.draw()
        assert len(made) == 2
        pygame.display.set_mode((300, 200), pygame.RESIZABLE)
        window.draw()
        assert len(made) == 3
        now_s += 1
        window.draw()
        assert len(made) == 4, "a message in it may have had its time"
    finally:
        pygame.quit()


def test_resizing_refits_the_panes(window: Window) -> None:
    for size in ((1000, 700), (500, 900), (330, 200)):
        pygame.display.set_mode(size, pygame.RESIZABLE)
        window.draw()
        assert window._layout is not None
        assert window._layout.size[0] <= size[0]
        assert window._layout.size[1] <= size[1]


# -- the real thing --------------------------------------------------------------------------------------------------


@pytest.fixture
def display(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a bare X server of its own."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    told, tell = os.pipe()
    # Without -noreset it starts anew whenever its last client leaves, such as a screenshot's, and loses a window just opened.
    server = subprocess.Popen(
        ["Xvfb", "-noreset", "-displayfd", str(tell), "-screen", "0", "1000x720x24", "-nolisten", "tcp"],
        pass_fds=(tell,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(tell)
    with os.fdopen(told) as answer:
        number = answer.readline().strip()
    environment = {k: v for k, v in os.environ.items() if k not in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")}
    yield environment | {"DISPLAY": f":{number}"}
    server.terminate()
    server.wait(60)


def screenshot(display: dict[str, str], path: Path) -> np.ndarray:
    subprocess.run(["import", "-window", "root", str(path)], env=display, check=True, timeout=60)
    return cv2.imread(str(path))


def xdotool(display: dict[str, str], *words: str) -> None:
    subprocess.run(["xdotool", *words], env=display, check=True, timeout=60)


@pytest.mark.system
def test_view_opens_a_window_and_quits_on_q(display: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stereo_rt", "view", CAMERA, "--backend", "sgbm"]
    process = subprocess.Popen(command, cwd=tmp_path, env=display, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        picture = tmp_path / "screen.ppm"
        wait_for(lambda: alive(process) and screenshot(display, picture).std() > 40, "pictures in the window")
        before = screenshot(display, picture)
        xdotool(display, "mousemove", "300", "500", "key", "3", "key", "c")
        wait_for(lambda: bool(np.abs(screenshot(display, picture).astype(int) - before).mean() > 10), "the depth pane alone")
        xdotool(display, "key", "p")
        wait_for(lambda: len(list(tmp_path.glob("stereo-*-depth_mm.png"))) == 1, "a snapshot")
        xdotool(display, "key", "q")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert "press h in the window" in out and "frames" in out.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.system
def test_ctrl_c_closes_the_window_and_finishes_the_recording(display: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stereo_rt", "view", CAMERA, "--backend", "sgbm", "--record", "run.mkv"]
    process = subprocess.Popen(command, cwd=tmp_path, env=display, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: alive(process) and any(p.stat().st_size for p in tmp_path.glob(".run.*")), "a recording that grows")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert "Traceback" not in err and "pairs" in err
    assert (tmp_path / "run.mkv").is_file() and (tmp_path / "run.mkv.calib.yaml").is_file()
    assert not list(tmp_path.glob(".run.*"))
