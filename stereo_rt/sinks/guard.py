"""Guard: who may talk to the web viewer.

On loopback the Host header must name this machine, which stops a page elsewhere from reaching the viewer through a
name of its own that resolves to 127.0.0.1. Any other address needs a token, in the query, a cookie or a header.
Commands (POST) must come from the page itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import UsageError

TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")
COOKIE = "stereo_rt_token"
HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty when it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class Guard:
    """An ASGI application that admits or refuses, then hands over to `app`.

    Raises UsageError when the address is not loopback and there is no token.
    """

    app: Any

    def __init__(self, host: str, token: str | None) -> None:
        self._loopback = is_loopback(host)
        if not self._loopback and not token:
            raise UsageError(
                f"{host} can be reached from other machines, so the web viewer needs a token; "
                "pass --token SECRET, or set STEREO_RT_TOKEN"
            )
        if token and not TOKEN.fullmatch(token):
            raise UsageError("a token has at least 8 letters, digits, '-', '_', '.' or '~', so that it fits in an address")
        self._token = token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if refusal := self._refusal(scope["method"], headers, query):
            await _answer(send, *refusal)
            return
        extra = list(HEADERS)
        if self._token and self._matches(query):
            extra.append((b"set-cookie", f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/".encode()))

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: dict[bytes, str], query: str) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._loopback and not is_loopback(host_name(host)):
            return 421, f"this viewer answers on this machine only, and not to the name '{host[:60]}'"
        if self._token and not any(map(self._matches, (query, _bearer(headers), _cookie(headers)))):
            return 401, "this viewer asks for its token: open the address that was printed, with ?token=..."
        origin = headers.get(b"origin")
        if method == "POST" and origin is not None and origin.partition("://")[2] != host:
            return 403, "commands are taken from the viewer's own page only"
        return None

    def _matches(self, given: str) -> bool:
        return bool(self._token) and hmac.compare_digest(given.encode(), str(self._token).encode())


def _bearer(headers: dict[bytes, str]) -> str:
    scheme, _, value = headers.get(b"authorization", "").partition(" ")
    return value if scheme.lower() == "bearer" else ""


def _cookie(headers: dict[bytes, str]) -> str:
    pairs = (part.strip().partition("=") for part in headers.get(b"cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


async def _answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
