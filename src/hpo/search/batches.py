"""Drives a launcher that cannot stream, such as Hydra's basic one or joblib's: in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf.errors import OmegaConfBaseException

from hpo import interrupts
from hpo.errors import HpoError
from hpo.experiment.experiment import Experiment
from hpo.records import BEFORE_ITS_START, Ended, Event, State, Stop, TrialSpec
from hpo.search.on_disk import events_on_disk
from hpo.search.stream import Hear
from hpo.trial import outcome
from hpo.trial.attempt import RUN_TEST
from hpo.trial.metadata import Metadata


class BatchStream:
    """A Stream over Hydra's `launch()`; what the trials did is read from their directories afterwards."""

    def __init__(self, launcher: Launcher, capacity: int, experiment: Experiment) -> None:
        self._launcher = launcher
        self._capacity = capacity
        self._experiment = experiment
        self._batch: list[TrialSpec] = []

    @property
    def capacity(self) -> int:
        return self._capacity

    def submit(self, spec: TrialSpec) -> None:
        self._batch.append(spec)

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        """Launch what was submitted, as one batch, and wait for all of it whatever the timeout."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        jobs = [(*spec.overrides, f"hydra.sweep.subdir={spec.subdir}") for spec in batch]
        before = [self._started_at(spec) for spec in batch]
        returns = self._launch(jobs, batch[0].number)
        for spec, result, started_before in zip(batch, returns, before, strict=True):
            for event in self._events(spec, result, started_before):
                hear(event)

    def _launch(self, jobs: list[tuple[str, ...]], first: int) -> Sequence[JobReturn]:
        try:
            return self._launcher.launch(jobs, initial_job_idx=first)
        except (HpoError, HydraException, OmegaConfBaseException):
            raise
        except Exception as error:
            # a worker of the launcher's died: what its trials came to is in their directories
            failed = JobReturn(status=JobStatus.FAILED, _return_value=error)
            return [failed] * len(jobs)

    def stop(self, number: int, why: Stop) -> None:
        """Nothing runs between two batches."""

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Nothing runs between two batches."""

    def close(self) -> None:
        """Nothing runs between two batches."""

    def _started_at(self, spec: TrialSpec) -> str | None:
        started_at: str | None = Metadata.of(self._experiment.trial(spec.number)).get("started_at")
        return started_at

    def _events(self, spec: TrialSpec, result: JobReturn, started_before: str | None) -> list[Event]:
        paths = self._experiment.trial(spec.number)
        if RUN_TEST in spec.overrides:
            tested = outcome.read(spec.number, paths, key=outcome.TEST_OUTCOME)
            return [tested or _unfinished(spec.number, result)]
        metadata = Metadata.of(paths)
        if metadata.get("started_at") == started_before:
            if interrupts.requested():
                return [Ended(spec.number, State.WAITING, reason=BEFORE_ITS_START)]
            return [_unfinished(spec.number, result)]  # the job broke before the trial began
        events = list(events_on_disk(spec.number, paths, self._experiment.objectives))
        return [*events] if isinstance(events[-1], Ended) else [*events, _died(spec.number, result)]


def _died(number: int, result: JobReturn) -> Ended:
    return replace(_unfinished(number, result), state=State.FAIL_RECOVERABLE)


def _unfinished(number: int, result: JobReturn) -> Ended:
    error = None if result.status is JobStatus.COMPLETED else result._return_value
    return Ended(number, State.FAIL, reason=f"the trial left no outcome: {error!r}")
