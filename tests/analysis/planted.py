"""Experiments whose answer is known, written event by event as the scheduler writes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from hpo.experiment import sqlite
from hpo.experiment.experiment import Experiment
from hpo.paths import ExperimentPaths
from hpo.records import Ended, ReplicateEnded, Report, Started, State, TrialSpec, Value
from hpo.resolved import plain, to_json
from hpo.stored import SAMPLERS
from tests.conftest import new_experiment

START_S = 1_700_000_000.0


@dataclass(frozen=True)
class Trial:
    """What is planted of one trial; `losses` are its evaluations, `seeds` those of its replicates."""

    params: Mapping[str, Value]
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: State | None = State.COMPLETE
    losses: Sequence[float] = ()
    seeds: Sequence[float] = ()
    is_feasible: bool = True
    reason: str | None = None


def plant(
    config: DictConfig,
    trials: Sequence[Trial],
    *,
    samplers: Sequence[str] | None = ("RandomSampler",),
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> ExperimentPaths:
    """The experiment's paths. `state=None` is a trial that had not ended when the scheduler died.

    Two run at a time.
    """
    writer = new_experiment(config)
    defaults = plain(config)
    for number, trial in enumerate(trials):
        _run(writer, number, trial, defaults)
    if samplers is not None:
        _add_study(writer.paths, trials, samplers, distributions or {})
    if any(trial.state is None for trial in trials):
        writer.abandon()
    else:
        writer.close(State.COMPLETE)
    return writer.paths


def _run(writer: Experiment, number: int, trial: Trial, defaults: Mapping[str, Any]) -> None:
    began = START_S + 10.0 * (number // 2)
    writer.prepare(TrialSpec(number, params=trial.params))
    if trial.state is State.PRUNED_DUPLICATE:
        writer.record(Ended(number, trial.state, time=began))
        return
    config = to_json(with_params(defaults, trial.params))
    writer.record(Started(number, 1, "host", "cpu", config=config, time=began))
    for step, loss in enumerate(trial.losses, start=1):
        writer.record(Report(number, step, {"loss": loss}, time=began + step))
    for index, loss in enumerate(trial.seeds):
        writer.record(ReplicateEnded(number, index, index, State.COMPLETE, {"loss": loss}, time=began + 5))
    if trial.state is not None:
        writer.record(
            Ended(
                number,
                trial.state,
                trial.metrics,
                reason=trial.reason,
                time=began + 10,
                is_feasible=trial.is_feasible,
            )
        )


def with_params(defaults: Mapping[str, Any], params: Mapping[str, Value]) -> dict[str, Any]:
    """The defaults with dotted keys set; a key below nothing is made."""
    config: dict[str, Any] = {**defaults}
    for key, value in params.items():
        *path, last = key.split(".")
        node = config
        for part in path:
            below = node.get(part)
            node[part] = {**below} if isinstance(below, dict) else {}
            node = node[part]
        node[last] = value
    return config


def _add_study(
    paths: ExperimentPaths,
    trials: Sequence[Trial],
    samplers: Sequence[str],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(
        sqlite.url(paths.study_db), engine_kwargs=sqlite.engine_options(paths.study_db)
    )
    study = optuna.create_study(storage=storage, study_name=paths.experiment_id)
    study.set_user_attr(SAMPLERS, list(samplers))
    # one of each parameter tells its kind
    for name, kind in distributions.items():
        had = [trial.params[name] for trial in trials if name in trial.params]
        if had:
            frozen = optuna.trial.create_trial(value=0.0, params={name: had[0]}, distributions={name: kind})
            study.add_trial(frozen)
    storage.remove_session()
    storage.engine.dispose()


def delay(paths: ExperimentPaths, since: int, days: int) -> None:
    """Moves the times of the trials from number `since` on, as if the experiment had been resumed days later."""
    later = "strftime('%Y-%m-%d %H:%M:%f000', {0}, ?)"
    with closing(sqlite3.connect(paths.state_db)) as connection, connection:
        connection.execute(
            f"UPDATE trials SET started_at = {later.format('started_at')}, ended_at = {later.format('ended_at')} "
            "WHERE number >= ?",
            (f"+{days} days", f"+{days} days", since),
        )
