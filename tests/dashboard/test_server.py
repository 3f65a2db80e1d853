"""The server: it ends while somebody still listens, and says nothing of it."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from hpo.dashboard.asgi import Receive, Scope, Send
from tests.dashboard.serving import ask, served


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """An event stream that takes no notice of who has gone, and a page that takes its time."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(60)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    while True:
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await asyncio.sleep(0.01)


def test_it_ends_at_once_while_streams_are_open(capfd: pytest.CaptureFixture[str]) -> None:
    with served(endless) as port:
        streams = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for stream in streams:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.recv(10)
        slow = socket.create_connection(("127.0.0.1", port))
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
    took = time.monotonic() - began
    for stream in [*streams, slow]:
        stream.close()

    assert took < 2
    assert capfd.readouterr() == ("", "")


def test_it_does_not_say_what_it_is() -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with served(nothing) as port:
        assert "server" not in ask(port).headers
