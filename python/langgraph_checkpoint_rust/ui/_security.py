"""Who gets an answer: requests of this machine that know the token, and read."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")
# A page elsewhere can point a name of its own at 127.0.0.1, but not these (DNS rebinding).
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::\d+)?", re.IGNORECASE)
_HEADERS = {
    # No scripts, styles or pictures but ours, none of them inline; nothing may frame the page.
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # The URL holds the token.
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests without the token, of another host name, or that would change something.

    The token is in the path and not in a cookie: cookies of 127.0.0.1 go to the servers at all its ports.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise ValueError("token must be 16 or more letters, digits, `-` and `_`")
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["type"] != "http":
            return PlainTextResponse("This page speaks HTTP only.", 403)
        if not _HOST.fullmatch(Headers(scope=scope).get("host", "")):
            return PlainTextResponse("Open this page at 127.0.0.1 or localhost.", 403)
        given = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not secrets.compare_digest(given.encode(), self._token):
            return PlainTextResponse("Open this page at the address that the terminal shows.", 403)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("This page only reads.", 405, {"allow": "GET, HEAD"})
        return None
