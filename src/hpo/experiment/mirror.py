"""A copy of what a server has of one experiment, in an SQLite file of the user's cache, for whoever reads.

It is made anew where something has changed, at most once a second, and seldomer where that takes long. Where the
server does not answer, the copy stays as it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hpo.cache_folder import cache_folder
from hpo.experiment import copying
from hpo.experiment.databases import engine_of, state_engine
from hpo.experiment.tables import attempts, experiments, replicates, reports, trials
from hpo.files import replace_file
from hpo.paths import ExperimentPaths, MirrorPaths
from hpo.stores import STATE_DB, key_of, shown

_PERIOD_S = 1.0
# a copy that takes a second is made every tenth
_MAX_SHARE = 0.1
_engines: dict[tuple[bool, str], sa.Engine] = {}
_due: dict[Path, float] = {}
stale: dict[Path, str] = {}
"""By its copy, why a server could not be asked the last time."""


def mirror_of(file: Path, url: str) -> Path:
    """The copy of the database that `file` would be if it were not at `url`.

    Raises sqlite3.OperationalError where there is none and none can be made.
    """
    digest = hashlib.sha256(f"{shown(url)} {file}".encode()).hexdigest()[:16]
    paths = MirrorPaths(cache_folder(), digest, file.name)
    if time.monotonic() < _due.get(paths.database, 0.0):
        return paths.database
    began = time.monotonic()
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        with _alone(paths.lock, must_wait=not paths.seen.exists()) as is_alone:
            if is_alone:
                _refresh(paths, file, url)
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError, OSError) as error:
        first_line = str(getattr(error, "orig", None) or error).partition("\n")[0]
        told = f"{key_of(file)}={shown(url)}: {shown(first_line)}"
        if not paths.seen.exists():
            raise sqlite3.OperationalError(told) from error
        stale[paths.database] = told
    else:
        stale.pop(paths.database, None)
    now = time.monotonic()
    _due[paths.database] = now + max(_PERIOD_S, (now - began) / _MAX_SHARE)
    return paths.database


def _refresh(paths: MirrorPaths, file: Path, url: str) -> None:
    name = ExperimentPaths.of(file.parent).experiment_id
    is_state = key_of(file) == STATE_DB
    engine = _engines.get((is_state, url))
    if engine is None:
        # a reader may be one of many, and holds no connection while it reads nothing
        make = state_engine if is_state else engine_of
        engine = _engines[is_state, url] = make(url, poolclass=sa.NullPool)
    with _snapshot(engine) as source:
        seen = json.dumps(_seen_of_state(source, name) if is_state else _seen_of_study(source, name), default=str)
        if paths.database.exists() and paths.seen.exists() and paths.seen.read_text(encoding="utf-8") == seen:
            return
        target = engine_of(paths.database)
        try:
            if is_state:
                copying.make_state_tables(target)
                with target.begin() as connection:
                    copying.delete_state(connection, name)
                    copying.copy_state(source, connection, name)
            else:
                if not paths.database.exists():
                    copying.make_study_tables(paths.database)
                with target.begin() as connection:
                    copying.delete_study(connection, name)
                    copying.copy_study(source, connection, name)
        finally:
            target.dispose()
    replace_file(paths.seen, seen.encode())


def _seen_of_state(source: sa.Connection, name: str) -> Any:
    """Other than before as soon as something has changed that a reader could see."""
    of_trials = (
        sa.select(
            trials.c.state, sa.func.count(), sa.func.max(trials.c.started_at), sa.func.max(trials.c.ended_at)
        )
        .where(trials.c.experiment_id == name)
        .group_by(trials.c.state)
        .order_by(trials.c.state)
    )
    counts = [
        sa.select(sa.func.count(), sa.func.max(reports.c.id)).where(reports.c.experiment_id == name),
        sa.select(sa.func.count(), sa.func.max(replicates.c.ended_at)).where(replicates.c.experiment_id == name),
        sa.select(sa.func.count(), sa.func.max(attempts.c.ended_at)).where(attempts.c.experiment_id == name),
        sa.select(sa.func.sum(trials.c.attempt), sa.func.count(trials.c.test_metrics)).where(
            trials.c.experiment_id == name
        ),
        sa.select(experiments.c.state, experiments.c.ended_at, experiments.c.best_trials).where(
            experiments.c.experiment_id == name
        ),
    ]
    return [[list(row) for row in source.execute(query)] for query in (of_trials, *counts)]


def _seen_of_study(source: sa.Connection, name: str) -> Any:
    return copying.count_study(source, name)


def _snapshot(engine: sa.Engine) -> sa.Connection:
    """All tables as they are at one moment."""
    connection = engine.connect()
    if engine.dialect.name != "postgresql":
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ")


@contextmanager
def _alone(lock: Path, *, must_wait: bool) -> Iterator[bool]:
    """Whether no other process is about to do the same; one that has nothing to read waits for it."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if must_wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
