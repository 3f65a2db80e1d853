from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hydra.utils import execution_whitelist

from hpo.experiment.experiment import Experiment
from hpo.targets import BUILT_IN


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    with execution_whitelist((*BUILT_IN, "tests.experiment.*")):
        yield


def query(experiment: Experiment, sql: str) -> list[tuple[Any, ...]]:
    """The rows of the state database that `sql` asks for."""
    connection = sqlite3.connect(f"file:{experiment.paths.state_db}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
