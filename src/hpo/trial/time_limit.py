"""The time that one trial may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpo.errors import TrialError


def reason_of_timeout(limit_s: float) -> str:
    return f"trial_timeout_s={limit_s:g} is over"


@contextmanager
def time_limit(limit_s: float | None) -> Iterator[None]:
    """Raise TrialError in the block when it takes longer than that.

    An alarm interrupts Python code alone, in the main thread of a process that has SIGALRM; whatever it does not
    reach, the scheduler ends by force where it can.
    """
    if limit_s is None or not _has_alarm():
        yield
        return

    def ring(*_: Any) -> None:
        raise TrialError(reason_of_timeout(limit_s))

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _has_alarm() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
