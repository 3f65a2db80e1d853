"""What the search knows of a launcher: trials go in, events come out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hpo.records import Event, TrialSpec


@runtime_checkable
class Stream(Protocol):
    """Runs up to `capacity` trials at the same time.

    Each submitted trial yields at most one Started, any number of Reports, and exactly one Ended, also when
    its process dies.
    """

    @property
    def capacity(self) -> int:
        """How many trials run at the same time."""

    def submit(self, spec: TrialSpec) -> None:
        """Start a trial as soon as a slot is free; does not wait for it."""

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """The events since the last call, in order; empty only when `timeout_s` has passed without one."""

    def stop(self, number: int) -> None:
        """Tell a trial to end at its next report."""

    def close(self) -> None:
        """End what still runs, and wait until it has."""
