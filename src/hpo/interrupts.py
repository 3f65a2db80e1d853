"""Signals to end, heeded twice: the first asks the search to stop in order, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The search has stopped in order, because of a signal; its experiment can be continued."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


PATIENCE_S = 9.0
"""How long after the first signal the second one comes by itself."""

_requested: list[int] = []


def requested() -> int | None:
    """The signal that asks to stop, if one does; a trial in this process looks here too."""
    return _requested[0] if _requested else None


@contextmanager
def heeding_signals() -> Iterator[None]:
    """In the block the first signal shows in `requested`, and a second one does what it did before.

    Only the main thread can hear them; one that is ignored (nohup) stays so.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: handler for number, handler in found.items() if callable(handler)}

    impatient: list[threading.Timer] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if _requested:
            before[number](number, frame)
        _requested.append(number)
        # a trial in this process may not listen
        impatient.append(threading.Timer(PATIENCE_S, os.kill, (os.getpid(), number)))
        impatient[-1].daemon = True
        impatient[-1].start()

    try:
        for number in before:
            signal.signal(number, hear)
        yield
    finally:
        for timer in impatient:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested.clear()
