"""The experiment that is there already: one whose scheduler died before it had written anything of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hpo.errors import ExperimentError
from hpo.experiment.data_source import find_data_source
from hpo.experiment.earlier import check_same_training, find_earlier
from hpo.experiment.experiment import Experiment
from hpo.paths import ExperimentPaths, temporary_for
from hpo.records import State


@pytest.fixture
def config(quadratic: Callable[..., DictConfig]) -> DictConfig:
    return quadratic(experiment_id="mine", resume=True)


@pytest.fixture
def unborn(config: DictConfig) -> ExperimentPaths:
    """What a kill leaves while default_config.yaml is written."""
    paths = ExperimentPaths(Path(config.experiment_dir), "mine")
    paths.root.mkdir(parents=True)
    paths.lock.write_text('{"host"')
    temporary_for(paths.config).write_text("name: quad")
    return paths


def test_it_begins_in_the_directory_that_is_there(config: DictConfig, unborn: ExperimentPaths) -> None:
    earlier = find_earlier(config)
    assert earlier is not None
    check_same_training(earlier, config, None)

    experiment = Experiment(config, find_data_source(config), earlier)
    experiment.close(State.COMPLETE)

    assert "experiment_id: mine\n" in unborn.config.read_text()
    assert not unborn.earlier_config(1).exists()
    assert not unborn.temporary


def test_a_directory_of_something_else_is_refused(config: DictConfig, unborn: ExperimentPaths) -> None:
    (unborn.root / "notes.txt").write_text("mine")

    with pytest.raises(ExperimentError, match=f"it has no {unborn.config.name}"):
        find_earlier(config)
