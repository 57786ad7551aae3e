"""The guided capture before a user: its page in a real browser, its window under Xvfb, both filming a rendered board."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scripted import alive, wait_for
from test_page_chromium import Browser, answers
from test_window import display, screenshot, xdotool  # noqa: F401

from stereo_rt.calib.boards import parse_board
from stereo_rt.calib.session import CaptureSession
from stereo_rt.crew import Crew
from stereo_rt.sources import open_source

pytest.importorskip("uvicorn")
from stereo_rt.sinks.capture_page import CaptureServer

CAMERA = "synthetic://board?live=1&fps=10&width=480&height=360&place_s=8"  # it rests long enough for a loaded machine
BOARD = "chessboard:9x6:0.025"


@pytest.mark.system
def test_the_page_guides_takes_and_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium and chromedriver are not installed")
    session = CaptureSession(open_source(CAMERA), parse_board(BOARD), tmp_path / "pairs", say=lambda text: None)
    crew = Crew(session.finish)
    server = CaptureServer(session, port=0)
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    tab = None
    try:
        assert driver.stdout is not None
        said = (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)
        url = next(f"http://127.0.0.1:{found[1]}" for found in said if found)
        wait_for(lambda: answers(f"{url}/status"), "the driver")
        tab = Browser(url, tmp_path / "profile")
        tab("POST", "/url", url=server.url)
        crew.spawn("capture", session.run)
        wait_for(lambda: tab.run("document.getElementById('picture').naturalWidth") > 100, "a picture")
        wait_for(lambda: len(session.capture) >= 2, "pairs taken by itself")
        tab.click("auto")
        wait_for(lambda: not session.auto and tab.run("document.getElementById('auto').ariaPressed") == "false", "no automatic")
        before = len(session.capture)
        wait_for(lambda: f"{before} pairs" in tab.text("state"), "the count")
        tab.screenshot(tmp_path / "capture.png")
        tab.click("undo")
        wait_for(lambda: f"{before - 1} pairs" in tab.text("state"), "one pair less")
        assert len(list((tmp_path / "pairs" / "right").iterdir())) == before - 1
        assert tab.run("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"
        called: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(session, "take", lambda: called.append("take"))
            patched.setattr(session, "undo", lambda: called.append("undo"))
            tab.press(" ")
            wait_for(lambda: bool(called), "a key after a click")
            tab.hold("u")
            wait_for(lambda: "undo" in called, "a key that is held")
            tab.press(" ")
            wait_for(lambda: called.count("take") == 2, "one more")
        assert called == ["take", "undo", "take"], "space does not press Undo again, and u acts once"
        tab.click("finish")
        wait_for(lambda: tab.text("state").startswith("finished"), "the end")
        server.close()  # as the command does
        tab.press("u")
        time.sleep(1)
        assert tab.text("state").startswith("finished"), "not a connection that was lost"
        assert crew.join(60)
        crew.raise_first()
    finally:
        session.finish()
        if tab is not None:
            tab.close()
        driver.terminate()
        driver.wait(60)
        driver.communicate()
        server.close()
        crew.join(60)


@pytest.mark.system
def test_the_window_guides_and_says_what_to_run_next(display: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("pygame")
    words = ["calibrate", "capture", CAMERA, "-o", "pairs", "--board", BOARD]
    process = subprocess.Popen(
        [sys.executable, "-m", "stereo_rt", *words],
        cwd=tmp_path,
        env=display,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lefts = tmp_path / "pairs" / "left"
    try:
        picture = tmp_path / "screen.ppm"
        wait_for(lambda: alive(process) and screenshot(display, picture).std() > 30, "pictures in the window")
        wait_for(lambda: alive(process) and lefts.is_dir() and len(list(lefts.glob("[0-9]*.png"))) >= 2, "pairs")
        xdotool(display, "key", "a")
        before = screenshot(display, picture)
        wait_for(lambda: bool(np.abs(screenshot(display, picture).astype(int) - before).mean() > 1), "a picture that moves")
        count = len(list(lefts.glob("[0-9]*.png")))
        xdotool(display, "keydown", "u", "sleep", "1.5", "keyup", "u")
        wait_for(lambda: len(list(lefts.glob("[0-9]*.png"))) < count, "one pair less")
        xdotool(display, "key", "a")
        wait_for(lambda: len(list(lefts.glob("[0-9]*.png"))) >= count, "it takes pairs again, so all keys have been heard")
        xdotool(display, "key", "q")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert out.count("gave up pair") == 1, "a key that is held acts once"
    assert "next: stereo-rt calibrate solve pairs/left pairs/right --board pairs/board.yaml" in out
