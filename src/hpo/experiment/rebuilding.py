"""A state database that is gone or damaged: it is begun anew, and filled from the study and the directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hpo.experiment.earlier import Earlier
from hpo.experiment.sqlite import set_aside_if_damaged
from hpo.experiment.state_db import StateDB
from hpo.paths import ExperimentPaths
from hpo.stored import is_there
from hpo.stores import STATE_DB, place


def open_state_db(
    paths: ExperimentPaths, config: DictConfig, row: Mapping[str, Any], earlier: Earlier | None
) -> tuple[StateDB, str | None]:
    """The state database with the experiment's `row`, and what must be said of it."""
    where = place(config, STATE_DB, paths.state_db)
    was_there = not isinstance(where, Path) or where.exists()
    damaged = set_aside_if_damaged(where) if isinstance(where, Path) else None
    started_at = earlier.started_at if earlier is not None else ""
    database = StateDB(where, paths.experiment_id, config.db_timeout_s)
    database.open_experiment(row, started_at or None)
    if damaged is not None:
        return database, (
            f"the state database was damaged and is made again from the study; it is kept as {damaged}"
        )
    # where there is no study either, its scheduler had died before it made any
    if earlier is not None and not was_there and is_there(paths.study_db):
        return database, "the state database was gone and is made again from the study"
    return database, None
