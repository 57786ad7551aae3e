"""The web viewer over real HTTP: what each address answers, who is let in, and that no browser slows the loop."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import alive, wait_for
from viewing import CAMERA, live_viewer, pause, put_back, shown

from stereo_rt import hud, render
from stereo_rt.cli.app import main
from stereo_rt.config import Config, ViewConfig
from stereo_rt.errors import OutputError, UsageError
from stereo_rt.pipeline import Pipeline
from stereo_rt.sinks.recorder import Recorder
from stereo_rt.viewer import Viewer

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
from stereo_rt.sinks.web import WebServer, encode, plain  # noqa: E402

TOKEN = "a-secret-word"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Viewer, Pipeline]]:
    with live_viewer(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(autouse=True)
def _put_back(running: tuple[Viewer, Pipeline]) -> Iterator[None]:
    with put_back(*running):
        yield


@pytest.fixture(scope="module")
def server(running: tuple[Viewer, Pipeline]) -> Iterator[WebServer]:
    server = WebServer(running[0], port=0)
    yield server
    server.close()


@pytest.fixture
def http(server: WebServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def pictures(http: httpx.Client, count: int, pane: str = "all") -> Iterator[np.ndarray]:
    """The first pictures of the stream, decoded."""
    with http.stream("GET", "/stream.mjpg", params={"pane": pane}) as reply:
        assert reply.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        body = b""
        for chunk in reply.iter_raw():
            body += chunk
            while (part := take_part(body)) is not None:
                jpeg, body = part
                yield cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                count -= 1
                if not count:
                    return
    raise AssertionError("the stream ended")


def take_part(body: bytes) -> tuple[bytes, bytes] | None:
    """(JPEG, rest) once a whole part is there."""
    head, blank, rest = body.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = int(head.split(b"Content-Length: ")[1])
    return (rest[:length], rest[length:]) if len(rest) >= length + 10 else None


@pytest.mark.parametrize("path", ["/", "/page.js", "/keys.js", "/style.css"])
def test_the_page_comes_with_everything_it_needs(http: httpx.Client, path: str) -> None:
    reply = http.get(path)
    assert reply.status_code == 200
    assert "http://" not in reply.text and "https://" not in reply.text, "nothing comes from elsewhere"
    assert reply.headers["content-security-policy"].startswith("default-src 'self'")


def test_the_stream_moves(http: httpx.Client, running: tuple[Viewer, Pipeline]) -> None:
    images = list(pictures(http, 4))
    rig = running[0].result.rig  # type: ignore[union-attr]
    width, height = render.layout(rig).size
    assert {i.shape for i in images} == {(height, width, 3)}
    assert min(i.std() for i in images) > 20
    assert any(np.abs(a.astype(int) - b).mean() > 0.5 for a, b in itertools.pairwise(images))


@pytest.mark.parametrize("pane", render.PANES)
def test_one_pane_alone(http: httpx.Client, running: tuple[Viewer, Pipeline], pane: str) -> None:
    (image,) = pictures(http, 1, pane)
    width, height = render.layout(running[0].result.rig, (pane,)).size  # type: ignore[union-attr]
    assert image.shape == (height, width, 3)


def test_a_wrong_pane_is_a_sentence(http: httpx.Client) -> None:
    reply = http.get("/stream.mjpg?pane=nose")
    assert (reply.status_code, reply.text) == (400, "pane is one of all, left, disparity, depth, confidence")


def test_a_picture_that_cannot_be_drawn_is_missing_and_the_stream_goes_on(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter((ValueError("no such colour"), ValueError("no such colour")))

    def sometimes(viewer: Viewer, pane: str) -> bytes | None:
        for failure in failures:
            raise failure
        return encode(viewer, pane)

    monkeypatch.setattr("stereo_rt.sinks.web.encode", sometimes)
    assert len(list(pictures(http, 2))) == 2
    said = [record.getMessage() for record in caplog.records if "no such colour" in record.getMessage()]
    assert said == ["the picture 'all' cannot be drawn (ValueError: no such colour)"], "told once, not with every frame"


def test_status_tells_what_the_loop_tells(http: httpx.Client, running: tuple[Viewer, Pipeline]) -> None:
    pipeline = running[1]
    wait_for(lambda: pipeline.status().frames > 5, "some frames")
    before = pipeline.status()
    status = http.get("/status.json").json()
    truth = pipeline.status()
    assert status["state"] == "ok" and status["source"]["state"] == "ok"
    assert status["matcher"] == truth.matcher
    assert {"capture", "match", "post"} <= set(status["stage_ms"])
    assert status["fps"] > 0 and status["frame_age_ms"] > 0 and status["drops"] >= 0
    assert before.frames <= status["frames"] <= truth.frames
    assert status["grid"] == [320, 240]
    assert set(status["views"]) == {"all", *render.PANES}


def test_healthz_and_snapshot(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200
    reply = http.get("/snapshot.jpg")
    assert reply.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(reply.content, np.uint8), cv2.IMREAD_COLOR) is not None


@pytest.mark.parametrize(
    ("state", "code"), [("starting", 503), ("ok", 200), ("stale", 503), ("paused", 200), ("ended", 503), ("failed", 503)]
)
def test_health_follows_the_loop(
    http: httpx.Client, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    status = replace(running[1].status(), state=state)
    monkeypatch.setattr(running[1], "status", lambda: status)
    reply = http.get("/healthz")
    assert (reply.status_code, reply.text) == (code, state)


def test_a_loop_that_claims_to_be_fine_and_sends_nothing_is_not_healthy(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stereo_rt.sinks.web.HEALTHY_S", -1.0)
    reply = http.get("/healthz")
    assert (reply.status_code, reply.text) == (503, "silent")


def test_readout_equals_the_result(http: httpx.Client, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    pause(viewer, pipeline)
    result = shown(viewer)
    for x, y in ((200, 120), (0, 0), (319, 239)):
        reply = http.get("/readout", params={"x": x, "y": y}).json()
        truth = hud.readout(result, x, y)
        assert reply["text"] == str(truth)
        assert reply["index"] == result.index
        assert reply["depth_m"] == plain(truth.depth_m)
        assert reply["valid"] == truth.valid
    assert http.get("/healthz").text == "paused"
    for query in ("x=320&y=0", "x=-1&y=0", "x=1", "x=a&y=b", "x=1.5&y=2", "x=" + "9" * 5000 + "&y=1"):
        assert http.get(f"/readout?{query}").status_code == 400


def test_control_reaches_the_loop(http: httpx.Client, running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    reply = http.post("/control", json={"min_confidence": 0.8, "range_m": [0.5, 6], "colormap": "magma"}).json()
    assert reply["controls"]["min_confidence"] == pipeline.post_config.min_confidence == 0.8
    assert pipeline.post_config.range_m == viewer.view.range_m == (0.5, 6.0)
    assert viewer.view.colormap == reply["controls"]["colormap"] == "magma"
    http.post("/control", json={"paused": True})
    assert pipeline.paused
    assert http.post("/control", json={"step": True}).status_code == 200
    http.post("/control", json={"record": True, "paused": False})
    assert viewer.recording and not pipeline.paused
    wait_for(lambda: bool(list(viewer.folder.glob(".stereo-*"))), "a file that grows")
    reply = http.post("/control", json={"record": False, "snapshot": True}).json()
    assert not viewer.recording and list(viewer.folder.glob("*.mkv")) and list(viewer.folder.glob("*.pfm"))


def test_the_range_on_the_page_is_the_one_that_is_kept(http: httpx.Client, running: tuple[Viewer, Pipeline]) -> None:
    pipeline = running[1]
    for kept, told in (((0.0, np.inf), [0, None]), ((0.0, 6.0), [0, 6]), ((6.0, 80.0), [6, 80])):
        pipeline.post_config = pipeline.post_config.model_copy(update={"range_m": kept})
        assert http.get("/status.json").json()["controls"]["range_m"] == told
    assert http.post("/control", json={"range_m": "2:"}).json()["controls"]["range_m"] == [2, None]


def test_a_recording_that_broke_is_a_warning(
    http: httpx.Client, running: tuple[Viewer, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = OutputError("a.mkv: recording stopped after 7 pairs (no space left on device); free some space")
    monkeypatch.setattr(Recorder, "error", broken, raising=False)
    running[0].note("a message")
    status = http.get("/status.json").json()
    assert status["warnings"][-1:] == [str(broken)]
    assert status["notes"] == ["a message"]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", 400, "send a JSON object"),
        (b"[1]", 400, "send a JSON object"),
        (b"\xff\xfe", 400, "send a JSON object"),
        (b"[" * 4000, 400, "send a JSON object"),
        (b'{"min_confidence": 7}', 400, "'min_confidence' is wrong"),
        (b'{"min_confidence": NaN}', 400, "'min_confidence' is wrong"),
        (b'{"self_destruct": true}', 400, "there is no control 'self_destruct'"),
        (b" " * 5000, 413, "small JSON object"),
    ],
)
def test_a_wrong_control_is_one_sentence(http: httpx.Client, body: bytes, code: int, said: str) -> None:
    reply = http.post("/control", content=body)
    assert reply.status_code == code
    assert said in reply.text and "\n" not in reply.text


def test_unknown_addresses_and_methods(http: httpx.Client) -> None:
    assert http.get("/../config.py").status_code == 404
    assert http.get("/control").status_code == 405
    assert http.post("/status.json").status_code == 405


# -- who is let in ---------------------------------------------------------------------------------------------------


def test_on_loopback_other_names_are_refused(http: httpx.Client, server: WebServer) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", "", "[::1", "127.0.0.1.evil.example"):
        assert http.get("/status.json", headers={"Host": host}).status_code in (400, 421), host
    for host in ("localhost", f"localhost:{server.port}", "127.0.0.1:9", "[::1]:8000"):
        assert http.get("/healthz", headers={"Host": host}).status_code == 200, host


def test_commands_from_another_page_are_refused(http: httpx.Client, server: WebServer) -> None:
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}"):
        reply = http.post("/control", json={"paused": False}, headers={"Origin": origin})
        assert (reply.status_code, reply.text) == (403, "commands are taken from the viewer's own page only")
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert http.post("/control", json={"paused": False}, headers=own).status_code == 200


def test_a_token_is_asked_of_every_request(running: tuple[Viewer, Pipeline]) -> None:
    server = WebServer(running[0], "0.0.0.0", 0, TOKEN)
    try:
        assert server.url.endswith(f":{server.port}/?token={TOKEN}")
        base = f"http://127.0.0.1:{server.port}"
        get = partial(httpx.get, timeout=60)
        for path in ("/", "/page.js", "/stream.mjpg", "/snapshot.jpg", "/status.json", "/healthz", "/readout?x=1&y=1"):
            assert get(base + path).status_code == 401
            assert get(base + path, params={"token": "wrong-but-long"}).status_code == 401
        assert httpx.post(base + "/control", json={"paused": True}, timeout=60).status_code == 401
        assert not running[1].paused
        assert get(base + "/healthz", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert get(base + "/healthz", headers={b"Authorization": "Bearer ü".encode()}).status_code == 401
        assert get(base + "/healthz", headers={"Cookie": "x"}).status_code == 401
        with httpx.Client(base_url=base, timeout=60) as browser:
            first = browser.get("/", params={"token": TOKEN})
            assert "HttpOnly" in first.headers["set-cookie"] and "SameSite=Strict" in first.headers["set-cookie"]
            assert browser.get("/status.json").status_code == 200, "the cookie is enough from then on"
    finally:
        server.close()


@pytest.mark.parametrize(("host", "token"), [("0.0.0.0", None), ("::", ""), ("192.168.1.5", None), ("127.0.0.1", "a b;c")])
def test_an_open_address_needs_a_proper_token(running: tuple[Viewer, Pipeline], host: str, token: str | None) -> None:
    with pytest.raises(UsageError, match="token"):
        WebServer(running[0], host, 0, token)


def test_the_demo_takes_the_token_that_an_open_address_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ViewConfig] = []

    def run_demo(cfg: Config, *args: object, **options: object) -> None:
        asked.append(cfg.view)
        raise OutputError("seen")

    monkeypatch.setattr("stereo_rt.demo.run_demo", run_demo)
    with pytest.raises(SystemExit):
        main(["demo", "--web", "0.0.0.0:8000", "--token", TOKEN])
    assert [(view.web, view.token) for view in asked] == [("0.0.0.0:8000", TOKEN)]


def test_a_port_that_is_taken_is_a_sentence_or_the_next_one(running: tuple[Viewer, Pipeline], server: WebServer) -> None:
    with pytest.raises(OutputError, match=f"cannot listen on 127.0.0.1:{server.port} "):
        WebServer(running[0], port=server.port)
    servers = [WebServer(running[0]) for _ in range(2)]
    assert servers[0].port != servers[1].port
    for one in servers:
        one.close()


# -- a browser never slows the loop ----------------------------------------------------------------------------------


def stalled_browser(port: int) -> socket.socket:
    """Asks for the stream and never reads it."""
    browser = socket.socket()
    browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    browser.connect(("127.0.0.1", port))
    browser.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return browser


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def test_stalled_browsers_cost_nothing(running: tuple[Viewer, Pipeline]) -> None:
    viewer, pipeline = running
    server = WebServer(viewer, port=0)
    stalled = [stalled_browser(server.port) for _ in range(20)]
    try:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            size = len(http.get("/snapshot.jpg").content)
            list(pictures(http, 3))
            # Once the network's buffers are full nobody waits for a picture, so none is drawn while the loop goes on.
            wait_for(
                lambda: not +server._encoder._waiting and server._encoder._pictures["all"][0] + 5 < viewer.version,
                "a stall",
                120,
            )
            before_mb, frames, drops = resident_mb(), pipeline.status().frames, pipeline.status().sink_drops["viewer"]
            assert sum(1 for _ in pictures(http, 40)) == 40, "a browser that reads gets its pictures"
            assert resident_mb() - before_mb < 20 * 40 * size / 1e6 / 2
            frames, drops = pipeline.status().frames - frames, pipeline.status().sink_drops["viewer"] - drops
            assert frames >= 35
            # A busy machine may let some results be replaced by newer ones; waiting for a browser would lose most.
            assert drops < frames / 2
    finally:
        server.close()
        wait_for(lambda: not server._thread.is_alive(), "the server ends beside browsers that never read")
        for browser in stalled:
            browser.close()


def test_nothing_is_drawn_when_nobody_watches(running: tuple[Viewer, Pipeline]) -> None:
    viewer = running[0]
    server = WebServer(viewer, port=0)
    try:
        wait_for(lambda: viewer.version > 30, "some frames")
        assert not server._encoder._pictures
        with httpx.Client(base_url=server.url, timeout=60) as http:
            list(pictures(http, 2, "depth"))
        assert set(server._encoder._pictures) == {"depth"}
        wait_for(lambda: not +server._encoder._waiting, "the watcher is forgotten")
        version, drawn = viewer.version, set()

        def more() -> bool:
            drawn.add(server._encoder._pictures["depth"][0])
            return viewer.version > version + 10

        wait_for(more, "more frames")
        assert len(drawn) <= 2, "the last that was wanted, and perhaps one that was being drawn"
    finally:
        server.close()


def test_after_the_end_the_page_stays_and_is_not_healthy(tmp_path: Path) -> None:
    with live_viewer(tmp_path) as (viewer, pipeline):
        server = WebServer(viewer, port=0)
        try:
            pipeline.stop()
            assert pipeline.wait(60)
            with httpx.Client(base_url=server.url, timeout=60) as http:
                assert (http.get("/healthz").status_code, http.get("/healthz").text) == (503, "ended")
                assert len(list(pictures(http, 1))) == 1, "who comes late still sees the last frame"
                low = http.post("/control", json={"min_confidence": 0}).json()["valid_share"]
                high = http.post("/control", json={"min_confidence": 1}).json()["valid_share"]
                assert high < low
        finally:
            server.close()


@pytest.mark.parametrize(("word", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_ends_the_page_and_finishes_the_recording(tmp_path: Path, word: signal.Signals, code: int) -> None:
    """Also while browsers watch, one of them stalled."""
    options = ["--backend", "sgbm", "--web", "auto", "--record", "run.mkv"]
    command = [sys.executable, "-m", "stereo_rt", "view", CAMERA, *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[3]
        with httpx.Client(base_url=url, timeout=60) as http:
            wait_for(lambda: alive(process) and http.get("/healthz").status_code == 200, "a healthy loop")
            browser = stalled_browser(int(url.rstrip("/").rpartition(":")[2]))
            assert len(list(pictures(http, 2))) == 2
            process.send_signal(word)
            out, err = process.communicate(timeout=60)
            browser.close()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, err
    assert "Traceback" not in err and (code or " frames, " in out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.mkv", "run.mkv.calib.yaml"]
