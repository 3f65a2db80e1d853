"""MLflow: a run for each trial, in a database beside the experiments or on a server."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpo.recording.extras import import_extra
from hpo.recording.points import measured
from hpo.records import TrialInfo
from hpo.results_file import step_of

logger = logging.getLogger("hpo.train")

DEFAULT_EXPERIMENT = "hpo"
"""Where trials of experiments without a name go."""

_TRIAL_TAG = "hpo.trial"
# the names by which MLflow's page shows them
_NOTES_TAG = "mlflow.note.content"
_TAG_PREFIX = "hpo.tag."
_SQLITE = "sqlite:///"


class MlflowRun:
    """Logs records as metrics and the searched values as parameters; a trial that is run again continues its run.

    `tracking_uri` is where MLflow keeps its runs; `experiment` what it groups them by, the run
    configuration's `name` unless given. The trial's final metrics are called `final/<name>`.

    A record that MLflow does not take is told in train.log and does not end the trial: it is in results.json.
    Raises ConfigError when the extra is not installed, and MLflow's errors when there is no such place.
    """

    def __init__(self, info: TrialInfo, tracking_uri: str, experiment: str | None = None) -> None:
        # a trial writes to the place that it was given, and tells nobody else
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow = self.check_needs()
        self._error: type[Exception] = mlflow.exceptions.MlflowException
        self._entities = mlflow.entities
        self._num_logged = info.num_recorded
        with _alone(tracking_uri):
            self._client = mlflow.MlflowClient(tracking_uri=tracking_uri)
            self._run_id = self._run(self._experiment(experiment or info.config.get("name")), info)
        params = [self._entities.Param(name, str(value)) for name, value in info.params.items()]
        self._client.log_batch(self._run_id, params=params)

    @staticmethod
    def check_needs() -> Any:
        """MLflow itself. Raises ConfigError when the extra is not installed."""
        return import_extra("mlflow", "mlflow", "mlflow")

    def log(self, record: Mapping[str, float | int]) -> None:
        self._num_logged += 1
        self._log(measured(record), step_of(record, self._num_logged))

    def close(self, metrics: Mapping[str, float]) -> None:
        step = int(metrics.get("best_iteration", self._num_logged))
        self._log({f"final/{name}": value for name, value in metrics.items()}, step)
        try:
            self._client.set_terminated(self._run_id, status="FINISHED" if metrics else "FAILED")
        except self._error as error:
            logger.warning("mlflow did not take the end of the trial: %s", error)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now_ms = time.time_ns() // 10**6
        try:
            self._client.log_batch(
                self._run_id,
                metrics=[self._entities.Metric(name, value, now_ms, step) for name, value in values.items()],
            )
        except self._error as error:
            logger.warning("mlflow did not take the record of step %d: %s", step, error)

    def _experiment(self, name: str | None) -> str:
        """The id of MLflow's experiment, made where there is none; on a server another trial may be faster."""
        name = name or DEFAULT_EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except self._error:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _run(self, experiment_id: str, info: TrialInfo) -> str:
        """The id of the trial's run: the one that an earlier attempt left, or a new one."""
        trial = f"{info.config.get('experiment_id')}/{info.trial_id}"
        found = self._client.search_runs([experiment_id], f"tags.`{_TRIAL_TAG}` = '{trial}'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run = self._client.create_run(experiment_id, run_name=info.trial_id, tags=_tags(info, trial))
        return str(run.info.run_id)


@contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """One trial at a time, where the first one makes the database: MLflow's tables fail to be made by two."""
    if not tracking_uri.startswith(_SQLITE):
        yield
        return
    database = Path(tracking_uri.removeprefix(_SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tags(info: TrialInfo, trial: str) -> dict[str, str]:
    """MLflow's tags have values; the configuration's are words, so each is the name of one."""
    tags: dict[str, Any] = {
        _TRIAL_TAG: trial,
        "hpo.experiment_id": info.config.get("experiment_id"),
        "hpo.name": info.config.get("name"),
        "hpo.directory": info.directory,
        _NOTES_TAG: info.config.get("notes"),
        **{_TAG_PREFIX + tag: "true" for tag in info.config.get("tags") or ()},
    }
    return {name: str(value) for name, value in tags.items() if value is not None}
