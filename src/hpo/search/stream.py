"""What the search knows of a launcher: trials go in, events come out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Set
from pathlib import Path
from typing import Protocol, runtime_checkable

from hpo.records import Ended, Event, State, Stop, TrialSpec

Hear = Callable[[Event], None]
"""Hears of an event; it may call `stop` of the stream that it heard it from."""


@runtime_checkable
class Stream(Protocol):
    """Runs up to `capacity` trials at the same time.

    Each submitted trial yields at most one Started, any number of Reports, and exactly one Ended, also when
    its process dies. After a Requeued another Started may come.
    """

    @property
    def capacity(self) -> int:
        """How many trials run at the same time."""

    def submit(self, spec: TrialSpec) -> None:
        """Start a trial as soon as a slot is free; does not wait for it."""

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        """Hand `hear` the events since the last call, in order; none only when `timeout_s` has passed without one.

        Where trials run in this process it hears of each event as it comes, while its trial goes on.
        """

    def stop(self, number: int, why: Stop) -> None:
        """Tell a trial to end: at once, or at its next evaluation."""

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """End a trial by force where that can be done; it then ends in this state with this reason."""

    def close(self) -> None:
        """End what still runs, and wait until it has."""


@runtime_checkable
class Placing(Protocol):
    """A stream that gives trials what they need of a machine, and knows what there is."""

    def problem(self, spec: TrialSpec) -> str | None:
        """Why a trial could never run, whatever ends; None when it could."""


@runtime_checkable
class Distant(Protocol):
    """A stream whose trials run on other machines, which see the experiment's directory."""

    def nearby(self) -> Stream:
        """A stream of this machine, for what is tried before the experiment has a directory."""


@runtime_checkable
class Storing(Protocol):
    """A stream whose trials may keep their files elsewhere."""

    def fetch(self, directory: Path) -> None:
        """Make a trial's directory what its last attempt has left of it, wherever that ran."""


@runtime_checkable
class Lasting(Protocol):
    """A stream whose trials outlive it."""

    def adopt(self, directory: Path, numbers: Collection[int]) -> Set[int]:
        """Take up those of the trials that an earlier scheduler of the experiment has left running.

        All that they have done comes as the events of `wait`, from their start, as if they had been submitted.
        """


@runtime_checkable
class Following(Protocol):
    """A stream that may follow another one, of whose trials it knows nothing."""

    def check_left(self, directory: Path) -> None:
        """Raises ConfigError where trials of the experiment still run that an earlier scheduler has started."""


def the_end(stream: Stream) -> Ended:
    """Wait until the only trial that runs has ended."""
    ends: list[Ended] = []

    def hear(event: Event) -> None:
        if isinstance(event, Ended):
            ends.append(event)

    while not ends:
        stream.wait(hear)
    return ends[0]
