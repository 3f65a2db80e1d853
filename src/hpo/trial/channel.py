"""The socket between a trial's process and who started it: frames of pickles go up, reasons to stop come down."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

from hpo.records import Ended, Event, Stop

_HEADER = struct.Struct("!I")
_STOP = {Stop.PRUNE: b"l", Stop.PAUSE: b"p", Stop.LEAVE: b"v"}
_WHY = {byte: why for why, byte in _STOP.items()} | {b"": Stop.PAUSE}
_CHUNK_BYTES = 1 << 18


class ChannelLink:
    """The trial's end, a Link: nothing here waits, but for `flush` with its limit."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._pid = os.getpid()
        self._buffer = bytearray()
        self._stop: Stop | None = None
        self._is_at_end = False
        self._is_closed = False
        self.has_ended = False

    def close(self) -> None:
        """Send nothing any more: what a trial left running would speak into the next one's frames."""
        self._is_closed = True

    def send(self, event: Event) -> None:
        # nor must a process that the trial forked write into its frames
        if self._is_closed or os.getpid() != self._pid:
            return
        self.has_ended = self.has_ended or isinstance(event, Ended)
        self.send_frame(event)

    def send_frame(self, frame: Any) -> None:
        data = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
        self._buffer += _HEADER.pack(len(data))
        self._buffer += data
        self._send_buffered()

    def stop_requested(self) -> Stop | None:
        while not (self._stop is Stop.LEAVE or self._is_at_end or self._is_closed) and os.getpid() == self._pid:
            why = self._next_reason()
            if why is None:
                break
            self._stop = why.after(self._stop)
        return self._stop

    def _next_reason(self) -> Stop | None:
        """What the scheduler has said since; its end is a reason as well, and the last one."""
        try:
            said = self._connection.recv(1)
        except BlockingIOError:
            return None
        except OSError:
            said = b""
        self._is_at_end = not said
        return _WHY[said]

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is with the scheduler, or it is gone, or has taken nothing for `timeout_s`."""
        while self._buffer:
            if not select.select([], [self._connection], [], timeout_s)[1]:
                return
            self._send_buffered()

    def _send_buffered(self) -> None:
        try:
            while self._buffer:
                num_sent = self._connection.send(self._buffer[:_CHUNK_BYTES])
                del self._buffer[:num_sent]
        except BlockingIOError:
            pass
        except OSError:
            self._buffer.clear()


class FrameReader:
    """The end of who started it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self.connection.fileno()

    def read(self) -> tuple[list[Any], bool]:
        """The frames that have arrived in full, and whether more can come."""
        is_open = True
        try:
            while chunk := self.connection.recv(_CHUNK_BYTES):
                self._buffer += chunk
            is_open = False
        except BlockingIOError:
            pass
        except OSError:
            is_open = False
        return list(self._frames()), is_open

    def stop(self, why: Stop) -> None:
        with contextlib.suppress(OSError):  # it may have ended already
            self.connection.send(_STOP[why])

    def close(self) -> None:
        self.connection.close()

    def _frames(self) -> Iterator[Any]:
        start = 0
        while len(self._buffer) >= start + _HEADER.size:
            (size,) = _HEADER.unpack_from(self._buffer, start)
            body = start + _HEADER.size
            if len(self._buffer) < body + size:
                break
            # a view, so that thousands of reports are not copied thousands of times
            with memoryview(self._buffer)[body : body + size] as view:
                yield pickle.loads(view)
            start = body + size
        del self._buffer[:start]
