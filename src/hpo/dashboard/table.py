"""One page of the trial table, and the rows that other pages need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hpo.dashboard.columns import Column
from hpo.dashboard.database import Database
from hpo.dashboard.query import Query
from hpo.records import State
from hpo.stored import json_of, metrics_of, time_of

_COLUMNS = (
    "number, trial_id, state, params, metrics, test_metrics, is_feasible, reason, attempt, device, host, pid, "
    "started_at, ended_at"
)


@dataclass(frozen=True)
class Row:
    """One trial in a table; `newest` is its last report as long as it runs, from `step`."""

    number: int
    trial_id: str
    state: State
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    test_metrics: Mapping[str, Any]
    is_feasible: bool
    reason: str | None
    attempt: int
    device: str | None
    host: str | None
    pid: int | None
    started: datetime | None
    ended: datetime | None
    newest: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None

    @property
    def duration_s(self) -> float | None:
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()

    @property
    def is_running(self) -> bool:
        return self.state is State.RUNNING

    def value(self, column: Column) -> Any:
        """What the cell holds; None where there is nothing."""
        if column.source == "params":
            return self.params.get(column.key)
        if column.source == "metrics":
            return self.metrics.get(column.key, self.newest.get(column.key))
        if column.source == "test_metrics":
            return self.test_metrics.get(column.key)
        return self.duration_s if column.id == "duration" else getattr(self, column.id)

    def has(self, column: Column) -> bool:
        """Whether it has a parameter at all, and be it null."""
        return column.key in self.params if column.is_param else self.value(column) is not None


@dataclass(frozen=True)
class Page:
    """The rows of one page, and where it stands among the others."""

    rows: Sequence[Row]
    total: int
    number: int
    count: int
    first: int

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    def is_numeric(self, column: Column) -> bool:
        """Whether all that a column shows are numbers, and stand at its right."""
        values = [row.value(column) for row in self.rows if row.value(column) is not None]
        return bool(values) and all(
            isinstance(each, int | float) and not isinstance(each, bool) for each in values
        )


def page_of(database: Database, query: Query, numbers: Sequence[int]) -> Page:
    """One page of the trials of those numbers; the last one where an address asks for one beyond."""
    count = max(1, -(-len(numbers) // query.size))
    number = min(query.page, count)
    start = (number - 1) * query.size
    rows = rows_of(database, numbers[start : start + query.size])
    return Page(rows, len(numbers), number, count, start + 1)


def numbers_of(database: Database, query: Query) -> list[int]:
    """The numbers of the trials that an address asks for, in its order."""
    where, binds = query.where()
    sql, bound, order = query.order()
    rows = database.connection.execute(
        f"SELECT number FROM (SELECT number, {sql} AS sorted FROM trials WHERE experiment_id = ? AND {where}) "
        f"ORDER BY {order}",
        (*bound, database.experiment_id, *binds),
    )
    return [int(row[0]) for row in rows]


def rows_of(database: Database, numbers: Sequence[int]) -> list[Row]:
    """The trials of those numbers, in that order."""
    rows = [_row(row) for row in database.of_numbers(_COLUMNS, numbers)]
    newest = {row.number: _newest(database, row.number) for row in rows if row.is_running}
    return [row if row.number not in newest else _with(row, newest[row.number]) for row in rows]


def best_of(database: Database, name: str, direction: str) -> tuple[int, float] | None:
    """The best complete trial by one objective, and its value; of equal ones the first."""
    sql, binds = Column("", name, "metrics", name).expression()
    way = "DESC" if direction == "max" else "ASC"
    rows = database.connection.execute(
        f"SELECT number, value FROM (SELECT number, {sql} AS value FROM trials WHERE experiment_id = ? "
        f"AND state = ? AND is_feasible) WHERE typeof(value) IN ('integer', 'real') "
        f"ORDER BY value {way}, number LIMIT 1",
        (*binds, database.experiment_id, State.COMPLETE.value),
    ).fetchall()
    return (int(rows[0][0]), float(rows[0][1])) if rows else None


def states_of(database: Database) -> dict[State, int]:
    """How many trials are in each state, in the order in which the states are declared."""
    of_this = "? IS NOT NULL" if database.is_alone else "experiment_id = ?"
    rows = database.rows(f"SELECT state, COUNT(*) FROM trials WHERE {of_this} GROUP BY state")
    found: Mapping[str, int] = {row[0]: row[1] for row in rows}
    return {state: found[state.value] for state in State if state.value in found}


def differing(rows: Iterable[Row], columns: Iterable[Column]) -> set[str]:
    """The ids of the columns in which the rows are not all alike."""
    spelled = {column.id: {json.dumps(row.value(column), default=str) for row in rows} for column in columns}
    return {name for name, values in spelled.items() if len(values) > 1}


def _newest(database: Database, number: int) -> tuple[int, Mapping[str, Any]] | None:
    row = database.row(
        "SELECT step, metrics FROM reports WHERE experiment_id = ? AND number = ? "
        "ORDER BY replicate DESC, step DESC LIMIT 1",
        number,
    )
    return None if row is None else (int(row["step"]), metrics_of(row["metrics"]))


def _with(row: Row, newest: tuple[int, Mapping[str, Any]] | None) -> Row:
    if newest is None:
        return row
    return Row(**{**row.__dict__, "step": newest[0], "newest": newest[1]})


def _row(row: Any) -> Row:
    return Row(
        number=row["number"],
        trial_id=row["trial_id"],
        state=State(row["state"]),
        params=json_of(row["params"]),
        metrics=metrics_of(row["metrics"]),
        test_metrics=metrics_of(row["test_metrics"]),
        is_feasible=bool(row["is_feasible"]),
        reason=row["reason"],
        attempt=row["attempt"],
        device=row["device"],
        host=row["host"],
        pid=row["pid"],
        started=time_of(row["started_at"]),
        ended=time_of(row["ended_at"]),
    )
