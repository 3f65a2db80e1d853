"""Experiments of any size, as hpo leaves them, without a training: for figures and pages whose answer is known.

What is planted (`final_loss`): the learning rate matters most, the width of the hidden layer less, dropout not at
all; tanh costs what relu and gelu do not; the batch size matters only together with the learning rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy as sa
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import execution_whitelist
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, distribution_to_json

import hpo.app  # noqa: F401 - registers the schema, as the command does
from hpo.experiment import sqlite, tables
from hpo.experiment.data_source import find_data_source
from hpo.experiment.directory import make_trial
from hpo.experiment.experiment import Experiment
from hpo.experiment.identity import trial_id
from hpo.paths import ExperimentPaths
from hpo.records import State, Value
from hpo.resolved import plain, to_json, to_yaml, without_hydra
from hpo.search import study_file
from hpo.search.space import read_space
from hpo.stored import SAMPLERS
from hpo.targets import BUILT_IN

SLOTS = 4
STEPS_PER_REPORT = 45
NOISE = 0.02
_BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)
_START_LOSS = 2.3
_SPACE = (
    "+search_space={optimizer_config.lr:'tag(log,interval(1e-4,1e-1))',"
    "model_config.hidden_size:'int(interval(32,512))',model_config.dropout:'interval(0.0,0.5)',"
    "model_config.activation:'choice(relu,tanh,gelu)',train_config.batch_size:'choice(32,64,128)'}"
)
_OPTUNA_STATE = {
    State.COMPLETE: optuna.trial.TrialState.COMPLETE,
    State.PRUNED_POOR_PERFORMANCE: optuna.trial.TrialState.PRUNED,
    State.FAIL: optuna.trial.TrialState.FAIL,
    State.RUNNING: optuna.trial.TrialState.RUNNING,
}


@dataclass(frozen=True)
class _Trial:
    number: int
    params: Mapping[str, Value]
    state: State
    losses: tuple[float, ...]
    started: datetime
    ended: datetime | None

    @property
    def metrics(self) -> dict[str, float]:
        """Those at the best iteration; none of a trial that has not come to its end."""
        if self.ended is None or not self.losses:
            return {}
        best = int(np.argmin(self.losses))
        return {name: value for name, value in self.record(best).items() if not name.startswith("current")}

    def record(self, index: int) -> dict[str, float]:
        loss = self.losses[index]
        best = int(np.argmin(self.losses[: index + 1]))
        return {
            "train_loss": 0.9 * loss,
            "val_loss": loss,
            "train_accuracy": math.exp(-0.9 * loss),
            "val_accuracy": math.exp(-loss),
            "best_iteration": (best + 1) * STEPS_PER_REPORT,
            "best_loss": self.losses[best],
            "current_epoch": index + 1,
            "current_iteration": (index + 1) * STEPS_PER_REPORT,
            "epochs": len(self.losses),
            "learning_rate": float(self.params["optimizer_config.lr"]),  # type: ignore[arg-type] # a float
            "total_steps": len(self.losses) * STEPS_PER_REPORT,
        }


def final_loss(params: Mapping[str, Any]) -> float:
    """What a trial of those parameters comes to, but for noise of standard deviation `NOISE`."""
    exponent = math.log10(params["optimizer_config.lr"]) + 2
    width = params["model_config.hidden_size"] / 512
    interaction = exponent * (math.log2(params["train_config.batch_size"]) - 6)
    return (
        0.4
        + 0.3 * exponent**2
        + 0.15 * (1 - width)
        + 0.08 * interaction
        + 0.15 * (params["model_config.activation"] == "tanh")
    )


def make_experiment(
    experiment_dir: Path,
    num_trials: int,
    *,
    seed: int = 0,
    num_reports: int = 10,
    num_directories: int = 20,
    num_running: int = 0,
    experiment_id: str = "5e9d_0001",
    sampler: str = "random",
) -> Path:
    """An experiment of that many trials in `experiment_dir`; its directory.

    One in 30 has failed, one in eight was pruned, the last `num_running` still run (and the experiment's state
    says so). The first `num_directories` and those that run have directories, as far as analysis and pages read
    them; the databases hold all of them.
    """
    config, space = _composed(experiment_dir, num_trials, experiment_id, sampler)
    with execution_whitelist(BUILT_IN):
        experiment = Experiment(config, find_data_source(config))
    experiment.close(State.COMPLETE)
    trials = _drawn(num_trials, num_running, num_reports, seed)
    names = {each.number: trial_id(each.number, str(config.config_hash), each.params) for each in trials}
    defaults = plain(without_hydra(config))
    _fill_state_db(experiment.paths, trials, names, defaults)
    _fill_study(experiment.paths, trials, space, sampler)
    for each in trials:
        if each.number < num_directories or each.state is State.RUNNING:
            _make_directory(experiment.paths, each, names[each.number], defaults)
    return experiment.paths.root


def _composed(
    experiment_dir: Path, num_trials: int, experiment_id: str, sampler: str
) -> tuple[DictConfig, Mapping[str, BaseDistribution]]:
    overrides = [
        *("+experiment=mnist", "data_config=digits", "search_space=none", "verbose=silent"),
        *(_SPACE, f"search_algo={sampler}", f"concurrent_trials={SLOTS}"),
        *(f"experiment_dir={experiment_dir}", f"experiment_id={experiment_id}", f"total_trials={num_trials}"),
    ]
    with initialize_config_module("hpo.conf"):
        config = compose("default_config", overrides, return_hydra_config=True)
        space, problems = read_space(config, (), GlobalHydra.instance().config_loader())
    assert not problems
    return config, space.distributions


def _drawn(num_trials: int, num_running: int, num_reports: int, seed: int) -> list[_Trial]:
    rng = np.random.default_rng(seed)
    free_at = [_BEGAN] * SLOTS
    trials = []
    for number in range(num_trials):
        params: dict[str, Value] = {
            "optimizer_config.lr": float(10 ** rng.uniform(-4, -1)),
            "model_config.hidden_size": int(rng.integers(32, 513)),
            "model_config.dropout": float(rng.uniform(0, 0.5)),
            "model_config.activation": str(rng.choice(["relu", "tanh", "gelu"])),
            "train_config.batch_size": int(rng.choice([32, 64, 128])),
        }
        end = final_loss(params) + rng.normal(0, NOISE)
        steps = np.arange(1, num_reports + 1)
        losses = end + (_START_LOSS - end) * np.exp(-4 * steps / num_reports)
        state = State.RUNNING if number >= num_trials - num_running else _state(rng.random())
        heard = {State.COMPLETE: num_reports, State.FAIL: 1}.get(state, num_reports // 2)
        slot = int(np.argmin(np.array([at.timestamp() for at in free_at])))
        took = timedelta(seconds=float(rng.uniform(20, 60)) * max(heard, 1) / num_reports)
        started = free_at[slot] + timedelta(seconds=0.2)
        free_at[slot] = started + took
        ended = None if state is State.RUNNING else started + took
        trials.append(_Trial(number, params, state, tuple(losses[:heard].tolist()), started, ended))
    return trials


def _state(draw: float) -> State:
    if draw < 1 / 30:
        return State.FAIL
    return State.PRUNED_POOR_PERFORMANCE if draw < 1 / 30 + 1 / 8 else State.COMPLETE


def _fill_state_db(
    paths: ExperimentPaths, trials: list[_Trial], names: Mapping[int, str], config: Mapping[str, Any]
) -> None:
    best = min(
        (each for each in trials if each.state is State.COMPLETE),
        key=lambda each: each.metrics["val_loss"],
        default=None,
    )
    state = State.RUNNING if any(each.ended is None for each in trials) else State.COMPLETE
    engine = sa.create_engine(sqlite.url(paths.state_db), **sqlite.engine_options(paths.state_db))
    of_trials = [_row(paths, each, names[each.number], config) for each in trials]
    of_reports = [
        {
            "experiment_id": paths.experiment_id,
            "number": each.number,
            "replicate": 0,
            "step": (index + 1) * STEPS_PER_REPORT,
            "metrics": to_json(each.record(index)),
            "time": _naive(_time_of(each, index)),
        }
        for each in trials
        for index in range(len(each.losses))
    ]
    with engine.begin() as connection:
        connection.execute(
            tables.experiments.update().values(
                state=state.value,
                best_trials=to_json([best.number] if best else []),
                started_at=_naive(_BEGAN),
                ended_at=None if state is State.RUNNING else _naive(max(each.ended or _BEGAN for each in trials)),
            )
        )
        for table, rows in ((tables.trials, of_trials), (tables.reports, of_reports)):
            if rows:
                connection.execute(table.insert(), rows)
    engine.dispose()


def _row(paths: ExperimentPaths, trial: _Trial, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    has_failed = trial.state is State.FAIL
    return {
        "experiment_id": paths.experiment_id,
        "number": trial.number,
        "trial_id": name,
        "state": trial.state.value,
        "params": to_json(dict(trial.params)),
        "config": to_json(_config_of(trial, config)),
        "metrics": to_json(trial.metrics) if trial.ended else None,
        "is_feasible": True,
        "reason": "ValueError: planted" if has_failed else None,
        "traceback": "Traceback (most recent call last):\n  ...\nValueError: planted" if has_failed else None,
        "attempt": 1,
        "host": "synthetic",
        "pid": 1,
        "device": "cpu",
        "data_source": "digits",
        "created_at": _naive(trial.started),
        "started_at": _naive(trial.started),
        "ended_at": _naive(trial.ended) if trial.ended else None,
    }


def _config_of(trial: _Trial, config: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(config)
    for key, value in trial.params.items():
        group, _, name = key.partition(".")
        values[group] = {**values[group], name: value}
    return values


def _fill_study(
    paths: ExperimentPaths, trials: list[_Trial], distributions: Mapping[str, BaseDistribution], sampler: str
) -> None:
    with closing(_NewStudy(paths, sampler)) as study, study.engine.begin() as connection:
        kinds = {name: distribution_to_json(each) for name, each in distributions.items()}
        rows: dict[sa.Table, list[dict[str, Any]]] = {}
        for each in trials:
            of_trial = each.number + 1
            is_complete = each.state is State.COMPLETE
            rows.setdefault(study_file._TRIALS, []).append(
                {
                    "trial_id": of_trial,
                    "number": each.number,
                    "study_id": study.study_id,
                    "state": _OPTUNA_STATE[each.state],
                    "datetime_start": _naive(each.started),
                    "datetime_complete": _naive(each.ended) if each.ended else None,
                }
            )
            rows.setdefault(study_file._PARAMS, []).extend(
                {
                    "trial_id": of_trial,
                    "param_name": name,
                    "param_value": distributions[name].to_internal_repr(value),
                    "distribution_json": kinds[name],
                }
                for name, value in each.params.items()
            )
            rows.setdefault(study_file._INTERMEDIATE_VALUES, []).extend(
                {
                    "trial_id": of_trial,
                    "step": index + 1,
                    "intermediate_value": loss,
                    "intermediate_value_type": "FINITE",
                }
                for index, loss in enumerate(each.losses)
            )
            if is_complete:
                rows.setdefault(study_file._VALUES, []).append(
                    {
                        "trial_id": of_trial,
                        "objective": 0,
                        "value": each.metrics["val_loss"],
                        "value_type": "FINITE",
                    }
                )
        for table, of_table in rows.items():
            connection.execute(table.insert(), of_table)


class _NewStudy:
    """An empty study in the file that is the experiment's."""

    def __init__(self, paths: ExperimentPaths, sampler: str) -> None:
        directions = [optuna.study.StudyDirection.MINIMIZE]
        self._storage = optuna.storages.RDBStorage(
            sqlite.url(paths.study_db), engine_kwargs=sqlite.engine_options(paths.study_db)
        )
        self.study_id = self._storage.create_new_study(directions, paths.experiment_id)
        self._storage.set_study_system_attr(self.study_id, "study:metric_names", ["val_loss"])
        self._storage.set_study_user_attr(self.study_id, SAMPLERS, [sampler])
        self.engine = self._storage.engine

    def close(self) -> None:
        self._storage.remove_session()
        self.engine.dispose()


def _make_directory(paths: ExperimentPaths, trial: _Trial, name: str, config: Mapping[str, Any]) -> None:
    directory = paths.trial(name)
    records = [trial.record(index) for index in range(len(trial.losses))]
    at = records[-1]["current_iteration"] if records else 0
    make_trial(
        directory,
        {
            "trial_id": name,
            "number": trial.number,
            "attempt": 1,
            "experiment_id": paths.experiment_id,
            "params": dict(trial.params),
            "log_iteration": at,
            "checkpoint_iteration": at,
            "best_iteration": records[-1]["best_iteration"] if records else 0,
            "data_source": "digits",
        },
        exist_ok=False,
    )
    directory.config.write_text(to_yaml(_config_of(trial, config)), encoding="utf-8")
    directory.results.write_text(json.dumps(records), encoding="utf-8")
    directory.log.write_text(
        "".join(
            f"{_time_of(trial, index):%Y-%m-%d %H:%M:%S} INFO epoch {index + 1}/{len(records)}  "
            f"val_loss {record['val_loss']:.5g}\n"
            for index, record in enumerate(records)
        ),
        encoding="utf-8",
    )


def _time_of(trial: _Trial, index: int) -> datetime:
    ended = trial.ended or trial.started + timedelta(seconds=20)
    return trial.started + (ended - trial.started) * (index + 1) / len(trial.losses)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
