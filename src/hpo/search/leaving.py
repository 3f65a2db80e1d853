"""How a search ends before its time, after a signal or when a disk takes no more: what runs keeps a checkpoint."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Set

from hpo import interrupts
from hpo.counted import counted
from hpo.errors import ClusterError, DeviceError, DiskError, HpoError, MisfitError
from hpo.interrupts import Stopped
from hpo.records import Ended, Event, Obstacle, Stop
from hpo.search.stream import Stream

# what runs has this long to keep a checkpoint
_LEAVE_S = 6.0
_WAIT_S = 0.25
_MISFIT = (
    "What waiting trials train may not change: put the code, the data or the options back and go on, "
    "or start a new experiment"
)


class Leaving:
    """`running` are the trials that run now; `say` is for a line on the terminal."""

    def __init__(self, stream: Stream, running: Set[int], say: Callable[[str], None]) -> None:
        self._stream = stream
        self._running = running
        self._say = say
        self._leave_by: float | None = None
        self._error: HpoError | None = None

    @property
    def is_near(self) -> bool:
        """Whether nothing is to start any more."""
        return self._leave_by is not None or self._error is not None

    def found(self, obstacle: Obstacle, reason: str) -> None:
        """A trial has met an obstacle; the first one is the one that is told."""
        self._error = self._error or _error_of(obstacle, reason)

    def heed(self) -> None:
        """Ask what runs to leave, when there is reason to; once it has, or takes too long, raise that reason.

        Raises Stopped after a signal; what an obstacle is told as, when a trial has met one.
        """
        number = interrupts.requested()
        if number is not None and self._have_left(
            f"{signal.Signals(number).name}: the search stops; {self._spelled_running()}"
        ):
            raise Stopped(number)
        if self._error is not None and self._have_left("no other trial starts, and those that run are to leave"):
            raise self._error

    def let_go(self) -> None:
        """Have what runs leave, when its end cannot be written down any more: its directory tells it later."""
        still = set(self._running)
        for trial in still:
            self._stream.stop(trial, Stop.LEAVE)

        def note(event: Event) -> None:
            if isinstance(event, Ended):
                still.discard(event.number)

        leave_by = time.monotonic() + _LEAVE_S
        while still and time.monotonic() < leave_by and interrupts.requested() is None:
            self._stream.wait(note, _WAIT_S)

    def _have_left(self, why: str) -> bool:
        """What runs is asked to leave: whether it has, or takes too long."""
        if self._leave_by is None:
            self._leave_by = time.monotonic() + _LEAVE_S
            self._say(why)
            for trial in self._running:
                self._stream.stop(trial, Stop.LEAVE)
        is_late = bool(self._running) and time.monotonic() >= self._leave_by
        if is_late:
            self._say(
                f"not left after {_LEAVE_S:g} s, and ended: {counted(len(self._running), 'trial')}; what has a "
                "checkpoint goes on from there"
            )
        return is_late or not self._running

    def _spelled_running(self) -> str:
        num = len(self._running)
        if num == 0:
            return "no trial runs"
        keep = "keeps a checkpoint and waits" if num == 1 else "keep a checkpoint and wait"
        return f"{counted(num, 'running trial')} {keep} to be continued (a second signal ends the search at once)"


def _error_of(obstacle: Obstacle, reason: str) -> HpoError:
    if obstacle is Obstacle.MISFIT:
        return MisfitError(f"{reason.rstrip('.')}.\n{_MISFIT}")
    if obstacle is Obstacle.CLUSTER:
        return ClusterError(reason)
    return DiskError(reason) if obstacle is Obstacle.DISK else DeviceError(reason)
