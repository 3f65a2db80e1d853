"""The scheduler's side of the server: asks it for processes and hears of their ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo_launchers.local._server import MESSAGE, REQUEST

_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from hpo_launchers.local._server import main; main({control}, {lifeline}, {modules!r}, {is_forking})"
)


@dataclass(frozen=True)
class Forked:
    """A process exists."""

    key: int
    pid: int


@dataclass(frozen=True)
class Exited:
    """A process and all that it left behind are gone; `code` as subprocess has it."""

    key: int
    code: int


class ServerDied(Exception):
    """The server is gone, and with it the news of the trials that it started."""


class Processes:
    """Starts the server at once and does not wait for its imports; it has no variable of `secrets`."""

    def __init__(self, modules: Sequence[str], *, is_forking: bool, secrets: Collection[str] = ()) -> None:
        self._control, control = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        command = _START.format(
            path=_absolute(sys.path),
            control=control.fileno(),
            lifeline=lifeline,
            modules=list(modules),
            is_forking=is_forking,
        )
        try:
            self._server = subprocess.Popen(
                [sys.executable, "-c", command],
                stdin=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name not in secrets},
                pass_fds=[control.fileno(), lifeline],
                start_new_session=True,
            )
        finally:
            control.close()
            os.close(lifeline)
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._server.pid

    def fileno(self) -> int:
        return self._control.fileno()

    def start(self, key: int, fds: Sequence[int]) -> None:
        """Ask for a process that owns copies of `fds`; its news carry `key`. Raises ServerDied."""
        try:
            socket.send_fds(self._control, [REQUEST.pack(key)], fds)
        except OSError as error:
            raise ServerDied from error

    def read(self) -> list[Forked | Exited]:
        """The news since the last call. Raises ServerDied when none can come any more."""
        try:
            while chunk := self._control.recv(65536, socket.MSG_DONTWAIT):
                self._buffer += chunk
            is_alive = False
        except BlockingIOError:
            is_alive = True
        except OSError:
            is_alive = False
        size = len(self._buffer) - len(self._buffer) % MESSAGE.size
        messages = [MESSAGE.unpack_from(self._buffer, start) for start in range(0, size, MESSAGE.size)]
        self._buffer = self._buffer[size:]
        if not messages and not is_alive:
            raise ServerDied
        return [Exited(key, value) if has_ended else Forked(key, value) for has_ended, key, value in messages]

    def close(self) -> None:
        self._server.kill()
        self._server.wait()
        self._control.close()
        os.close(self._lifeline)


def _absolute(path: list[str]) -> list[str]:
    """sys.path as it reads in a process that may be elsewhere."""
    return [entry or str(Path.cwd()) for entry in path]


def spelled_exit(code: int) -> str:
    """How a process ended, by its exit code as subprocess has it."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"
