"""Prints the table of an experiment that another process runs: once, or again and again until it ends."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from rich.console import Console

from hpo import terminal
from hpo.errors import ExperimentError
from hpo.progress.painter import Painter
from hpo.progress.render import max_running, render
from hpo.progress.snapshot import Snapshot

Take = Callable[[int], tuple[Snapshot, bool]]
"""Takes a snapshot with so many running trials, and says whether the experiment is over."""

_WIDTH, _HEIGHT = 100, 40
# a database may be between two of its states
_MAX_FAILURES = 5


def table(snapshot: Snapshot) -> str:
    """The table as text, as wide as the terminal and with its colours where there is one."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((_WIDTH, _HEIGHT)).columns if is_terminal else _WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(render(snapshot, width=width, height=_HEIGHT))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def num_shown() -> int:
    """How many running trials `table` shows."""
    return max_running(_HEIGHT)


def follow(take: Take, period_s: float) -> None:
    """Show the table until the experiment is over, or Ctrl-C.

    Raises ExperimentError when its files cannot be read, several times in a row.
    """
    look = _Patient(take)
    with _ending_quietly():
        if terminal.is_live():
            _draw(look, period_s)
        else:
            _print(look, period_s)


def _draw(look: _Patient, period_s: float) -> None:
    painter = Painter(sys.stdout)
    try:
        try:
            while True:
                painter.paint(lambda width, height: render(look(max_running(height)), width=width, height=height))
                if look.is_over:
                    return
                time.sleep(period_s)
        finally:
            painter.close()
    except OSError:
        terminal.abandon()


def _print(look: _Patient, period_s: float) -> None:
    while True:
        told = table(look(num_shown()))
        try:
            print(told, end="\n\n", flush=True)
        except OSError:  # nobody reads any more
            terminal.abandon()
            return
        if look.is_over:
            return
        time.sleep(period_s)


class _Patient:
    """Takes snapshots; what was there before stands when one cannot be taken, for some time."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._newest: Snapshot | None = None
        self._num_failures = 0
        self.is_over = False

    def __call__(self, num_running: int) -> Snapshot:
        try:
            self._newest, self.is_over = self._take(num_running)
            self._num_failures = 0
        except ExperimentError:
            self._num_failures += 1
            if self._newest is None or self._num_failures > _MAX_FAILURES:
                raise
        return self._newest


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Ctrl-C ends the block, and SIGTERM the process, with the terminal as it was."""

    def terminate(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
