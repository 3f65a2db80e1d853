from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.records import State
from hpo.targets import BUILT_IN
from tests.conftest import new_experiment


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    with execution_whitelist((*BUILT_IN, "tests.experiment.*")):
        yield


@pytest.fixture
def open_one(quadratic: Callable[..., DictConfig]) -> Iterator[Callable[..., Experiment]]:
    """`open_one(**values)`: an experiment of experiment=quadratic that tells nothing, closed in the end."""
    opened = []

    def make(**values: Any) -> Experiment:
        opened.append(new_experiment(quadratic(verbose="silent", **values)))
        return opened[-1]

    yield make
    for experiment in opened:
        experiment.close(State.COMPLETE)


def query(experiment: Experiment, sql: str) -> list[tuple[Any, ...]]:
    """The rows of the state database that `sql` asks for."""
    connection = sqlite3.connect(f"file:{experiment.paths.state_db}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
