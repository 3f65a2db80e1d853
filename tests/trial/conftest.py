from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.targets import BUILT_IN
from hpo.trial.metadata import Metadata

TASKS = "tests.trial.example_tasks"


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    with execution_whitelist((*BUILT_IN, f"{TASKS}.*")):
        yield


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    """A trial's directory as the experiment prepares it."""
    paths = TrialPaths(tmp_path / "0003_abcd")
    for folder in (paths.root, paths.best_checkpoints, paths.checkpoints, paths.dashboard):
        folder.mkdir()
    Metadata(paths.metadata, {}).update(number=3, trial_id="0003_abcd", params={"task.x": 1.0}, log_iteration=0)
    return paths


@pytest.fixture
def config_of(quadratic: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """`config_of("returns", kind="none")`: a run configuration with one of the example tasks."""

    def make(task: str, values: Any = None, **options: Any) -> DictConfig:
        return quadratic(task={"_target_": f"{TASKS}.{task}", **options}, **(values or {}))

    return make
