"""An experiment on disk, as Python sees it: opened read-only, over or still running."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from hpo import frames
from hpo.config import Direction
from hpo.errors import ExperimentError
from hpo.objectives import Objective
from hpo.pareto import ParetoSet
from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths, TrialPaths
from hpo.records import State, Value
from hpo.stored import is_of_a_server, is_there, json_of, metrics_of, reading, time_of

if TYPE_CHECKING:
    import pandas

_BUSY_TIMEOUT_S = 10.0
_TRIALS = (
    "SELECT number, trial_id, state, params, metrics, test_metrics, is_feasible, config, reason, traceback, "
    "started_at, ended_at FROM trials WHERE experiment_id = ? ORDER BY number"
)
_OUTLINES = _TRIALS.replace("config, reason", "NULL AS config, reason")
_CONFIGS = "SELECT number, config FROM trials WHERE experiment_id = ? AND config IS NOT NULL"


@dataclass(frozen=True)
class SavedTrial:
    """One trial as it stood when it was read.

    `metrics` are those at the best iteration, `values` the objectives among them (empty as long as there are
    none), `test_metrics` what the best trial reached on data held back, `config` its run configuration (None
    before its start). `is_feasible` is False where it breaks a soft constraint. Times are UTC.
    """

    number: int
    trial_id: str
    state: State
    params: Mapping[str, Value]
    metrics: Mapping[str, float]
    test_metrics: Mapping[str, float]
    values: tuple[float, ...]
    is_feasible: bool
    directory: Path
    config: Mapping[str, Any] | None = field(repr=False)
    reason: str | None
    traceback: str | None = field(repr=False)
    started: datetime | None
    ended: datetime | None

    @property
    def value(self) -> float | None:
        """The first objective; None as long as there is none."""
        return self.values[0] if self.values else None

    @property
    def duration_s(self) -> float | None:
        """From start to end; None for a trial that has not come to its end."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()

    @property
    def checkpoint(self) -> Path | None:
        """The best checkpoint, for `torch.load(path, map_location="cpu")`; the newest where there is no best."""
        paths = TrialPaths(self.directory)
        for folder in (paths.best_checkpoints, paths.checkpoints):
            found = max(folder.glob("*.pt"), key=lambda path: int(path.stem.rpartition("_")[2]), default=None)
            if found is not None:
                return found
        return None


@dataclass(frozen=True)
class SavedExperiment:
    """An experiment's directory. Every attribute is read anew, so that one that runs can be watched."""

    directory: Path

    @classmethod
    def open(cls, directory: Path) -> SavedExperiment:
        """Raises ExperimentError that says what was looked for when `directory` holds no experiment."""
        opened = cls(directory.absolute())
        # another name than an experiment's would lead to the files of a neighbour
        if opened._paths.root != opened.directory or not is_there(opened._paths.state_db):
            raise ExperimentError(_not_there(opened.directory))
        opened.state  # noqa: B018 - a file that is no state database is told here
        return opened

    @property
    def experiment_id(self) -> str:
        return self._paths.experiment_id

    @property
    def state(self) -> State:
        """RUNNING, COMPLETE (the budget ended and a trial completed), FAIL, or WAITING (interrupted)."""
        return State(self._row("state"))

    @property
    def config(self) -> DictConfig:
        """The run configuration, as default_config.yaml has it."""
        path = self._paths.config
        try:
            config = OmegaConf.load(path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ExperimentError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
        if not isinstance(config, DictConfig) or "config_hash" not in config:
            raise ExperimentError(f"{path} is not whole")
        return config

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimized, in the order of optim_metrics."""
        entries: dict[str, str] = json.loads(self._row("optim_metrics"))
        return tuple(Objective(name, Direction(direction)) for name, direction in entries.items())

    @property
    def trials(self) -> list[SavedTrial]:
        """All trials, by number."""
        objectives = self.objectives
        with self._reading() as connection:
            rows = connection.execute(_TRIALS, (self.experiment_id,)).fetchall()
        return [self._trial(row, objectives) for row in rows]

    @property
    def outlines(self) -> list[SavedTrial]:
        """All trials, by number, without configurations: of thousands these take most of the time."""
        objectives = self.objectives
        with self._reading() as connection:
            rows = connection.execute(_OUTLINES, (self.experiment_id,)).fetchall()
        return [self._trial(row, objectives) for row in rows]

    def configs(self, numbers: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        """The configurations of some trials by number, as far as they have started."""
        wanted = set(numbers)
        with self._reading() as connection:
            rows = connection.execute(_CONFIGS, (self.experiment_id,))
            return {number: json.loads(config) for number, config in rows if number in wanted}

    @property
    def best_trial(self) -> SavedTrial | None:
        """The best complete trial by the first objective that breaks no soft constraint, if there is one."""
        return self.best_of(self.trials, self.objectives[0])

    @staticmethod
    def best_of(trials: Sequence[SavedTrial], objective: Objective, index: int = 0) -> SavedTrial | None:
        """The first of the best of `trials` by the objective of that index."""
        best: SavedTrial | None = None
        for trial in trials:
            is_candidate = trial.state is State.COMPLETE and trial.is_feasible and bool(trial.values)
            if not is_candidate or not math.isfinite(trial.values[index]):
                continue
            if best is None or objective.is_better(trial.values[index], best.values[index]):
                best = trial
        return best

    @property
    def best_trials(self) -> list[SavedTrial]:
        """The Pareto set: complete trials that no other beats in one objective without losing in another."""
        objectives = self.objectives
        trials = self.trials
        if len(objectives) == 1:
            best = self.best_of(trials, objectives[0])
            return [best] if best is not None else []
        return self.pareto_of(trials, objectives)

    @staticmethod
    def pareto_of(trials: Sequence[SavedTrial], objectives: Sequence[Objective]) -> list[SavedTrial]:
        """Those of `trials` that are in the Pareto set of the objectives."""
        front = ParetoSet(objectives)
        for trial in trials:
            if trial.state is State.COMPLETE and trial.is_feasible and trial.values:
                front.add(trial.number, trial.values)
        numbers = set(front.numbers)
        return [trial for trial in trials if trial.number in numbers]

    def dataframe(self) -> pandas.DataFrame:
        """One row a trial: number, trial_id, state, `params_<key>`, metrics, is_feasible, times and the rest.

        Needs pandas: `pip install 'hpo[analysis]'`.
        """
        return frames.of_trials(self.outlines)

    def reports(self, number: int | None = None) -> pandas.DataFrame:
        """One row an evaluation, of one trial or of all: number, replicate, step, time, and its metrics.

        Needs pandas.
        """
        return frames.of_reports(self._rows("reports", number, "number, replicate, step, id"))

    def replicates(self, number: int | None = None) -> pandas.DataFrame:
        """One row a replicate that has ended, of one trial or of all: its seed, state, metrics and the rest.

        Needs pandas.
        """
        return frames.of_replicates(self._rows("replicates", number, "number, replicate"))

    @property
    def _paths(self) -> ExperimentPaths:
        return ExperimentPaths.of(self.directory)

    def _row(self, column: str) -> Any:
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {column} FROM experiments WHERE experiment_id = ?", (self.experiment_id,)
            ).fetchone()
        if row is None:
            raise ExperimentError(f"{self._paths.state_db} has no experiment {self.experiment_id}")
        return row[0]

    def _rows(self, table: str, number: int | None, order: str) -> list[sqlite3.Row]:
        of_one = "" if number is None else " AND number = ?"
        with self._reading() as connection:
            return connection.execute(
                f"SELECT * FROM {table} WHERE experiment_id = ?{of_one} ORDER BY {order}",
                (self.experiment_id, *(() if number is None else (number,))),
            ).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write, and so never makes the experiment wait."""
        path = self._paths.state_db
        try:
            with closing(reading(path, _BUSY_TIMEOUT_S)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.Error as error:
            which = "" if is_of_a_server(path) else f" {path}"
            raise ExperimentError(f"the state database{which} cannot be read: {error}") from error

    def _trial(self, row: sqlite3.Row, objectives: Sequence[Objective]) -> SavedTrial:
        metrics = metrics_of(row["metrics"])
        known = [objective.name in metrics for objective in objectives]
        return SavedTrial(
            number=row["number"],
            trial_id=row["trial_id"],
            state=State(row["state"]),
            params=json_of(row["params"]),
            metrics=metrics,
            test_metrics=metrics_of(row["test_metrics"]),
            values=tuple(float(metrics[objective.name]) for objective in objectives) if all(known) else (),
            is_feasible=bool(row["is_feasible"]),
            directory=self._paths.trial(row["trial_id"]).root,
            config=json.loads(row["config"]) if row["config"] is not None else None,
            reason=row["reason"],
            traceback=row["traceback"],
            started=time_of(row["started_at"]),
            ended=time_of(row["ended_at"]),
        )


def _not_there(directory: Path) -> str:
    if not directory.exists():
        return f"{directory} does not exist: there is no experiment to load"
    if not directory.name.startswith(EXPERIMENT_PREFIX):
        told = f"{directory} is no experiment: its name would be {EXPERIMENT_PREFIX}<experiment_id>"
    else:
        state_db = ExperimentPaths.of(directory).state_db
        told = f"{directory} is no experiment: its state database {state_db} is not there"
    inside = sorted(path.name for path in directory.glob(f"{EXPERIMENT_PREFIX}*"))
    return f"{told}\nExperiments in it: {', '.join(inside)}" if inside else told
