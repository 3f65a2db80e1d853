"""Snapshots of an experiment from its files alone, over or still running: nothing that writes is made to wait."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from hpo.config import Direction
from hpo.errors import ExperimentError
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.progress.estimate import seconds_left
from hpo.progress.row import Row
from hpo.progress.snapshot import Best, EndedTrial, Snapshot, Standing, Warned
from hpo.records import COUNTED, State
from hpo.stored import json_of, metrics_of, reading, time_of

_MAX_ENDED = 5
_TAIL_BYTES = 1 << 16
_WARNING = " WARNING "
_LOG_TIME = "%Y-%m-%d %H:%M:%S,%f"
_OF_THIS = "experiment_id = :experiment_id"
_EXPERIMENT = (
    f"SELECT state, config, optim_metrics, best_trials, started_at, ended_at FROM experiments WHERE {_OF_THIS}"
)
_COUNTS = f"SELECT state, count(*) FROM trials WHERE {_OF_THIS} GROUP BY state"
_LAST_END = f"SELECT max(ended_at) FROM trials WHERE {_OF_THIS}"
_BEST = f"SELECT trial_id, metrics FROM trials WHERE {_OF_THIS} AND number IN (SELECT value FROM json_each(:best))"
_RUNNING = (
    f"SELECT number, trial_id, host, pid, device, started_at FROM trials WHERE {_OF_THIS} AND state = 'RUNNING' "
    "ORDER BY started_at, number LIMIT :limit"
)
_ENDED = (
    f"SELECT number, state, device, started_at, ended_at, metrics, reason FROM trials WHERE {_OF_THIS} "
    "AND ended_at IS NOT NULL AND started_at IS NOT NULL AND state != 'RUNNING' "
    "ORDER BY ended_at DESC, number DESC LIMIT :limit"
)
_NUM_SINCE = f"SELECT state, count(*) FROM trials WHERE {_OF_THIS} AND ended_at >= :since GROUP BY state"
# the newest two of a trial tell its speed
_REPORTS = (
    f"SELECT replicate, step, metrics, time FROM reports WHERE {_OF_THIS} AND number = :number "
    "ORDER BY replicate DESC, step DESC LIMIT 2"
)


def snapshot_of(directory: Path, *, said: str, is_running: bool, max_running: int) -> Snapshot:
    """How the experiment stands, with the first `max_running` of its running trials.

    `is_running` says whether its scheduler is at work. Raises ExperimentError when the state database cannot be
    read.
    """
    paths = ExperimentPaths.of(directory.absolute())
    try:
        with closing(reading(paths.state_db)) as connection:
            connection.row_factory = sqlite3.Row
            return _Reader(connection, paths).snapshot(said, is_running, max_running)
    except sqlite3.Error as error:
        raise ExperimentError(f"the state database {paths.state_db} cannot be read: {error}") from error


class _Reader:
    def __init__(self, connection: sqlite3.Connection, paths: ExperimentPaths) -> None:
        self._connection = connection
        self._paths = paths
        self._now = time.time()

    def snapshot(self, said: str, is_running: bool, max_running: int) -> Snapshot:
        (experiment,) = self._rows(_EXPERIMENT)
        config = json_of(experiment["config"])
        directions = json_of(experiment["optim_metrics"])
        objectives = [Objective(name, Direction(direction)) for name, direction in directions.items()]
        counts = {State(row[0]): int(row[1]) for row in self._rows(_COUNTS)}
        standing = Standing(counts, self._best(experiment["best_trials"], objectives))
        num_replicates = config.get("num_replicates", 1)
        rows = [self._row(row, num_replicates) for row in self._rows(_RUNNING, limit=max_running)]
        began = _seconds(experiment["started_at"])
        ended = _seconds(experiment["ended_at"])
        # a grid, or a search that another budget has ended, may have come to fewer
        is_over = State(experiment["state"]) is State.COMPLETE
        total = standing.num_done if is_over else config.get("total_trials")
        # of a scheduler that died, the last that it wrote
        until = self._now if is_running else ended or _seconds(self._rows(_LAST_END)[0][0]) or began or self._now
        return Snapshot(
            experiment_id=self._paths.experiment_id,
            directory=str(self._paths.root),
            said=said,
            objectives=tuple(objective.name for objective in objectives),
            standing=standing,
            total=total,
            elapsed_s=until - (began if began is not None else until),
            left_s=self._left(standing, rows, total) if is_running and total else None,
            running=tuple(row.shown() for row in rows),
            num_running=counts.get(State.RUNNING, 0),
            ended=tuple(_ended(row) for row in self._rows(_ENDED, limit=_MAX_ENDED)),
            warning=newest_warning(self._paths.log),
            time=until,
            num_replicates=num_replicates,
        )

    def _best(self, best_trials: str | None, objectives: Sequence[Objective]) -> Best | None:
        first = objectives[0]
        found = [
            (row["trial_id"], metrics_of(row["metrics"])) for row in self._rows(_BEST, best=best_trials or "[]")
        ]
        values = [(float(metrics.get(first.name, math.nan)), name) for name, metrics in found]
        values = [(value, name) for value, name in values if not math.isnan(value)]
        if not values:
            return None
        choose = min if first.direction is Direction.min else max
        value, name = choose(values, key=lambda entry: entry[0])
        return Best(name, first.name, value, len(found))

    def _row(self, row: sqlite3.Row, num_replicates: int) -> Row:
        started = _seconds(row["started_at"]) or self._now
        made = Row(
            row["number"],
            started,
            num_replicates=num_replicates,
            device=row["device"],
            pid=row["pid"],
            host=row["host"],
            directory=self._paths.trial(row["trial_id"]).root,
        )
        for report in reversed(self._rows(_REPORTS, number=row["number"])):
            at = _seconds(report["time"]) or started
            if at < started:  # an earlier attempt's, which this one goes on from
                made.resumed(report["step"], report["replicate"], started)
            else:
                made.heard(metrics_of(report["metrics"]), report["step"], report["replicate"], at)
        made.look(self._now)
        return made

    def _left(self, standing: Standing, rows: Sequence[Row], total: int) -> float | None:
        """By what was done since the scheduler began, which its lock tells."""
        try:
            since = datetime.fromisoformat(json.loads(self._paths.lock.read_text(encoding="utf-8"))["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        ended = self._rows(_NUM_SINCE, since=since.replace(tzinfo=None).isoformat(sep=" "))
        num_running = standing.counts.get(State.RUNNING, 0)
        done = [row.done for row in rows] + [None] * (num_running - len(rows))
        return seconds_left(
            self._now - since.timestamp(),
            sum(row[1] for row in ended if row[0] in COUNTED),
            total - standing.num_done,
            [row.gained for row in rows],
            [None if part is None else 1.0 - part for part in done],
        )

    def _rows(self, sql: str, **values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(sql, {"experiment_id": self._paths.experiment_id, **values}).fetchall()


def newest_warning(log: Path) -> Warned | None:
    """The last warning in the end of mp.log."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        at, separator, text = line.partition(_WARNING)
        if separator:
            try:
                return Warned(datetime.strptime(at, _LOG_TIME).timestamp(), text)
            except ValueError:
                continue  # the word in another place
    return None


def _ended(row: sqlite3.Row) -> EndedTrial:
    return EndedTrial(
        row["number"],
        State(row["state"]),
        _seconds(row["started_at"]),
        _seconds(row["ended_at"]) or 0.0,
        device=row["device"],
        metrics=metrics_of(row["metrics"]),
        reason=row["reason"],
    )


def _seconds(text: str | None) -> float | None:
    at = time_of(text)
    return at.timestamp() if at is not None else None
