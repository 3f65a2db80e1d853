"""The way from a trial to its scheduler and back: events go up, the decision to stop comes down."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from hpo.records import Event


class Link(Protocol):
    """Neither method waits for the scheduler."""

    def send(self, event: Event) -> None:
        """Hand an event up. Reports may be dropped when nobody listens any more; nothing is raised."""

    def stop_requested(self) -> bool:
        """Whether the scheduler has decided to end the trial."""


class NullLink:
    """Nobody listens: under a launcher that is not hpo's, everything is read from the directory afterwards."""

    def send(self, event: Event) -> None:
        pass

    def stop_requested(self) -> bool:
        return False


current_link: ContextVar[Link] = ContextVar("hpo_link", default=NullLink())  # noqa: B039 - it has no state
"""Set by the launcher around the job that it runs."""
