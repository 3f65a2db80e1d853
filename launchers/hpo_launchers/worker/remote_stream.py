"""What the streams of clusters share: needs that can be told before the start, and ends that they make up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hpo.errors import ConfigError
from hpo.records import Ended, Event, Obstacle, State, TrialSpec
from hpo.resources import Need
from hpo.search.stream import Hear, Stream
from hpo_launchers import execution
from hpo_launchers.jobs import Composer, Job
from hpo_launchers.worker.loaded import unpickled


class RemoteStream(ABC):
    """Part of a hpo.search.stream.Stream, Placing and Distant."""

    def __init__(self, composer: Composer, nearby: Callable[[], Stream], capacity: int) -> None:
        self.capacity = capacity
        self._composer = composer
        self._nearby = nearby
        self._wants_results = False
        self._events: list[Event] = []

    @abstractmethod
    def misfit(self, need: Need) -> str | None:
        """Why the cluster would never run a trial of that need."""

    def nearby(self) -> Stream:
        return self._nearby()

    def problem(self, spec: TrialSpec) -> str | None:
        try:
            return self.misfit(self._composer.need(self._composer.job(spec)))
        except ConfigError as error:
            return str(error)

    def _composed(self, spec: TrialSpec) -> tuple[Job, Need] | None:
        """The job of a trial and what it needs; None of one whose end is told, since nothing can be that.

        Raises what Hydra raises for overrides that do not compose.
        """
        job = self._composer.job(spec)
        try:
            return job, self._composer.need(job)
        except ConfigError as error:
            self._tell(Ended(job.number, State.FAIL, reason=str(error)))
            return None

    def _hand_over(self, hear: Hear) -> None:
        events, self._events = self._events, []
        for event in events:
            hear(event)

    def _wait_for_cluster(self, number: int, reason: str) -> None:
        self._tell(Ended(number, State.WAITING, reason=reason, obstacle=Obstacle.CLUSTER))

    def _tell(self, ended: Ended, result: bytes | None = None) -> None:
        returned: Any = unpickled(result)
        if result is None and self._wants_results:
            returned = execution.failed_return(RuntimeError(ended.reason))
        self._events.append(replace(ended, result=returned))
