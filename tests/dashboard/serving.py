"""Dashboards that listen, and requests as they are on the wire: clients would put them in order."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpo.dashboard.asgi import App
from hpo.dashboard.server import server_of
from tests.conftest import REPOSITORY


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    all_headers: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


def ask(
    port: int,
    target: str = "/",
    *,
    method: str = "GET",
    host: str | None = "127.0.0.1",
    headers: tuple[str, ...] = (),
    body: bytes = b"",
    timeout: float = 20.0,
) -> Answer:
    """Send a request line and headers exactly as given, on a connection of their own."""
    lines = [f"{method} {target} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    raw = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(raw)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return _parsed(received)


def _parsed(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    headers = dict(pairs)
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(body))
    return Answer(int(first.split()[1]), headers, body, pairs)


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :]


@contextmanager
def served(app: App) -> Iterator[int]:
    """The port at which `app` is served by this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    port: int
    greeting: str
    errors: Path

    @property
    def said(self) -> str:
        """What it has written to the error stream."""
        return self.errors.read_text(encoding="utf-8")


@contextmanager
def running(directory: Path, *options: str) -> Iterator[Running]:
    """The command, as a process of its own, from the moment that it has said its address."""
    command = [sys.executable, "-m", "hpo.dashboard", str(directory), "--port", "0", *options]
    with (
        tempfile.NamedTemporaryFile("w+", suffix=".err") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY) as process,
    ):
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            found = re.search(r"http://[^ ]+?:(\d+)/", greeting)
            assert found is not None, greeting + Path(errors.name).read_text(encoding="utf-8")
            yield Running(process, int(found[1]), greeting, Path(errors.name))
        finally:
            process.kill()
