"""What the scheduler and a job write into the files between them."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.records import Event, State, Stop
from hpo_launchers.jobs import Job


@dataclass(frozen=True)
class Order:
    """A trial to be run. `key` is its own also where a trial is run again; the template is in a shared file."""

    key: str
    job: Job
    template: str


@dataclass(frozen=True)
class Tell:
    """Why the trial of an order is to end."""

    key: str
    why: Stop


@dataclass(frozen=True)
class Kill:
    """End the trial of an order by force."""

    key: str
    reason: str
    state: State


@dataclass(frozen=True)
class Finish:
    """No order comes any more; end what runs."""


@dataclass(frozen=True)
class Ready:
    """The job runs; how often Slurm has started it again."""

    job_id: str
    host: str
    num_restarts: int


@dataclass(frozen=True)
class Said:
    """What the trial of an order has told; with its end Hydra's JobReturn, pickled, where somebody wants that."""

    key: str
    event: Event
    result: bytes | None = None


@dataclass(frozen=True)
class Left:
    """The trial of an order has kept a checkpoint and left, since its job has to end."""

    key: str
    reason: str


@dataclass(frozen=True)
class Refused:
    """Nothing can run on this node as it is."""

    reason: str


@dataclass(frozen=True)
class Gone:
    """The job has ended: what it was ordered and has not ended is somebody else's."""


ToJob = Order | Tell | Kill | Finish
FromJob = Ready | Said | Left | Refused | Gone
