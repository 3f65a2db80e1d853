"""What the pages say of an experiment as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from hpo.config import Direction
from hpo.dashboard.database import Database, UnreadableError, opened
from hpo.dashboard.store import Stamp, Store, stamp_of
from hpo.dashboard.table import Row, best_of, rows_of, states_of
from hpo.experiment.lock import holder_of
from hpo.objectives import DEFAULT, Objective
from hpo.paths import ExperimentPaths
from hpo.records import COUNTED, State
from hpo.shell import resume_command
from hpo.stored import readable, time_of

_EXPERIMENT = (
    "SELECT name, tags, notes, state, optim_metrics, best_trials, search_space, command_line, working_directory, "
    "git_commit, git_dirty, data_source, host, started_at, ended_at, "
    "json_extract(config, '$.total_trials') AS total, json_extract(config, '$.concurrent_trials') AS concurrent "
    "FROM experiments WHERE experiment_id = ?"
)
_MEAN = (
    "SELECT AVG((julianday(ended_at) - julianday(started_at)) * 86400.0) FROM (SELECT started_at, ended_at "
    "FROM trials WHERE experiment_id = ? AND ended_at IS NOT NULL ORDER BY number DESC LIMIT 200)"
)


class Phase(StrEnum):
    """What becomes of an experiment, in a word."""

    RUNNING = "running"
    DIED = "its scheduler died"
    COMPLETE = "complete"
    WAITING = "waiting"
    FAIL = "failed"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Best:
    """The best trial by one objective."""

    objective: Objective
    row: Row
    value: float


@dataclass(frozen=True)
class Summary:
    """An experiment as a whole."""

    experiment_id: str
    name: str | None
    tags: tuple[str, ...]
    notes: str | None
    phase: Phase
    holder: str | None
    objectives: tuple[Objective, ...]
    best: tuple[Best, ...]
    pareto: tuple[int, ...]
    counts: Mapping[State, int]
    total: int | None
    concurrent: int
    search_space: Mapping[str, Any]
    started: datetime | None
    ended: datetime | None
    mean_s: float | None
    last_report: datetime | None
    about: Mapping[str, str]

    @property
    def num_done(self) -> int:
        return sum(self.counts.get(state, 0) for state in COUNTED)

    @property
    def num_trials(self) -> int:
        return sum(self.counts.values())

    @property
    def is_running(self) -> bool:
        return self.phase is Phase.RUNNING

    @property
    def duration_s(self) -> float | None:
        if self.started is None or self.last_seen is None:
            return None
        return (self.last_seen - self.started).total_seconds()

    @property
    def last_seen(self) -> datetime | None:
        """When it ended, or its scheduler died, as far as that is known; None as long as it runs."""
        return None if self.is_running else self.ended or self.last_report or self.started

    @property
    def left_s(self) -> float | None:
        """How long it may take still, by what its trials took so far."""
        if not self.is_running or self.total is None or self.mean_s is None:
            return None
        return max(0, self.total - self.num_done) * self.mean_s / max(1, self.concurrent)

    @property
    def is_over(self) -> bool:
        """Whether no further trial is to be expected."""
        return self.phase in (Phase.COMPLETE, Phase.FAIL)

    @property
    def names(self) -> list[str]:
        return [objective.name for objective in self.objectives]


@dataclass(frozen=True)
class Broken:
    """An experiment that cannot be read, and what is there of it all the same."""

    experiment_id: str
    told: str
    is_passing: bool
    holder: str | None
    num_directories: int
    resume: str
    phase: Phase = Phase.UNREADABLE
    name: str | None = None

    @property
    def is_running(self) -> bool:
        return self.is_passing or self.holder is not None


def summary_of(store: Store, paths: ExperimentPaths, stamp: Stamp | None = None) -> Summary | Broken:
    """What is known of an experiment; found out again only when its files have changed."""
    try:
        return store.kept.get(("summary", paths.root), stamp or stamp_of(paths), lambda: _read(store, paths))
    except UnreadableError as error:
        return broken(paths, error)


def broken(paths: ExperimentPaths, error: UnreadableError) -> Broken:
    directories = sum(1 for _ in paths.root.glob(f"*/{paths.trial('').metadata.name}"))
    told, holder = str(error), holder_of(paths.lock)
    return Broken(paths.experiment_id, told, error.is_passing, holder, directories, resume_command(paths.root))


def _read(store: Store, paths: ExperimentPaths) -> Summary:
    with opened(paths) as database:
        row = database.row(_EXPERIMENT)
        if row is None:
            raise UnreadableError(f"its state database {paths.state_db.name} has no experiment of that id")
        return _summary(store, paths, database, row)


def _summary(store: Store, paths: ExperimentPaths, database: Database, row: Any) -> Summary:
    holder = holder_of(paths.lock)
    entries = json.loads(row["optim_metrics"]) or DEFAULT
    objectives = tuple(Objective(name, Direction(direction)) for name, direction in entries.items())
    counts = states_of(database)
    # as long as no further one is complete it stays as it is
    known = (readable(paths.state_db).stat().st_ino, counts.get(State.COMPLETE))
    best = []
    for objective in objectives:
        name, way = objective.name, objective.direction.value
        find = partial(best_of, database, name, way)
        found = store.kept.get(("best", paths.root, name, way), known, find)
        if found is not None:
            best.append(Best(objective, rows_of(database, [found[0]])[0], found[1]))
    mean = database.rows(_MEAN)
    reported = database.rows(
        "SELECT time FROM reports NOT INDEXED WHERE experiment_id = ? ORDER BY id DESC LIMIT 1"
    )
    total, concurrent = row["total"], row["concurrent"]
    phase = _phase(State(row["state"]), holder)
    if phase is Phase.COMPLETE:
        # of a grid or an ablation the configured number may be more than there is to try
        total = sum(counts.get(state, 0) for state in COUNTED)
    is_dirty = " (with changes that are not committed)" if row["git_dirty"] else ""
    about = {
        "command": row["command_line"],
        "working directory": row["working_directory"],
        "data": row["data_source"],
        "host": row["host"],
        "git commit": f"{row['git_commit']}{is_dirty}" if row["git_commit"] else None,
        "directory": str(paths.root),
    }
    return Summary(
        experiment_id=paths.experiment_id,
        name=row["name"],
        tags=tuple(map(str, json.loads(row["tags"] or "[]"))),
        notes=row["notes"],
        phase=phase,
        holder=holder,
        objectives=objectives,
        best=tuple(best),
        pareto=tuple(json.loads(row["best_trials"] or "[]")),
        counts=counts,
        total=total if isinstance(total, int) else None,
        concurrent=concurrent if isinstance(concurrent, int) else 1,
        search_space=json.loads(row["search_space"] or "{}"),
        started=time_of(row["started_at"]),
        ended=time_of(row["ended_at"]),
        mean_s=mean[0][0],
        last_report=time_of(reported[0][0]) if reported else None,
        about={name: str(value) for name, value in about.items() if value},
    )


def _phase(state: State, holder: str | None) -> Phase:
    if holder is not None:
        return Phase.RUNNING
    found = {
        State.RUNNING: Phase.DIED,
        State.COMPLETE: Phase.COMPLETE,
        State.FAIL: Phase.FAIL,
        State.FAIL_RECOVERABLE: Phase.FAIL,
    }
    return found.get(state, Phase.WAITING)
