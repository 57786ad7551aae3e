"""Web page: the viewer for machines without a display.

/ page, /stream.mjpg, /snapshot.jpg, /readout, /status.json, /healthz, and POST /control.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import cv2

from .. import render
from ..errors import ConfigError
from ..hud import readout
from ..viewer import Viewer
from .mjpeg import Encoder
from .server import Server, page_routes, plain, small_object, stream_reply

HEALTHY_S = 10.0
"""A loop that has been silent for longer is not healthy, whatever it says."""


class WebServer(Server):
    """Serves one viewer until close(); the arguments and errors are Server's."""

    def __init__(self, viewer: Viewer, host: str = "127.0.0.1", port: int | None = None, token: str | None = None) -> None:
        encoder = Encoder(viewer, lambda pane: encode(viewer, pane))
        super().__init__(lambda: make_app(viewer, encoder), encoder, host, port, token)


def encode(viewer: Viewer, pane: str) -> bytes | None:
    """The newest result as JPEG: one pane, or 'all'. None before the first result."""
    result = viewer.result
    if result is None:
        return None
    shown = render.PANES if pane == "all" else (pane,)
    image = render.panes(result, viewer.view, render.layout(result.rig, shown))
    done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, viewer.view.jpeg_quality))
    return data.tobytes() if done else None


def make_app(viewer: Viewer, encoder: Encoder) -> Any:
    """The Starlette application."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    async def stream(request: Request) -> Response:
        pane = request.query_params.get("pane", "all")
        if pane not in ("all", *render.PANES):
            return PlainTextResponse(f"pane is one of all, {', '.join(render.PANES)}", 400)
        return stream_reply(encoder, pane)

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
        changes = await small_object(request)
        try:
            await run_in_threadpool(viewer.control, changes)
        except ConfigError as e:
            return PlainTextResponse(str(e), 400)
        return JSONResponse(plain(describe(viewer)))

    return Starlette(
        routes=[
            *page_routes("index.html", "page.js"),
            Route("/stream.mjpg", stream),
            Route("/snapshot.jpg", snapshot),
            Route("/readout", read),
            Route("/status.json", status),
            Route("/healthz", health),
            Route("/control", control, methods=["POST"]),
        ]
    )


def describe(viewer: Viewer) -> dict[str, Any]:
    """Everything the page shows beside the pictures: the Status, the controls, the notes, and where the panes lie."""
    result, post = viewer.result, viewer.loop.post_config
    about: dict[str, Any] = asdict(viewer.status())
    about["controls"] = {
        "min_confidence": post.min_confidence,
        "range_m": post.range_m,
        "colormap": viewer.view.colormap,
        "paused": viewer.loop.paused,
        "recording": str(viewer.recorder.path or ""),
    }
    about["message"], about["notes"] = viewer.message, viewer.notes
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
