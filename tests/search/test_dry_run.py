from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler

from hpo.errors import DataError, ExperimentError
from hpo.objectives import objectives
from hpo.overrides import encode
from hpo.search.dry_run import describe
from hpo.search.plan import Plan
from hpo.search.sampler import SamplerChoice
from hpo.search.study import Study
from hpo.search.tree import SearchSpace

SPACE = SearchSpace.of({"task.x": FloatDistribution(-5.0, 5.0), "task.y": CategoricalDistribution([None, "null"])})

Make = Callable[..., DictConfig]


def choice() -> SamplerChoice:
    return SamplerChoice(lambda number: RandomSampler(seed=number))


def test_it_shows_the_proposals_that_the_search_would_make(quadratic: Make) -> None:
    config = quadratic()
    study = Study(lambda number: RandomSampler(seed=number), SPACE, objectives(config))

    shown = describe(config, SPACE, choice(), Plan((), (), 30))

    for number in range(5):
        assert f"  {number}: {' '.join(encode(study.ask().params))}" in shown.splitlines()
    assert "task.x: FloatDistribution(high=5.0" in shown
    assert "loss: min" in shown
    assert "first 5 of 30 trials, 2 at a time" in shown


def test_a_budget_beyond_the_grid_is_cut_to_it(quadratic: Make) -> None:
    shown = describe(quadratic(), SPACE, choice(), Plan((), ("the grid has 3 points",), 3))

    assert "the grid has 3 points\nfirst 3 of 3 trials" in shown


def test_it_names_the_directory_and_does_not_make_it(quadratic: Make, tmp_path: Path) -> None:
    shown = describe(quadratic(experiment_id="mine"), SPACE, choice(), Plan((), (), 30))

    assert shown.endswith(str(tmp_path / "experiments" / "experiment_mine"))
    assert not (tmp_path / "experiments").exists()


def test_it_fails_where_the_experiment_would(quadratic: Make, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "experiment_mine").mkdir(parents=True)
    with pytest.raises(ExperimentError, match="experiment_id=mine is taken"):
        describe(quadratic(experiment_id="mine"), SPACE, choice(), Plan((), (), 30))

    data = {"_target_": "hpo.data.mnist.Mnist", "root": str(tmp_path), "fallback": "error", "val_fraction": None}
    with pytest.raises(DataError):
        describe(quadratic(data_config={**data, "seed": 1}), SPACE, choice(), Plan((), (), 30))
