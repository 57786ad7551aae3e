"""Server: Starlette and uvicorn on a thread with its own event loop, and what every page of ours serves alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, OutputError
from .guard import Guard
from .mjpeg import Encoder

PAGE = Path(__file__).with_name("page")
DEFAULT_PORT = 8000
MAX_BODY = 4096
BOUNDARY = "frame"


class Server:
    """Serves one application until close(). host, port: where to listen; port None takes 8000 or the next free one.

    make_app: the Starlette application, made once the packages are known to be there. encoder: of its pictures.
    token: asked of every request when given; Guard tells how. Raises MissingExtra without starlette and uvicorn,
    UsageError for an address other than loopback without a token, OutputError when the port is taken.
    """

    def __init__(
        self,
        make_app: Callable[[], Any],
        encoder: Encoder,
        host: str = "127.0.0.1",
        port: int | None = None,
        token: str | None = None,
    ) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
        except ImportError:
            raise MissingExtra("the web viewer", "web") from None
        guard = Guard(host, token)
        self._socket = _listen(host, port)
        self._encoder = encoder
        guard.app = make_app()
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


def page_routes(html: str, script: str) -> list[Any]:
    """The files of a page: itself at /, its script, and the keys and the style that all share."""
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    def file(name: str, media_type: str) -> Any:
        def endpoint(request: Request) -> Response:
            return FileResponse(PAGE / name, media_type=media_type, headers={"Cache-Control": "no-cache"})

        return endpoint

    return [
        Route("/", file(html, "text/html; charset=utf-8")),
        Route(f"/{script}", file(script, "text/javascript; charset=utf-8")),
        Route("/keys.js", file("keys.js", "text/javascript; charset=utf-8")),
        Route("/style.css", file("style.css", "text/css; charset=utf-8")),
    ]


def stream_reply(encoder: Encoder, pane: str) -> Any:
    """A pane's pictures, each as it is made, as browsers show them in an <img>."""
    from starlette.responses import StreamingResponse

    async def parts() -> AsyncIterator[bytes]:
        seen = -1
        yield f"--{BOUNDARY}\r\n".encode()
        while (newest := await encoder.next(pane, seen)) is not None:
            seen, jpeg = newest
            # The boundary follows at once: browsers show a picture only when the next part begins.
            yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
            yield jpeg + f"\r\n--{BOUNDARY}\r\n".encode()

    return StreamingResponse(parts(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")


async def small_object(request: Any) -> dict[str, Any]:
    """The JSON object that a request carries. Raises HTTPException with the sentence for whoever sent something else."""
    from starlette.exceptions import HTTPException

    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "a control message is a small JSON object")
    try:
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise HTTPException(400, 'send a JSON object, such as {"min_confidence": 0.6}') from None
    return value


def plain(value: Any) -> Any:
    """For JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
