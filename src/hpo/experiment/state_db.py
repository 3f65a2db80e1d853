"""The state database: every trial's configuration, metrics and state, as text, numbers, times and JSON.

One process writes it. Readers open it read-only; see the README for its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hpo.experiment.copying import make_state_tables
from hpo.experiment.databases import state_engine
from hpo.experiment.known import KnownTrial, seconds_of
from hpo.experiment.reconnecting import reconnect
from hpo.experiment.tables import attempts, experiments, replicates, reports, trials
from hpo.records import Ended, ReplicateEnded, Report, Resumed, Started, State, TrialSpec
from hpo.resolved import to_json
from hpo.stored import metrics_of
from hpo.stores import Place


class StateDB:
    """Writes the state database of one experiment, which may be one of several in it; every method is one
    transaction."""

    def __init__(self, where: Place, experiment_id: str, timeout_s: float = 0.0) -> None:
        """`timeout_s` is for how long a server may be away."""
        self._experiment_id = experiment_id
        self._engine = state_engine(where)
        reconnect(self._engine, where, timeout_s)
        make_state_tables(self._engine)

    def open_experiment(self, row: Mapping[str, Any], started_at: str | None = None) -> None:
        """`row` holds columns of `experiments`; containers become JSON. One that is there runs again.

        `started_at` is when one that is not there was started, if not now: in UTC, as text.
        """
        values = {key: to_json(value) if isinstance(value, dict | list) else value for key, value in row.items()}
        values |= {"state": State.RUNNING.value, "ended_at": None}
        of_this = experiments.c.experiment_id == self._experiment_id
        with self._engine.begin() as connection:
            if not connection.execute(experiments.update().where(of_this), values).rowcount:
                since = datetime.fromisoformat(started_at) if started_at is not None else _now()
                new = {"experiment_id": self._experiment_id, "started_at": since}
                connection.execute(experiments.insert(), values | new)

    def trials(self) -> dict[int, KnownTrial]:
        """The trials that are there, by number."""
        of_this = trials.c.experiment_id == self._experiment_id
        ended = (
            sa.select(replicates.c.number, sa.func.count())
            .where(replicates.c.experiment_id == self._experiment_id)
            .group_by(replicates.c.number)
        )
        with self._engine.connect() as connection:
            counts = {row[0]: int(row[1]) for row in connection.execute(ended)}
            rows = [dict(row) for row in connection.execute(trials.select().where(of_this)).mappings()]
        return {row["number"]: KnownTrial.of(row, counts.get(row["number"], 0)) for row in rows}

    def close_experiment(self, state: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                experiments.update()
                .where(experiments.c.experiment_id == self._experiment_id)
                .values(state=state, ended_at=_now())
            )
        self._engine.dispose()

    def set_best_trials(self, numbers: Sequence[int]) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                _SET_BEST_TRIALS, {"of_experiment": self._experiment_id, "best_trials": to_json(list(numbers))}
            )

    def add_trial(
        self, spec: TrialSpec, trial_id: str, data_source: str | None, proposed: float | None = None
    ) -> None:
        """`proposed` is when it was, in seconds since the epoch, if not now."""
        row = {
            "experiment_id": self._experiment_id,
            "number": spec.number,
            "trial_id": trial_id,
            "state": State.WAITING.value,
            "params": to_json(dict(spec.params)),
            "attempt": 1,
            "data_source": data_source,
            "created_at": _now() if proposed is None else _utc(proposed),
        }
        with self._engine.begin() as connection:
            connection.execute(_INSERT_TRIAL, row)

    def start_trial(self, started: Started) -> None:
        self._update(
            started.number,
            state=State.RUNNING.value,
            config=started.config,
            host=started.host,
            pid=started.pid,
            device=started.device,
            started_at=_utc(started.time),
            attempt=started.attempt,
            # what an earlier attempt ended with
            **dict.fromkeys(("metrics", "reason", "traceback", "ended_at")),
        )

    def add_reports(self, batch: Iterable[Report]) -> None:
        rows = [self._report(report) for report in batch]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(_INSERT_REPORT, rows)

    def cut_reports(self, resumed: Resumed, kept: Iterable[Report]) -> None:
        """Remove the reports beyond the step that a trial goes on from; add those of `kept` that are missing."""
        where = (
            (reports.c.experiment_id == self._experiment_id)
            & (reports.c.number == resumed.number)
            & (reports.c.replicate == resumed.replicate)
        )
        with self._engine.begin() as connection:
            connection.execute(reports.delete().where(where, reports.c.step > resumed.step))
            there = set(connection.scalars(sa.select(reports.c.step).where(where)))
            rows = [self._report(report) for report in kept if report.step not in there]
            if rows:
                connection.execute(_INSERT_REPORT, rows)

    def add_replicate(self, ended: ReplicateEnded) -> None:
        """In place of what an earlier attempt of the trial made of the replicate."""
        row = {
            "experiment_id": self._experiment_id,
            "number": ended.number,
            "replicate": ended.replicate,
            "random_seed": ended.random_seed,
            "state": ended.state.value,
            "metrics": to_json(dict(ended.metrics)),
            "reason": ended.reason,
            "ended_at": _utc(ended.time),
        }
        with self._engine.begin() as connection:
            connection.execute(
                _DELETE_REPLICATE,
                {
                    "of_experiment": self._experiment_id,
                    "of_number": ended.number,
                    "of_replicate": ended.replicate,
                },
            )
            connection.execute(_INSERT_REPLICATE, row)

    def reports(self, number: int) -> list[Report]:
        """What a trial has reported, in the order of its replicates and steps."""
        of_this = (reports.c.experiment_id == self._experiment_id) & (reports.c.number == number)
        query = reports.select().where(of_this).order_by(reports.c.replicate, reports.c.step, reports.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Report(number, row["step"], metrics_of(row["metrics"]), seconds_of(row["time"]), row["replicate"])
            for row in rows
        ]

    def forget_reports(self, number: int) -> None:
        """Remove what a trial has reported: it begins anew."""
        of_this = (reports.c.experiment_id == self._experiment_id) & (reports.c.number == number)
        with self._engine.begin() as connection:
            connection.execute(reports.delete().where(of_this))

    def end_attempt(self, ended: Ended) -> None:
        """Keep how one attempt of a trial ended that is going to be tried again."""
        of_this = (trials.c.experiment_id == self._experiment_id) & (trials.c.number == ended.number)
        told = {"state": ended.state.value, "reason": ended.reason, "traceback": ended.traceback}
        values = [sa.literal(value).label(name) for name, value in (told | {"ended_at": _utc(ended.time)}).items()]
        row = sa.select(trials.c.experiment_id, trials.c.number, trials.c.attempt, *values).where(of_this)
        with self._engine.begin() as connection:
            # it is there already when its end is heard again
            now = sa.select(trials.c.attempt).where(of_this).scalar_subquery()
            connection.execute(
                attempts.delete().where(
                    attempts.c.experiment_id == self._experiment_id,
                    attempts.c.number == ended.number,
                    attempts.c.attempt == now,
                )
            )
            connection.execute(attempts.insert().from_select([column.name for column in attempts.c], row))

    def end_trial(self, ended: Ended) -> None:
        self._update(
            ended.number,
            state=ended.state.value,
            metrics=to_json(dict(ended.metrics)),
            is_feasible=ended.is_feasible,
            reason=ended.reason,
            traceback=ended.traceback,
            ended_at=_utc(ended.time),
        )

    def set_test_metrics(self, number: int, test_metrics: Mapping[str, float]) -> None:
        self._update(number, test_metrics=to_json(dict(test_metrics)))

    def _report(self, report: Report) -> dict[str, Any]:
        return {
            "experiment_id": self._experiment_id,
            "number": report.number,
            "replicate": report.replicate,
            "step": report.step,
            "metrics": to_json(dict(report.metrics)),
            "time": _utc(report.time),
        }

    def _update(self, number: int, **values: Any) -> None:
        statement = (
            trials.update()
            .where(
                trials.c.experiment_id == sa.bindparam("of_experiment"),
                trials.c.number == sa.bindparam("of_number"),
            )
            .values({column: sa.bindparam(column) for column in values})
        )
        with self._engine.begin() as connection:
            connection.execute(statement, {"of_experiment": self._experiment_id, "of_number": number, **values})


_INSERT_TRIAL = trials.insert()
_INSERT_REPORT = reports.insert()
_INSERT_REPLICATE = replicates.insert()
_DELETE_REPLICATE = replicates.delete().where(
    replicates.c.experiment_id == sa.bindparam("of_experiment"),
    replicates.c.number == sa.bindparam("of_number"),
    replicates.c.replicate == sa.bindparam("of_replicate"),
)
_SET_BEST_TRIALS = (
    experiments.update()
    .where(experiments.c.experiment_id == sa.bindparam("of_experiment"))
    .values(best_trials=sa.bindparam("best_trials"))
)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
