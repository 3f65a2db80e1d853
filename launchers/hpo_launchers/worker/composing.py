"""Who knows the job of a trial, where the scheduler has composed it, or what it needs is of no account."""

from __future__ import annotations

from hpo.records import TrialSpec
from hpo.resources import NOTHING, Need
from hpo_launchers.jobs import Composing, Job


class Ordered:
    """Knows the jobs that were ordered, as hpo_launchers.jobs.Composing."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}

    def job(self, spec: TrialSpec) -> Job:
        return self.jobs[spec.number]

    def need(self, job: Job) -> Need:
        """The cluster has given this process what its trial needs."""
        return NOTHING


class Needless:
    """Composes trials whose needs are of no account: what is tried on this machine trains nothing."""

    def __init__(self, composer: Composing) -> None:
        self._composer = composer

    def job(self, spec: TrialSpec) -> Job:
        return self._composer.job(spec)

    def need(self, job: Job) -> Need:
        return NOTHING
