"""The terminal, which may go away (`| head`, a closed window): what runs goes on without it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

_STDOUT, _STDERR = 1, 2
# terminals without a cursor that can be moved, and those of which nothing is known
_CANNOT_MOVE = ("", "dumb", "unknown")


def open_what_is_closed() -> None:
    """Let standard descriptors that are closed lead nowhere, before a file or a socket gets their number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_STDOUT, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", closefd=False)


def is_live() -> bool:
    """Whether standard output is a terminal on which lines can be drawn again."""
    try:
        is_terminal = sys.stdout.isatty() and os.isatty(sys.stdout.fileno())
    except (OSError, ValueError):  # a stream without a descriptor, or closed
        return False
    return is_terminal and os.environ.get("TERM", "") not in _CANNOT_MOVE


def show(text: str) -> None:
    """Print `text` where somebody still reads."""
    try:
        print(text, flush=True)
    except OSError:
        abandon()


def flush() -> None:
    """Write out what is buffered, as the interpreter's exit would, and with no error."""
    try:
        sys.stdout.flush()
    except OSError:
        abandon()


def abandon() -> None:
    """Let whatever is still printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Shows log records on standard output, bare, for as long as somebody reads it."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(logging.Formatter("%(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exception(), OSError):
            abandon()
        else:
            super().handleError(record)
