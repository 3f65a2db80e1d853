"""What the scheduler and a slot say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpo.records import Event, State, Stop
from hpo_launchers.jobs import Job


@dataclass(frozen=True)
class Start:
    """A trial to be run, told before its start that it has to end, or not.

    `data` is its template, and `template` the name of that: it comes with the first trial of a slot that has it.
    """

    job: Job
    template: int
    data: bytes | None
    told: Stop | None = None


@dataclass(frozen=True)
class Tell:
    """Why the trial is to end."""

    why: Stop


@dataclass(frozen=True)
class Kill:
    """End the trial by force."""

    reason: str
    state: State


@dataclass(frozen=True)
class Said:
    """What the trial has told; with its end Hydra's JobReturn, pickled, where somebody wants that."""

    event: Event
    result: bytes | None = None


@dataclass(frozen=True)
class Refused:
    """The trial cannot run on this node, as others could not."""

    reason: str


Order = Start | Tell | Kill
Answer = Said | Refused

# what a slot is told first, and what it answers, in Python's own types: another hpo can read them too
Setup = Mapping[str, Any]
Greeting = Mapping[str, Any]
