"""uvicorn, which ends at once when it is told to."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

import uvicorn

from hpo.dashboard.asgi import App

_SHUTDOWN_S = 1.0


def server_of(app: App) -> uvicorn.Server:
    """A server that tells of failures alone."""
    return _Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none"))


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave connections as they are: event streams have no end, and nothing that only reads is lost."""
        # what is cut off would be told as a failure
        logging.getLogger("uvicorn.error").disabled = True
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.lifespan.shutdown(), _SHUTDOWN_S)
