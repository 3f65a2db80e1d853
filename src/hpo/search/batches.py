"""Drives a launcher that cannot stream, such as Hydra's basic one or joblib's: in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from hpo.experiment.experiment import Experiment
from hpo.records import Ended, Event, Started, State, TrialSpec
from hpo.trial.metadata import Metadata
from hpo.trial.outcome import read_reports


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

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """Launch what was submitted, as one batch, and wait for all of it whatever the timeout."""
        batch, self._batch = self._batch, []
        if not batch:
            return []
        jobs = [(*spec.overrides, f"hydra.sweep.subdir={spec.subdir}") for spec in batch]
        returns = self._launcher.launch(jobs, initial_job_idx=batch[0].number)
        events: list[Event] = []
        for spec, result in zip(batch, returns, strict=True):
            events += self._events(spec, result)
        return events

    def stop(self, number: int) -> None:
        """Nothing runs between two batches."""

    def close(self) -> None:
        """Nothing runs between two batches."""

    def _events(self, spec: TrialSpec, result: JobReturn) -> list[Event]:
        paths = self._experiment.trial(spec.number)
        metadata = Metadata.of(paths)
        started = Started(
            number=spec.number,
            pid=metadata.get("pid", 0),
            host=metadata.get("host", "?"),
            device=metadata.get("device", "?"),
            config=_read_config(paths.config),
            time=metadata.get("started_at", 0.0),
        )
        return [started, *read_reports(spec.number, paths), _ended(spec.number, metadata, result)]


def _ended(number: int, metadata: Metadata, result: JobReturn) -> Ended:
    outcome: Mapping[str, Any] = metadata.get("outcome", {})
    if not outcome:
        error = None if result.status is JobStatus.COMPLETED else result._return_value
        return Ended(number, State.FAIL, reason=f"the trial left no outcome: {error!r}")
    return Ended(
        number,
        State(outcome["state"]),
        metrics=outcome["metrics"],
        reason=outcome["reason"],
        traceback=outcome["traceback"],
        time=outcome["time"],
    )


def _read_config(path: Any) -> str | None:
    import yaml

    from hpo.resolved import to_json

    return to_json(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else None
