"""The shapes of ASGI, and answers that need no page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


async def answer(
    scope: Scope, send: Send, status: int, body: str, content_type: str = TEXT, headers: Headers = ()
) -> None:
    """Send a whole response; to a HEAD its headers alone."""
    content = body.encode()
    own = [(b"content-type", content_type.encode()), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def header(scope: Scope, name: bytes) -> list[str]:
    """The values of a request's header, one for each time that it was sent."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
