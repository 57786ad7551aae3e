"""Capture page: a calibration capture on the web. / page, /stream.mjpg, /snapshot.jpg, /status.json, and POST /control."""

from __future__ import annotations

from typing import Any

from ..calib.session import CaptureSession
from ..errors import StereoError
from .mjpeg import Encoder
from .server import Server, page_routes, plain, small_object, stream_reply


class CaptureServer(Server):
    """Serves one capture until close(); the arguments and errors are Server's."""

    def __init__(
        self, session: CaptureSession, host: str = "127.0.0.1", port: int | None = None, token: str | None = None
    ) -> None:
        encoder = Encoder(session, lambda pane: session.jpeg())
        super().__init__(lambda: make_app(session, encoder), encoder, host, port, token)


def make_app(session: CaptureSession, encoder: Encoder) -> Any:
    """The Starlette application."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    async def stream(request: Request) -> Response:
        return stream_reply(encoder, "all")

    async def snapshot(request: Request) -> Response:
        jpeg = await run_in_threadpool(session.jpeg)
        return Response(jpeg, media_type="image/jpeg") if jpeg else PlainTextResponse("no frame yet", 503)

    def status(request: Request) -> Response:
        return JSONResponse(plain(session.describe()))

    async def control(request: Request) -> Response:
        changes = await small_object(request)
        try:
            await run_in_threadpool(session.control, changes)
        except StereoError as e:
            return PlainTextResponse(str(e), 400)
        return JSONResponse(plain(session.describe()))

    return Starlette(
        routes=[
            *page_routes("capture.html", "capture.js"),
            Route("/stream.mjpg", stream),
            Route("/snapshot.jpg", snapshot),
            Route("/status.json", status),
            Route("/control", control, methods=["POST"]),
        ]
    )
