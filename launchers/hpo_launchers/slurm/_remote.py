"""The scheduler's view of one job: what it was ordered, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.paths import SlurmPaths
from hpo.records import State, Stop
from hpo.resources import Need
from hpo_launchers.jobs import Job
from hpo_launchers.slurm._frames import FrameReader, FrameWriter
from hpo_launchers.slurm._messages import Finish, FromJob, Kill, Order, Tell, ToJob


@dataclass
class Trial:
    """A trial that waits for a job or is in one, under the key of its order."""

    key: str
    job: Job
    need: Need
    told: Stop | None = None
    killed_as: tuple[str, State] | None = None
    # whether its events have begun to come
    has_started: bool = False


@dataclass
class RemoteJob:
    """`key` names its files; `kind` is what its trials have in common with others that it may run."""

    key: str
    job_id: str
    kind: str
    num_left: int
    orders: FrameWriter
    reports: FrameReader
    trial: Trial | None = None
    # where it ran last; whether it has said that it does
    host: str | None = None
    is_ready: bool = False
    is_finishing: bool = False
    # it was not in Slurm's queue when that was looked at last
    is_missed: bool = False

    @classmethod
    def at(cls, paths: SlurmPaths, key: str, kind: str, num_trials: int) -> RemoteJob:
        return cls(key, "", kind, num_trials, FrameWriter(paths.orders(key)), FrameReader(paths.reports(key)))

    @property
    def is_idle(self) -> bool:
        """Whether it can be given another trial."""
        return self.is_ready and self.trial is None and self.num_left > 0 and not self.is_finishing

    @property
    def name(self) -> str:
        return f"Slurm job {self.job_id}" + (f" on {self.host}" if self.host else "")

    def order(self, trial: Trial, template: str, job: Job) -> None:
        """Give it a trial, and what that was told before."""
        self.trial = trial
        self.num_left -= 1
        messages: list[ToJob] = [Tell(trial.key, trial.told)] if trial.told is not None else []
        if trial.killed_as is not None:
            messages.append(Kill(trial.key, *trial.killed_as))
        self.orders.append([*messages, Order(trial.key, job, template)])

    def tell(self, why: Stop) -> None:
        assert self.trial is not None
        self.orders.append([Tell(self.trial.key, why)])

    def kill(self, reason: str, state: State) -> None:
        assert self.trial is not None
        self.trial.killed_as = reason, state
        self.orders.append([Kill(self.trial.key, reason, state)])

    def finish(self) -> None:
        """Let it end; what it runs is killed after a moment."""
        if not self.is_finishing:
            self.is_finishing = True
            self.orders.append([Finish()])

    def news(self) -> list[FromJob]:
        return self.reports.read()
