"""The frozen records that cross a process or a layer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

Value = None | bool | int | float | str
"""A value of a searched parameter."""


class State(StrEnum):
    """Where a trial is; the meaning of each stands in the README."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED_POOR_PERFORMANCE = "PRUNED_POOR_PERFORMANCE"
    PRUNED_DUPLICATE = "PRUNED_DUPLICATE"
    PRUNED_INVALID = "PRUNED_INVALID"
    FAIL_RECOVERABLE = "FAIL_RECOVERABLE"
    FAIL = "FAIL"

    @property
    def is_pruned(self) -> bool:
        return self.value.startswith("PRUNED")

    @property
    def is_finished(self) -> bool:
        return self in (State.COMPLETE, State.FAIL) or self.is_pruned


COUNTED = (State.COMPLETE, State.PRUNED_POOR_PERFORMANCE, State.FAIL)
"""The states that count for total_trials."""


class Stop(StrEnum):
    """Why the scheduler asks a trial to end, and so what becomes of it."""

    PRUNE = "prune"
    """It will lose: it ends as PRUNED_POOR_PERFORMANCE, at once."""
    PAUSE = "pause"
    """The search is over: at its next evaluation it ends as WAITING, and can be continued."""
    LEAVE = "leave"
    """The scheduler is about to end: it keeps a checkpoint in its next step, and ends as WAITING."""

    @property
    def state(self) -> State:
        """What a trial that obeys is then."""
        return State.PRUNED_POOR_PERFORMANCE if self is Stop.PRUNE else State.WAITING

    def after(self, earlier: Stop | None) -> Stop:
        """What holds when this is said after `earlier`: the first reason, but for LEAVE, which cannot wait."""
        return self if earlier is None or self is Stop.LEAVE else earlier


BEFORE_ITS_START = "the search ended before it started"
"""The reason of a trial that nobody let begin."""


@dataclass(frozen=True)
class TrialSpec:
    """What a launcher needs to run one trial.

    `fixed` holds the overrides that all trials of the experiment share, `params` the values proposed for
    this one; `overrides` is both, as Hydra spells them. `subdir` is the trial's directory below Hydra's
    sweep directory; None leaves it to Hydra.
    """

    number: int
    fixed: tuple[str, ...] = ()
    params: Mapping[str, Value] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    subdir: str | None = None


@dataclass(frozen=True)
class Started:
    """A trial's process runs. `config` is its resolved run configuration as JSON, `attempt` counts from 1."""

    number: int
    pid: int
    host: str
    device: str
    config: str | None = None
    time: float = field(default_factory=time.time)
    attempt: int = 1


@dataclass(frozen=True)
class Resumed:
    """A further attempt goes on from iteration `step` (0: from the beginning): what was reported beyond is void.

    Sent for each replicate of a trial that has them; `attempt` is the trial's.
    """

    number: int
    attempt: int
    step: int
    replicate: int = 0


@dataclass(frozen=True)
class Report:
    """The metrics of one evaluation at `step`, in the replicate of that index."""

    number: int
    step: int
    metrics: Mapping[str, float]
    time: float = field(default_factory=time.time)
    replicate: int = 0


@dataclass(frozen=True)
class ReplicateEnded:
    """A trial came to an end with one of its seeds, and may go on with the next: as Ended."""

    number: int
    replicate: int
    random_seed: int
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    time: float = field(default_factory=time.time)


class Obstacle(Enum):
    """What every other trial would meet as well: the search ends, and goes on when it is out of the way."""

    DISK = "the disk takes no more"
    MISFIT = "a checkpoint is of another training than the one that the code and the data describe now"
    DEVICES = "a device fell out that a trial cannot do without"
    CLUSTER = "the nodes of a cluster lack what trials need"


@dataclass(frozen=True)
class Ended:
    """A trial came to its end: `metrics` at the best iteration, `reason` in one line, `traceback` in full.

    Of a trial with replicates the metrics are what stands for theirs, and `<objective>_std` says how far they lie
    apart. `result` is Hydra's JobReturn where the launcher has one. `is_feasible` is False where a soft constraint
    is broken: the trial is never among the best. `obstacle` is what others would meet too,
    if anything.
    """

    number: int
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    traceback: str | None = None
    result: Any = None
    time: float = field(default_factory=time.time)
    is_feasible: bool = True
    obstacle: Obstacle | None = None


@dataclass(frozen=True)
class Requeued:
    """A trial has left its process, with the checkpoint that it has, and its launcher starts it again by itself.

    Until then it waits. This is no end, and no retry is used.
    """

    number: int
    reason: str
    time: float = field(default_factory=time.time)

    def as_noted(self) -> Ended:
        """What files and databases have of the trial meanwhile."""
        return Ended(self.number, State.WAITING, reason=self.reason, time=self.time)


Noted = Started | Resumed | Report | ReplicateEnded | Ended
"""What an experiment keeps."""

Event = Noted | Requeued


@dataclass(frozen=True)
class DataSource:
    """The data that an experiment trains on, fixed before its first trial.

    `digest` is the SHA-256 of the source files; `has_test` says whether a test split is held back for the best
    trial (None: loading it tells); `warning` is what must be said loudly, if anything.
    """

    name: str
    digest: str
    has_test: bool | None = None
    warning: str | None = None


@dataclass(frozen=True)
class TrialInfo:
    """What a recorder may know of the trial it records: no live objects.

    `config` is the resolved run configuration as plain containers, `params` the searched values,
    `objectives` the names of optim_metrics in their order. `resumed_from` is None in a first attempt; in a
    further one the iteration that it goes on from, and whatever earlier ones wrote beyond it must go.
    `num_recorded` is how many records they leave.
    """

    number: int
    trial_id: str
    directory: str
    config: Mapping[str, Any]
    params: Mapping[str, Value]
    objectives: tuple[str, ...]
    resumed_from: int | None = None
    num_recorded: int = 0
