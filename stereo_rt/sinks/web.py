"""Web page: the viewer for machines without a display. Starlette and uvicorn on a thread with its own event loop.

/ page, /stream.mjpg, /snapshot.jpg, /readout, /status.json, /healthz, and POST /control.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import render
from ..errors import ConfigError, MissingExtra, OutputError
from ..hud import readout
from ..viewer import Viewer
from .guard import Guard
from .mjpeg import Encoder, encode

PAGE = Path(__file__).with_name("page")
DEFAULT_PORT = 8000
HEALTHY_S = 10.0
"""A loop that has been silent for longer is not healthy, whatever it says."""
MAX_BODY = 4096
BOUNDARY = "frame"


class WebServer:
    """Serves one viewer until close(). host, port: where to listen; port None takes 8000 or the next free one.

    token: asked of every request when given; Guard tells how. Raises MissingExtra without starlette and uvicorn,
    UsageError for an address other than loopback without a token, OutputError when the port is taken.
    """

    def __init__(self, viewer: Viewer, host: str = "127.0.0.1", port: int | None = None, token: str | None = None) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
        except ImportError:
            raise MissingExtra("the web viewer", "web") from None
        guard = Guard(host, token)
        self._socket = _listen(host, port)
        self._encoder = Encoder(viewer)
        guard.app = make_app(viewer, self._encoder)
        self.port: int = self._socket.getsockname()[1]
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/" + (f"?token={token}" if token else "")
        settings = uvicorn.Config(
            guard, log_config=None, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(settings)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stereo_rt web", daemon=True)
        self._thread.start()
        self._ready.wait(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._encoder.start(self._loop)
        self._ready.set()
        await self._server.serve(sockets=[self._socket])

    def wait(self) -> None:
        """Until the server ends, which only close() or a signal brings about."""
        while self._thread.is_alive():
            self._thread.join(0.2)  # in slices, so that Ctrl-C is heard at once

    def close(self) -> None:
        """End every stream and stop listening; takes a second at most, also with stalled browsers."""
        self._server.should_exit = True
        with contextlib.suppress(RuntimeError):  # it is over already
            self._loop.call_soon_threadsafe(self._encoder.close)
        self._thread.join(5)
        self._socket.close()


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + 20), 0]
    for candidate in wanted:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(64)
            return listener
        except (OSError, OverflowError) as e:
            listener.close()
            reason = getattr(e, "strerror", None) or str(e)
    raise OutputError(f"the web viewer cannot listen on {host}:{wanted[0]} ({reason}); choose another with: --web PORT")


def make_app(viewer: Viewer, encoder: Encoder) -> Any:
    """The Starlette application."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    def page(name: str, media_type: str) -> Any:
        def endpoint(request: Request) -> Response:
            return FileResponse(PAGE / name, media_type=media_type, headers={"Cache-Control": "no-cache"})

        return endpoint

    async def stream(request: Request) -> Response:
        pane = request.query_params.get("pane", "all")
        if pane not in ("all", *render.PANES):
            return PlainTextResponse(f"pane is one of all, {', '.join(render.PANES)}", 400)

        async def parts() -> AsyncIterator[bytes]:
            seen = -1
            yield f"--{BOUNDARY}\r\n".encode()
            while (newest := await encoder.next(pane, seen)) is not None:
                seen, jpeg = newest
                # The boundary follows at once: browsers show a picture only when the next part begins.
                yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                yield jpeg + f"\r\n--{BOUNDARY}\r\n".encode()

        return StreamingResponse(parts(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def snapshot(request: Request) -> Response:
        jpeg = await run_in_threadpool(encode, viewer, "all")
        return Response(jpeg, media_type="image/jpeg") if jpeg else PlainTextResponse("no frame yet", 503)

    def read(request: Request) -> Response:
        if (result := viewer.result) is None:
            return PlainTextResponse("no frame yet", 503)
        try:
            reading = readout(result, int(request.query_params["x"]), int(request.query_params["y"]))
        except (KeyError, ValueError):
            return PlainTextResponse("x and y are whole numbers: a pixel of the result's grid", 400)
        except IndexError as e:
            return PlainTextResponse(str(e), 400)
        return JSONResponse(plain(asdict(reading) | {"text": str(reading), "index": result.index}))

    def status(request: Request) -> Response:
        return JSONResponse(plain(describe(viewer)))

    def health(request: Request) -> Response:
        state = viewer.loop.status().state
        healthy = state == "paused" or (state == "ok" and viewer.silent_s < HEALTHY_S)
        return PlainTextResponse(state if healthy or state != "ok" else "silent", 200 if healthy else 503)

    async def control(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse("a control message is a small JSON object", 413)
        try:
            changes = json.loads(body)
            if not isinstance(changes, dict):
                raise ValueError
        except (ValueError, RecursionError):
            return PlainTextResponse('send a JSON object, such as {"min_confidence": 0.6}', 400)
        try:
            await run_in_threadpool(viewer.control, changes)
        except ConfigError as e:
            return PlainTextResponse(str(e), 400)
        return JSONResponse(plain(describe(viewer)))

    return Starlette(
        routes=[
            Route("/", page("index.html", "text/html; charset=utf-8")),
            Route("/page.js", page("page.js", "text/javascript; charset=utf-8")),
            Route("/style.css", page("style.css", "text/css; charset=utf-8")),
            Route("/stream.mjpg", stream),
            Route("/snapshot.jpg", snapshot),
            Route("/readout", read),
            Route("/status.json", status),
            Route("/healthz", health),
            Route("/control", control, methods=["POST"]),
        ]
    )


def describe(viewer: Viewer) -> dict[str, Any]:
    """Everything the page shows beside the pictures: the loop's Status, the controls, and where the panes lie."""
    result, post = viewer.result, viewer.loop.post_config
    about: dict[str, Any] = asdict(viewer.loop.status())
    about["controls"] = {
        "min_confidence": post.min_confidence,
        "range_m": viewer.view.range_m,
        "colormap": viewer.view.colormap,
        "paused": viewer.loop.paused,
        "recording": str(viewer.recorder.path or ""),
    }
    about["message"] = viewer.message
    if result is not None:
        about["valid_share"] = float(result.valid.mean())
        about["grid"] = result.rig.size
        about["views"] = {
            name: _places(render.layout(result.rig, render.PANES if name == "all" else (name,)))
            for name in ("all", *render.PANES)
        }
    return about


def _places(layout: render.Layout) -> dict[str, Any]:
    return {
        "size": layout.size,
        "picture": layout.picture,
        "origins": {pane: layout.origin(pane) for pane in layout.panes},
    }


def plain(value: Any) -> Any:
    """For JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
