"""The rows of one experiment from one database into another: for readers of a server's, and to move house.

Numbers that a database gives itself (the ids of reports, of a study and its trials) are given anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from hpo.experiment.databases import engine_of, engine_options, making_tables, state_engine, url_of
from hpo.experiment.tables import experiments, metadata, reports
from hpo.stores import STATE_DB, Place

_BATCH = 2000
_STUDIES, _TRIALS = "studies", "trials"
_OF_A_STUDY = ("study_directions", "study_user_attributes", "study_system_attributes")
_OF_A_TRIAL = (
    *("trial_user_attributes", "trial_system_attributes", "trial_params", "trial_values"),
    *("trial_intermediate_values", "trial_heartbeats"),
)
_OF_OPTUNA = (_STUDIES, *_OF_A_STUDY, _TRIALS, *_OF_A_TRIAL)
_described: WeakKeyDictionary[sa.Engine, sa.MetaData] = WeakKeyDictionary()
Rows = list[dict[str, Any]]


def copy_state(source: sa.Connection, target: sa.Connection, experiment_id: str) -> None:
    """All rows of an experiment; the target must have the tables, and nothing of it."""
    for table in metadata.sorted_tables:
        _insert(target, table, _rows_of_state(source, table, experiment_id))


def delete_state(target: sa.Connection, experiment_id: str) -> None:
    for table in reversed(metadata.sorted_tables):
        target.execute(table.delete().where(table.c.experiment_id == experiment_id))


def state_as_data(source: sa.Connection, experiment_id: str) -> dict[str, Rows]:
    """All that is there of an experiment, to be compared."""
    return {table.name: _rows_of_state(source, table, experiment_id) for table in metadata.sorted_tables}


def copy_study(source: sa.Connection, target: sa.Connection, name: str) -> None:
    """A study with its trials, if it is there; the target must have Optuna's tables, and no study of that name."""
    study_id = _study_id(source, name)
    if study_id is None:
        return
    there = _tables(target)
    result = target.execute(there[_STUDIES].insert(), {"study_name": name})
    assert result.inserted_primary_key is not None
    new_id = result.inserted_primary_key[0]
    for table, rows in _of_study(source, study_id):
        _insert(target, there[table], [{**row, "study_id": new_id} for row in rows])
    numbers = _numbers(source, study_id)
    ids = {number: trial_id for trial_id, number in _numbers(target, new_id).items()}
    for table, rows in _of_trials(source, study_id):
        _insert(target, there[table], [{**row, "trial_id": ids[numbers[row["trial_id"]]]} for row in rows])


def delete_study(target: sa.Connection, name: str) -> None:
    study_id = _study_id(target, name)
    if study_id is None:
        return
    of_study = _ids(target, study_id)
    for table in _tables_of_trials(target):
        target.execute(table.delete().where(table.c.trial_id.in_(of_study)))
    for table in (*_tables_of_study(target), _tables(target)[_STUDIES]):
        target.execute(table.delete().where(table.c.study_id == study_id))


def study_as_data(source: sa.Connection, name: str) -> dict[str, Rows]:
    """All that is there of a study, to be compared: trials by their numbers, which a database does not change."""
    study_id = _study_id(source, name)
    if study_id is None:
        return {}
    numbers = _numbers(source, study_id)
    found = {table: [{**row, "study_id": None} for row in rows] for table, rows in _of_study(source, study_id)}
    for table, rows in _of_trials(source, study_id):
        found[table] = [{**row, "trial_id": numbers[row["trial_id"]]} for row in rows]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def make_study_tables(where: Place) -> None:
    """Optuna's, with the version that it looks for, where they are not there."""
    from optuna.storages import RDBStorage

    engine = engine_of(where)
    with making_tables(engine):
        storage = RDBStorage(url_of(where), engine_kwargs=engine_options(where))
    storage.remove_session()
    storage.engine.dispose()
    engine.dispose()


def make_state_tables(engine: sa.Engine) -> None:
    """Those of `state_engine`, where they are not there."""
    with making_tables(engine):
        schema = engine.get_execution_options().get("schema_translate_map")
        if schema:
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateSchema(schema[None], if_not_exists=True))
        metadata.create_all(engine)


def is_taken(key: str, where: Place, name: str) -> bool:
    """Whether a database has an experiment, or a study, of that name."""
    is_state = key == STATE_DB
    engine = state_engine(where) if is_state else engine_of(where)
    try:
        with engine.connect() as connection:
            if not is_state:
                return _study_id(connection, name) is not None
            schema = (engine.get_execution_options().get("schema_translate_map") or {}).get(None)
            if not sa.inspect(connection).has_table(experiments.name, schema=schema):
                return False
            found = sa.select(experiments.c.experiment_id).where(experiments.c.experiment_id == name)
            return connection.scalar(found) is not None
    finally:
        engine.dispose()


def count_study(source: sa.Connection, name: str) -> list[Any]:
    """Other than before as soon as a trial of the study has come, told something, or ended."""
    study_id = _study_id(source, name)
    if study_id is None:
        return []
    trials = _tables(source)[_TRIALS]
    columns = (
        *(trials.c.state, sa.func.count()),
        *(sa.func.max(trials.c.trial_id), sa.func.max(trials.c.datetime_complete)),
    )
    found = [
        sa.select(*columns).where(trials.c.study_id == study_id).group_by(trials.c.state).order_by(trials.c.state)
    ]
    of_study = _ids(source, study_id)
    for table in _tables_of_trials(source):
        (key,) = table.primary_key.columns
        found.append(sa.select(sa.func.count(), sa.func.max(key)).where(table.c.trial_id.in_(of_study)))
    found += [
        sa.select(sa.func.count()).where(table.c.study_id == study_id) for table in _tables_of_study(source)[:-1]
    ]
    return [[list(row) for row in source.execute(query)] for query in found]


def _rows_of_state(source: sa.Connection, table: sa.Table, experiment_id: str) -> Rows:
    columns = [column for column in table.c if column is not reports.c.id]
    query = sa.select(*columns).where(table.c.experiment_id == experiment_id).order_by(*table.primary_key.columns)
    return [dict(row) for row in source.execute(query).mappings()]


def _tables(connection: sa.Connection) -> Mapping[str, sa.Table]:
    """Optuna's, as the database describes them; nothing where it has none. Raises NoSuchTableError for a part."""
    engine = connection.engine
    if engine not in _described:
        described = sa.MetaData()
        there = set(sa.inspect(connection).get_table_names())
        described.reflect(connection, only=[name for name in _OF_OPTUNA if name in there])
        missing = [name for name in _OF_OPTUNA if name not in described.tables]
        if described.tables and missing:
            raise sa.exc.NoSuchTableError(f"there is no table {', '.join(missing)}")
        if missing:
            return {}
        _described[engine] = described
    return _described[engine].tables


def _tables_of_study(connection: sa.Connection) -> list[sa.Table]:
    """What belongs to a study itself, its trials last."""
    return [_tables(connection)[name] for name in (*_OF_A_STUDY, _TRIALS)]


def _tables_of_trials(connection: sa.Connection) -> list[sa.Table]:
    return [_tables(connection)[name] for name in _OF_A_TRIAL]


def _of_study(source: sa.Connection, study_id: int) -> Iterator[tuple[str, Rows]]:
    for table in _tables_of_study(source):
        yield table.name, _rows(source, table, table.c.study_id == study_id)


def _of_trials(source: sa.Connection, study_id: int) -> Iterator[tuple[str, Rows]]:
    for table in _tables_of_trials(source):
        yield table.name, _rows(source, table, table.c.trial_id.in_(_ids(source, study_id)))


def _rows(source: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> Rows:
    """In the order in which they were made, without the number that the database gave."""
    (key,) = table.primary_key.columns
    columns = [column for column in table.c if column is not key]
    return [dict(row) for row in source.execute(sa.select(*columns).where(where).order_by(key)).mappings()]


def _ids(connection: sa.Connection, study_id: int) -> sa.Select[Any]:
    trials = _tables(connection)[_TRIALS]
    return sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)


def _numbers(connection: sa.Connection, study_id: int) -> dict[int, int]:
    """The number of each trial, by the id that the database gave it."""
    trials = _tables(connection)[_TRIALS]
    query = sa.select(trials.c.trial_id, trials.c.number).where(trials.c.study_id == study_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _study_id(connection: sa.Connection, name: str) -> int | None:
    studies = _tables(connection).get(_STUDIES)
    if studies is None:
        return None
    found: int | None = connection.scalar(sa.select(studies.c.study_id).where(studies.c.study_name == name))
    return found


def _insert(target: sa.Connection, table: sa.Table, rows: Rows) -> None:
    for start in range(0, len(rows), _BATCH):
        target.execute(table.insert(), rows[start : start + _BATCH])
