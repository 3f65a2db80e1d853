"""An experiment at one moment, as far as the table shows it. Times in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo.records import COUNTED, State


@dataclass(frozen=True)
class Best:
    """The best trial so far by the first objective; `num_pareto` is the size of the Pareto set."""

    trial_id: str
    name: str
    value: float
    num_pareto: int = 1


@dataclass(frozen=True)
class Standing:
    """How the trials of an experiment stand: how many are in each state, and the best."""

    counts: Mapping[State, int] = field(default_factory=dict)
    best: Best | None = None

    @property
    def num_done(self) -> int:
        """The trials that count for total_trials."""
        return sum(self.counts.get(state, 0) for state in COUNTED)


@dataclass(frozen=True)
class RunningTrial:
    """A trial that runs; what is not known is None. `iterations` is how many there will be."""

    number: int
    started: float
    device: str | None = None
    replicate: int = 0
    epoch: int | None = None
    epochs: int | None = None
    iteration: int | None = None
    iterations: int | None = None
    # iterations a second
    speed: float | None = None
    # bytes that its process holds
    memory: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float | None:
        """How much of it (of its present replicate) is done, from 0 to 1."""
        for done, total in ((self.iteration, self.iterations), (self.epoch, self.epochs)):
            if done is not None and total:
                return min(max(done / total, 0.0), 1.0)
        return None


@dataclass(frozen=True)
class EndedTrial:
    """A trial that has ended; `reason` says why, where there is something to say."""

    number: int
    state: State
    started: float | None
    ended: float
    device: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Warned:
    """A warning and when it was given."""

    time: float
    text: str


@dataclass(frozen=True)
class Snapshot:
    """Everything that the table shows.

    `total` is how many trials there will be, None where nobody knows; `running` holds the first ones of
    `num_running`, `ended` the last ones, the newest first; `left_s` is an estimate.
    """

    experiment_id: str
    directory: str
    # how the experiment stands, in words; empty while it simply runs
    said: str = ""
    objectives: tuple[str, ...] = ()
    standing: Standing = Standing()
    total: int | None = None
    elapsed_s: float = 0.0
    left_s: float | None = None
    running: tuple[RunningTrial, ...] = ()
    num_running: int = 0
    ended: tuple[EndedTrial, ...] = ()
    warning: Warned | None = None
    # when it was taken
    time: float = 0.0
    num_replicates: int = 1
