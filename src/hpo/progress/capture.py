"""Takes what a process prints on the terminal, so that it can be shown above the table and not across it."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from contextlib import suppress

_MAX_READ = 1 << 18
_PAGE = 4096
# fallocate(2): keep the size, give the pages back
_PUNCH_HOLE = 0x03
_STDERR = 2


class Capture:
    """Standard output, and standard error where it is a terminal too, go to a file in memory until `close`.

    What libraries in C and child processes print is taken as well. A file and no pipe: who prints never waits for
    whoever shows it, and needs nobody at the other end.
    """

    def __init__(self) -> None:
        self._stdout = sys.stdout.fileno()
        self._fds = [self._stdout]
        if self._stdout != _STDERR and os.isatty(_STDERR):
            self._fds.append(_STDERR)
        _flush()
        self._file = _memory_file()
        self._terminals = {fd: os.dup(fd) for fd in self._fds}
        self._offset = 0
        self._given_back = 0
        for fd in self._fds:
            os.dup2(self._file, fd)

    @property
    def terminal(self) -> int:
        """The descriptor of the terminal itself."""
        return self._terminals[self._stdout]

    def read(self) -> bytes:
        """What has been printed since the last time, or the beginning of much."""
        found = os.pread(self._file, _MAX_READ, self._offset)
        self._offset += len(found)
        self._give_back()
        return found

    def abandon(self) -> None:
        """The terminal has gone: `close` lets what is printed then go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for terminal in self._terminals.values():
            os.dup2(nowhere, terminal, inheritable=False)
        os.close(nowhere)

    def restore(self) -> None:
        """What is printed from now on goes to the terminal; `read` gives what was printed before."""
        _flush()
        for fd, terminal in self._terminals.items():
            os.dup2(terminal, fd)

    def close(self) -> None:
        for fd in (self._file, *self._terminals.values()):
            os.close(fd)

    def _give_back(self) -> None:
        """Free the memory of what was read: a run may print for days."""
        whole = self._offset // _PAGE * _PAGE
        if sys.platform == "linux" and whole - self._given_back >= _MAX_READ:
            offset, length = ctypes.c_long(self._given_back), ctypes.c_long(whole - self._given_back)
            ctypes.CDLL(None).fallocate(self._file, _PUNCH_HOLE, offset, length)
            self._given_back = whole


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpo-terminal")
    fd, path = tempfile.mkstemp(prefix="hpo-terminal-")
    os.unlink(path)  # noqa: PTH108 - it is gone when nobody has it open
    return fd


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
