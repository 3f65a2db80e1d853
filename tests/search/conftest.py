from __future__ import annotations

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
    with execution_whitelist(BUILT_IN):
        yield


@pytest.fixture
def open_experiment(quadratic: Callable[..., DictConfig]) -> Iterator[Callable[..., Experiment]]:
    """`open_experiment(total_trials=3)`: a real experiment on disk; closed at the end of the test."""
    opened = []

    def make(**values: Any) -> Experiment:
        opened.append(new_experiment(quadratic(verbose="silent", **values)))
        return opened[-1]

    yield make
    for experiment in opened:
        experiment.close(State.COMPLETE)
