"""A terminal for tests: a real pseudo-terminal that a process writes to, and a model of what is on its screen."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_LIMIT_S = 30.0
_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """Lines as a terminal has them that wraps what is too long, scrolls, and wraps anew when it gets narrower."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.is_cursor_shown = True
        self.codes: set[str] = set()
        self._rest = ""

    @property
    def text(self) -> str:
        """All that is there, what has scrolled away included."""
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def visible(self) -> str:
        """What has not scrolled away."""
        return "\n".join(line.rstrip() for line in self.lines[-self.rows :])

    def feed(self, text: str) -> None:
        text = self._rest + text
        position = 0
        while position < len(text):
            character = text[position]
            if character == "\x1b":
                found = _SEQUENCE.match(text, position)
                if found is None:
                    break
                self._obey(found[1], found[2])
                position = found.end()
                continue
            if character == "\n":
                self._down()
            elif character == "\r":
                self.column = 0
            elif character >= " ":
                self._put(character)
            position += 1
        self._rest = text[position:]

    def resize(self, rows: int, columns: int) -> None:
        if columns < self.columns:
            wrapped: list[str] = []
            for index, line in enumerate(self.lines):
                line = line.rstrip()
                if index == self.row:
                    cursor = len(wrapped) + max(len(line) - 1, 0) // columns
                wrapped += [line[at : at + columns] for at in range(0, max(len(line), 1), columns)]
            self.row = cursor
            self.column = min(self.column, columns)
            self.lines = wrapped
        self.rows, self.columns = rows, columns

    def _obey(self, arguments: str, command: str) -> None:
        if command == "A":
            self.row = max(self.row - int(arguments or 1), len(self.lines) - self.rows, 0)
        elif command == "K":
            self.lines[self.row] = "" if arguments == "2" else self.lines[self.row][: self.column]
        elif command == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            # what is below is blank, and still there
            self.lines[self.row + 1 :] = [""] * (len(self.lines) - self.row - 1)
        elif arguments == "?25":
            self.is_cursor_shown = command == "h"
        elif command == "m":
            self.codes.add(arguments)
        else:
            raise AssertionError(f"the screen does not know the sequence {arguments}{command}")

    def _put(self, character: str) -> None:
        if self.column >= self.columns:
            self._down()
            self.column = 0
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


class Terminal:
    """A process at the other end of a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, rows: int, columns: int) -> None:
        self.process = process
        self.screen = Screen(rows, columns)
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def until(self, condition: Callable[[Screen], bool]) -> None:
        """Read until the screen shows what is waited for."""
        deadline = time.monotonic() + _LIMIT_S
        while not condition(self.screen):
            assert time.monotonic() < deadline, f"this was never shown, but\n{self.screen.text}"
            assert self._read(), f"the process ended before that was shown, with\n{self.screen.text}"

    def until_shown(self, text: str) -> None:
        self.until(lambda screen: text in screen.text)

    def end(self) -> int:
        """Read until the process has ended; its exit status."""
        while self._read():
            pass
        return self.process.wait(_LIMIT_S)

    def resize(self, rows: int, columns: int) -> None:
        """As a window does: what is on the screen is wrapped anew before the process knows."""
        self.screen.resize(rows, columns)
        _set_size(self._fd, rows, columns)

    def press(self, key: str) -> None:
        os.write(self._fd, key.encode())

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._fd >= 0:
            os.close(self._fd)

    def _read(self) -> bool:
        """Some more of it; False when there is no more."""
        ready, _, _ = select.select([self._fd], [], [], _LIMIT_S)
        assert ready, f"nothing more was shown after\n{self.screen.text}"
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # nobody has the other end open
            return False
        self.screen.feed(self._decoder.decode(data))
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    rows: int = 24,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """A process that has a terminal of its own, which Ctrl-C reaches; it is killed with the block."""
    ours, theirs = pty.openpty()
    _set_size(ours, rows, columns)
    attributes = termios.tcgetattr(theirs)
    attributes[3] &= ~termios.ECHO  # what a test types is not on the screen
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA_", "PYTEST_"))}
    for name in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "COLORTERM"):
        inherited.pop(name, None)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(theirs)
    opened = Terminal(process, ours, rows, columns)
    try:
        yield opened
    finally:
        opened.close()


def python(code: str) -> list[str]:
    """The command that runs some code."""
    return [sys.executable, "-c", code]


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # what runs in the background of a shell, as this test may, has Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
