"""Optuna's study on disk, written through: one transaction when a trial is proposed, one when it ends.

It writes the tables behind RDBStorage: its public methods take a transaction for each value and ten times as long.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.experiment.copying import make_study_tables
from hpo.experiment.databases import engine_options, url_of
from hpo.experiment.reconnecting import reconnect
from hpo.stored import SAMPLERS
from hpo.stores import Place


def _table(model: Any) -> sa.Table:
    table = model.__table__
    assert isinstance(table, sa.Table)
    return table


_TRIALS = _table(models.TrialModel)
_PARAMS = _table(models.TrialParamModel)
_VALUES = _table(models.TrialValueModel)
_INTERMEDIATE_VALUES = _table(models.TrialIntermediateValueModel)
_SYSTEM_ATTRIBUTES = _table(models.TrialSystemAttributeModel)
_USER_ATTRIBUTES = _table(models.TrialUserAttributeModel)


class StudyFile:
    """The study of one experiment in a database that `optuna.load_study` opens: a new or an earlier one.

    `found` are the trials that an earlier search left, by number, and `attributes` what its sampler noted.
    """

    def __init__(
        self, where: Place, name: str, directions: Sequence[StudyDirection], timeout_s: float = 0.0
    ) -> None:
        """`timeout_s` is for how long a server may be away."""
        if not isinstance(where, Path):
            make_study_tables(where)
        self._storage = RDBStorage(url_of(where), engine_kwargs=engine_options(where))
        reconnect(self._storage.engine, where, timeout_s)
        self.found: list[FrozenTrial] = []
        try:
            self._study_id = self._storage.get_study_id_from_name(name)
        except KeyError:
            self._study_id = self._storage.create_new_study(directions, name)
        else:
            self.found = self._storage.get_all_trials(self._study_id, deepcopy=False)
        self._trial_ids = {trial.number: trial._trial_id for trial in self.found}
        self.attributes = self._storage.get_study_system_attrs(self._study_id)
        self._study_attributes = dict(self.attributes)
        self._reports: list[dict[str, Any]] = []

    def note_sampler(self, name: str) -> str | None:
        """Add a sampler to those that the study names, unless it is the last of them; the one that was, if so."""
        earlier = ["unknown"] if self.found else []
        noted = list(self._storage.get_study_user_attrs(self._study_id).get(SAMPLERS, earlier))
        if name in noted[-1:]:
            return None
        self._storage.set_study_user_attr(self._study_id, SAMPLERS, [*noted, name])
        return noted[-1] if noted else None

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that has been proposed, with its parameters."""
        with self._storage.engine.begin() as connection:
            result = connection.execute(
                _TRIALS.insert(),
                {
                    "number": trial.number,
                    "study_id": self._study_id,
                    "state": trial.state,
                    "datetime_start": _utc(trial.datetime_start),
                },
            )
            assert result.inserted_primary_key is not None
            trial_id = int(result.inserted_primary_key[0])
            _insert(connection, _PARAMS, _param_rows(trial_id, trial))
            _insert(connection, _SYSTEM_ATTRIBUTES, _attribute_rows(trial_id, trial.system_attrs))
        self._trial_ids[trial.number] = trial_id

    def report(self, number: int, step: int, value: float) -> None:
        """Keep an intermediate value for the next `flush`."""
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        self._reports.append(
            {
                "trial_id": self._trial_ids[number],
                "step": step,
                "intermediate_value": stored,
                "intermediate_value_type": kind,
            }
        )

    def rewind(self, trial: FrozenTrial) -> None:
        """Make the intermediate values of a trial those that it has now, instead of those that were written."""
        trial_id = self._trial_ids[trial.number]
        self._reports = [row for row in self._reports if row["trial_id"] != trial_id]
        with self._storage.engine.begin() as connection:
            connection.execute(_INTERMEDIATE_VALUES.delete().where(_INTERMEDIATE_VALUES.c.trial_id == trial_id))
            for step, value in trial.intermediate_values.items():
                self.report(trial.number, step, value)
            self._write_reports(connection)

    def widen(self, name: str, distribution: BaseDistribution) -> None:
        """Give a parameter of all trials another distribution, which holds their values."""
        with self._storage.engine.begin() as connection:
            for trial in self.found:
                if name in trial.params:
                    connection.execute(
                        _PARAMS.update().where(
                            _PARAMS.c.trial_id == trial._trial_id, _PARAMS.c.param_name == name
                        ),
                        {
                            "param_value": distribution.to_internal_repr(trial.params[name]),
                            "distribution_json": distribution_to_json(distribution),
                        },
                    )

    def flush(self) -> None:
        """Write the reports that wait, in one transaction."""
        if self._reports:
            with self._storage.engine.begin() as connection:
                self._write_reports(connection)

    def _write_reports(self, connection: sa.Connection) -> None:
        _insert(connection, _INTERMEDIATE_VALUES, self._reports)
        self._reports.clear()

    def end(self, trial: FrozenTrial, known_attributes: frozenset[str]) -> None:
        """Write a trial's end: state, values, the reports that wait, and attributes beyond `known_attributes`."""
        trial_id = self._trial_ids[trial.number]
        new_attributes = {key: value for key, value in trial.system_attrs.items() if key not in known_attributes}
        with self._storage.engine.begin() as connection:
            self._write_reports(connection)
            _insert(connection, _VALUES, _value_rows(trial_id, trial))
            _insert(connection, _SYSTEM_ATTRIBUTES, _attribute_rows(trial_id, new_attributes))
            _insert(connection, _USER_ATTRIBUTES, _attribute_rows(trial_id, trial.user_attrs))
            connection.execute(
                _TRIALS.update().where(_TRIALS.c.trial_id == trial_id),
                {"state": trial.state, "datetime_complete": _utc(trial.datetime_complete)},
            )

    def copy_attributes(self, memory: BaseStorage, study_id: int) -> None:
        """Write what a sampler has noted about the whole study since the last call."""
        for key, value in memory.get_study_system_attrs(study_id).items():
            if self._study_attributes.get(key) != value:
                self._study_attributes[key] = value
                self._storage.set_study_system_attr(self._study_id, key, value)

    def close(self) -> None:
        self.flush()
        self._storage.remove_session()
        self._storage.engine.dispose()


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna's times are local; its tables hold UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment is not None else None


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _param_rows(trial_id: int, trial: FrozenTrial) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _value_rows(trial_id: int, trial: FrozenTrial) -> list[dict[str, Any]]:
    rows = []
    for objective, value in enumerate(trial.values or ()):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        rows.append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
    return rows


def _attribute_rows(trial_id: int, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
    ]
