"""A server of files on this machine that misbehaves as its paths say."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """Serves `files` below /good; /cut, /wrong, /silent, /stalled and /missing serve none of them as they are.

    /silent never answers and /stalled stops in the middle, both until `goes_on` is set.
    """

    def __init__(self, files: Mapping[str, bytes], port: int) -> None:
        self.files = files
        self.port = port
        self.requests: list[str] = []
        self.goes_on = threading.Event()
        self.is_stalled = threading.Event()

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.port}/{kind}"


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.requests.append(self.path)
            _, kind, name = self.path.split("/")
            if kind == "silent":
                mirror.goes_on.wait()
            if kind == "missing":
                self.send_error(404)
                return
            self._send(kind, mirror.files[name])

        def _send(self, kind: str, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if kind == "wrong":
                data = bytes(len(data))
            half = len(data) // 2
            self.wfile.write(data[:half])
            if kind == "stalled":
                self.wfile.flush()
                mirror.is_stalled.set()
                mirror.goes_on.wait()
            if kind != "cut":
                self.wfile.write(data[half:])

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away

    with Server(("127.0.0.1", 0), Handler) as server:
        mirror = Mirror(files, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield mirror
        finally:
            mirror.goes_on.set()
            server.shutdown()
            thread.join()
