"""The way from a trial to its scheduler and back: events go up, the decision to stop comes down."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from hpo import interrupts
from hpo.records import Ended, Event, Stop


class Link(Protocol):
    """Neither method waits for the scheduler."""

    def send(self, event: Event) -> None:
        """Hand an event up. It is dropped when nobody listens any more; nothing is raised."""

    def stop_requested(self) -> Stop | None:
        """Why the scheduler has decided to end the trial, if it has; a microsecond."""


class NullLink:
    """Nobody listens: under a launcher that is not hpo's, everything is read from the directory afterwards."""

    def send(self, event: Event) -> None:
        pass

    def stop_requested(self) -> Stop | None:
        # Hydra's basic launcher runs trials in the scheduler's own process
        return Stop.LEAVE if interrupts.requested() else None


class DirectLink:
    """To a scheduler in the same process, which hears of each event while the trial runs.

    What its `hear` raises waits for the trial's end, in `error`, and asks for it: it is not the task's to catch.
    The trial's own end waits in `ended`.
    """

    def __init__(self, hear: Callable[[Event], None], stop: Stop | None = None) -> None:
        self.ended: Ended | None = None
        self.error: Exception | None = None
        self._stop = stop
        self._hear = hear

    def stop(self, why: Stop) -> None:
        """Ask the trial to end."""
        self._stop = why.after(self._stop)

    def send(self, event: Event) -> None:
        if isinstance(event, Ended):
            self.ended = event
        elif self.error is None:
            try:
                self._hear(event)
            except Exception as error:
                self.error = error
                self.stop(Stop.PAUSE)

    def stop_requested(self) -> Stop | None:
        # the scheduler cannot tell while this process is at work for the trial
        return Stop.LEAVE if interrupts.requested() else self._stop


current_link: ContextVar[Link] = ContextVar("hpo_link", default=NullLink())  # noqa: B039 - it has no state
"""Set by the launcher around the job that it runs."""
