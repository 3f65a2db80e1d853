"""Slots end with their scheduler, also where nobody of Ray is left to end them: its head may be gone as well.

Each slot has a connection to the scheduler into which nothing is ever written. When that process is gone, however
it went, the kernel of its machine closes the connection; a machine that is gone stops answering to the probes.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from contextlib import suppress
from typing import Any

_CONNECT_S = 5.0
_BACKLOG = 1024
# a connection at rest is probed after so many seconds, so often until there is an answer, and is given up after 3
_PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


class Lifeline:
    """The scheduler's end, which slots reach at `address`."""

    def __init__(self, host: str) -> None:
        """`host` is the address of this machine that the cluster's nodes know."""
        self._server = _server(host)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self.address: tuple[str, int] = (host, self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="lifeline", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all slots."""
        # which wakes the thread
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                for key, _ in self._selector.select():
                    self._hear(key.fileobj)
        for key in list(self._selector.get_map().values()):
            self._drop(key.fileobj)

    def _hear(self, ready: Any) -> None:
        """A slot comes, or goes: none of them ever says anything. Raises OSError when there is nobody to come."""
        if ready is self._server:
            self._selector.register(self._server.accept()[0], selectors.EVENT_READ)
        else:
            self._drop(ready)

    def _drop(self, connection: Any) -> None:
        self._selector.unregister(connection)
        connection.close()


def _server(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family, backlog=_BACKLOG)
    except OSError:
        # an address that is translated on its way is none of this machine
        return socket.create_server(("", 0), family=family, backlog=_BACKLOG)


def end_with(address: tuple[str, int]) -> str | None:
    """Have this process end when the scheduler at `address` has; why that cannot be, if so."""
    try:
        connection = socket.create_connection(address, timeout=_CONNECT_S)
    except OSError as error:
        return f"the scheduler cannot be reached at {address[0]}:{address[1]}: {error.strerror or error}"
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    threading.Thread(target=_wait_for_the_end, args=(connection,), name="lifeline", daemon=True).start()
    return None


def _wait_for_the_end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(1)
    # its trials die with it
    os._exit(1)
