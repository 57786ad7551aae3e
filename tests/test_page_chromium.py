"""The web page in a real browser: headless Chromium, driven over the WebDriver protocol (w3.org/TR/webdriver2)."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scripted import wait_for
from viewing import live_viewer, pause, put_back, renewed, shown

from stereo_rt import hud
from stereo_rt.pipeline import Pipeline
from stereo_rt.viewer import Viewer

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
from stereo_rt.sinks.web import WebServer  # noqa: E402

pytestmark = pytest.mark.system

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1366,768",
)
SIZES = {"laptop": (1366, 768), "phone": (420, 900)}


class Browser:
    """One tab."""

    server: WebServer

    def __init__(self, driver_url: str, profile: Path) -> None:
        self._http = httpx.Client(base_url=driver_url, timeout=60)
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        self._path = ""
        session = self("POST", "/session", capabilities={"alwaysMatch": {"goog:chromeOptions": options}})
        self._path = f"/session/{session['sessionId']}"

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        reply = self._http.request(method, self._path + path, json=body if method == "POST" else None)
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self("POST", "/execute/sync", script=f"return ({script})", args=[])

    def text(self, element: str) -> str:
        return self.run(f"document.getElementById('{element}').textContent")

    def box(self, element: str) -> dict[str, float]:
        return self.run(f"document.getElementById('{element}').getBoundingClientRect().toJSON()")

    def click(self, element: str) -> None:
        box = self.box(element)
        self.pointer(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, press=True)

    def pointer(self, x: float, y: float, press: bool = False) -> None:
        """Move the mouse, as a user does, and press it."""
        moves: list[dict[str, Any]] = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 50}]
        if press:
            moves += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": moves}])

    def press(self, key: str) -> None:
        """Strike a key, as a user does, wherever the focus is."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    def hold(self, key: str, times: int = 8) -> None:
        """A key that is held down repeats itself, which only DevTools can feign."""
        for kind, n in [*(("keyDown", n) for n in range(times)), ("keyUp", 0)]:
            event = {"type": kind, "key": key, "text": key if kind == "keyDown" else "", "autoRepeat": n > 0}
            self("POST", "/goog/cdp/execute", cmd="Input.dispatchKeyEvent", params=event)

    def resize(self, width: int, height: int) -> None:
        self("POST", "/window/rect", width=width, height=height)
        wait_for(lambda: self.run("window.innerWidth") == width, "the page has its new width")

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        png = base64.b64decode(self("GET", "/screenshot"))
        if path is not None:
            path.write_bytes(png)
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)

    def close(self) -> None:
        self("DELETE", "")
        self._http.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Viewer, Pipeline]]:
    with live_viewer(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(autouse=True)
def _put_back(running: tuple[Viewer, Pipeline]) -> Iterator[None]:
    with put_back(*running):
        yield


@pytest.fixture(scope="module")
def browser(running: tuple[Viewer, Pipeline], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page, loaded, with pictures coming."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium and chromedriver are not installed")
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    server = WebServer(running[0], port=0)
    tab = None
    try:
        assert driver.stdout is not None
        said = (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)
        url = next(f"http://127.0.0.1:{found[1]}" for found in said if found)
        wait_for(lambda: answers(f"{url}/status"), "the driver")
        tab = Browser(url, tmp_path_factory.mktemp("profile"))
        tab.server = server
        tab("POST", "/url", url=server.url)
        wait_for(lambda: tab.run("document.getElementById('picture').naturalWidth") > 100, "a picture")
        yield tab
    finally:
        if tab is not None:
            tab.close()
        driver.terminate()
        driver.wait(60)
        driver.communicate()
        server.close()


def answers(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=60).json()["value"]["ready"])
    except httpx.HTTPError:
        return False


def picture(browser: Browser) -> np.ndarray:
    """What the browser shows of the stream."""
    box = browser.box("picture")
    x, y, width, height = (round(box[k]) for k in ("x", "y", "width", "height"))
    return browser.screenshot()[max(0, y) : y + height, max(0, x) : x + width]


@pytest.mark.parametrize("device", SIZES)
def test_the_page_fits_and_the_pictures_move(browser: Browser, tmp_path: Path, device: str) -> None:
    browser.resize(*SIZES[device])
    looks = [picture(browser)]

    def moved() -> bool:
        looks.append(picture(browser))
        before, now = looks[-2:]
        return before.shape == now.shape and bool((before != now).mean() > 0.02 and now.std() > 25)

    wait_for(moved, "a picture, neither black nor of one colour, that moves")
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"
    if device == "laptop":
        assert browser.run("document.documentElement.scrollHeight <= window.innerHeight"), "everything at one glance"
    browser.screenshot(tmp_path / f"page-{device}.png")
    browser.resize(*SIZES["laptop"])


def test_figures_are_shown(browser: Browser) -> None:
    wait_for(lambda: browser.text("state") == "ok" and browser.text("kept").endswith("%"), "a status")
    assert browser.text("fps").endswith(" fps")
    assert browser.text("matcher").startswith("sgbm")
    assert "match" in browser.text("stages") and "ms" in browser.text("stages")
    assert browser.text("threshold-value") == "0.50"


def test_the_threshold_slider_masks(browser: Browser, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    shares = []
    for position in (0.05, 0.95):
        box = browser.box("threshold")
        browser.pointer(box["x"] + position * box["width"], box["y"] + box["height"] / 2, press=True)
        wait_for(lambda at=position: abs(pipeline.post_config.min_confidence - at) < 0.06, "the threshold in the loop")
        shares.append(float(renewed(viewer).valid.mean()))
        wait_for(lambda: abs(float(browser.text("kept").split()[0]) / 100 - shares[-1]) < 0.1, "the share on the page")
    assert shares[1] < shares[0] - 0.05
    browser("POST", "/url", url=browser.run("location.href"))
    wait_for(lambda: browser.text("threshold-value") not in ("", "0.50"), "the page shows the loop's threshold after a reload")


def test_range_and_colours(browser: Browser, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    wait_for(lambda: browser.text("far-value") != "", "controls")
    box = browser.box("far")
    browser.pointer(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2, press=True)
    wait_for(lambda: 3 < pipeline.post_config.range_m[1] < 7, "a shorter range")
    wait_for(lambda: viewer.view.range_m == pipeline.post_config.range_m, "the colours span it")
    browser.run(
        "(() => { const s = document.getElementById('colormap'); s.value = 'magma'; s.dispatchEvent(new Event('change')); })()"
    )
    wait_for(lambda: viewer.view.colormap == "magma", "the colour map")


def test_one_end_of_the_range_leaves_the_other(browser: Browser, running: tuple[Viewer, Pipeline]) -> None:
    """Also one that lies beyond its slider, and one that is open."""
    pipeline = running[1]

    def keep(near: float, far: float, words: str) -> None:
        pipeline.post_config = pipeline.post_config.model_copy(update={"range_m": (near, far)})
        wait_for(lambda: f"{browser.text('near-value')}, {browser.text('far-value')}" == words, words)

    def touch(slider: str, share: float) -> None:
        box, before = browser.box(slider), pipeline.post_config.range_m
        browser.pointer(box["x"] + share * box["width"], box["y"] + box["height"] / 2, press=True)
        wait_for(lambda: pipeline.post_config.range_m != before, "another range")
        near, far = pipeline.post_config.range_m
        words = f"{near:.1f} m, {'no limit' if np.isinf(far) else f'{far:.1f} m'}"
        wait_for(lambda: f"{browser.text('near-value')}, {browser.text('far-value')}" == words, words)

    keep(0.0, float("inf"), "0.0 m, no limit")
    touch("near", 0.2)
    assert 0.5 < pipeline.post_config.range_m[0] < 1.5 and pipeline.post_config.range_m[1] == float("inf")
    keep(6.0, 80.0, "6.0 m, 80.0 m")
    touch("near", 0.2)
    assert pipeline.post_config.range_m[1] == 80
    keep(6.0, 80.0, "6.0 m, 80.0 m")
    touch("far", 0.5)
    assert pipeline.post_config.range_m[0] == 6 and 15 < pipeline.post_config.range_m[1] < 25
    touch("far", 0.05)
    assert pipeline.post_config.range_m == (6, 6.5), "not nearer than the near end"
    touch("far", 0.98)
    assert pipeline.post_config.range_m == (6, float("inf")), "the end of the slider is no limit"


def test_hover_reads_the_pixel(browser: Browser, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    pause(viewer, pipeline)
    wait_for(lambda: browser.text("state") == "paused", "the page knows")
    box, place = browser.box("picture"), browser.run("fetch('status.json').then(r => r.json())")["views"]["all"]
    left, top = place["origins"]["depth"]
    scale = box["width"] / place["size"][0]
    browser.pointer(box["x"] + (left + 200) * scale, box["y"] + (top + 100) * scale)
    near = [str(hud.readout(shown(viewer), x, y)) for x in range(198, 203) for y in range(98, 103)]
    wait_for(lambda: browser.text("reading") in near, "the reading of that pixel")  # on its way the pointer meets others
    assert browser.run("document.querySelectorAll('#marks i').length") == 4, "the pixel is marked in every pane"


def test_buttons_and_keys(browser: Browser, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, pipeline = running
    monkeypatch.setattr("stereo_rt.viewer.MESSAGE_S", 600.0)  # messages that a slow browser cannot miss
    wait_for(lambda: browser.text("state") == "ok", "the page knows that it goes on")
    browser.click("pause")
    wait_for(lambda: pipeline.paused and browser.text("pause").startswith("Go on"), "a pause")
    pause(viewer, pipeline)
    before = shown(viewer).index
    browser.click("step")
    wait_for(lambda: shown(viewer).index > before, "a step")
    browser.click("pause")
    wait_for(lambda: not pipeline.paused, "it goes on")
    browser.click("snapshot")
    wait_for(lambda: browser.text("message").startswith("saved stereo-"), "a snapshot")
    browser.click("record")
    wait_for(lambda: viewer.recording and browser.text("record").startswith("Stop"), "a recording")
    wait_for(lambda: bool(list(viewer.folder.glob(".stereo-*"))), "a file that grows")
    wait_for(lambda: "recording to" in browser.text("message") and " pairs" in browser.text("message"), "how it goes")
    browser.click("snapshot")
    wait_for(lambda: "pairs · saved stereo-" in browser.text("message"), "a message beside it")
    browser.click("record")
    wait_for(lambda: not viewer.recording and "pairs" in browser.text("message"), "its end")
    browser.run("document.querySelector('[data-view=depth]').click()")
    wait_for(lambda: "pane=depth" in browser.run("document.getElementById('picture').src"), "one pane")
    waiting = browser.server._encoder._waiting
    wait_for(lambda: waiting["all"] == 0 and waiting["depth"] == 1, "the former stream is closed")
    browser.run("document.querySelector('[data-view=all]').click()")


def test_keys_act_after_a_click_and_only_once_while_held(
    browser: Browser, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, pipeline = running
    monkeypatch.setattr("stereo_rt.viewer.MESSAGE_S", 600.0)
    wait_for(lambda: browser.text("state") == "ok", "the page knows")
    browser.click("record")
    wait_for(lambda: viewer.recording and browser.text("record").startswith("Stop"), "a recording")
    browser.press(" ")
    wait_for(lambda: pipeline.paused and browser.text("pause").startswith("Go on"), "a pause")
    assert viewer.recording, "space does not press the button that was clicked last"
    browser.press(" ")
    wait_for(lambda: not pipeline.paused and browser.text("pause").startswith("Pause"), "it goes on")
    browser.click("threshold")
    wait_for(lambda: browser.text("threshold-value") != "", "the slider")
    browser.press("r")
    wait_for(lambda: not viewer.recording and browser.text("record").startswith("Record"), "r after the slider")
    toggled: list[bool] = []
    monkeypatch.setattr(viewer, "toggle_record", lambda: toggled.append(True))
    browser.hold("r")
    pause(viewer, pipeline)
    wait_for(lambda: browser.text("pause").startswith("Go on"), "the page knows of the pause")
    assert toggled == [True], "a key held down records once"
    before = shown(viewer).index
    browser.hold("s")
    wait_for(lambda: shown(viewer).index >= before + 8, "steps are repeated")
