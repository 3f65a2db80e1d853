from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler

from hpo.errors import DataError, ExperimentError
from hpo.objectives import objectives
from hpo.overrides import encode
from hpo.search.constraint_check import Constraints
from hpo.search.constraints import HardConstraints
from hpo.search.dry_run import describe
from hpo.search.method import Method
from hpo.search.plan import Plan
from hpo.search.sampler import SamplerChoice
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.study import Study
from hpo.search.tree import SearchSpace

SPACE = SearchSpace.of({"task.x": FloatDistribution(-5.0, 5.0), "task.y": CategoricalDistribution([None, "null"])})

Make = Callable[..., DictConfig]


def method(config: DictConfig, plan: Plan | None = None, hard: Sequence[str] = ()) -> Method:
    return Method(
        SPACE,
        SamplerChoice(lambda number: RandomSampler(seed=number)),
        plan or Plan((), (), total_trials=30),
        Constraints(HardConstraints.of(hard, config, SPACE.keys), SoftConstraints(())),
    )


def test_it_shows_the_proposals_that_the_search_would_make(quadratic: Make) -> None:
    config = quadratic()
    study = Study(lambda number: RandomSampler(seed=number), SPACE, objectives(config))

    shown = describe(config, method(config))

    for number in range(5):
        assert f"  {number}: {' '.join(encode(study.ask().params))}" in shown.splitlines()
    assert "task.x: -5.0 to 5.0\n" in shown
    assert "loss: min" in shown
    assert "first 5 of 30 trials, 2 at a time" in shown


def test_a_proposal_that_breaks_a_constraint_is_shown_as_what_is_not_run(quadratic: Make) -> None:
    config = quadratic()
    planned = Plan([{"task.x": 1.0, "task.y": None}], (), 30)

    shown = describe(config, method(config, planned, ["task.x < 0"])).splitlines()

    first = shown.index("first 5 of 30 trials, 2 at a time:") + 1
    proposals = shown[first : shown.index("directory (the last four digits are drawn at each launch):")]
    assert proposals[0] == "  0: task.x=1.0 task.y=null (PRUNED_INVALID: breaks the constraint task.x < 0)"
    assert len([line for line in proposals if "task.x=-" in line]) == 5
    assert all(("PRUNED_INVALID" in line) == ("task.x=-" not in line) for line in proposals)


def test_a_budget_beyond_the_grid_is_cut_to_it(quadratic: Make) -> None:
    shown = describe(quadratic(), method(quadratic(), Plan((), ("the grid has 3 points",), 3)))

    assert "the grid has 3 points\nfirst 3 of 3 trials" in shown


def test_it_names_the_directory_and_does_not_make_it(quadratic: Make, tmp_path: Path) -> None:
    config = quadratic(experiment_id="mine")

    shown = describe(config, method(config))

    assert shown.endswith(str(tmp_path / "experiments" / "experiment_mine"))
    assert not (tmp_path / "experiments").exists()


def test_it_fails_where_the_experiment_would(quadratic: Make, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "experiment_mine").mkdir(parents=True)
    taken = quadratic(experiment_id="mine")
    with pytest.raises(ExperimentError, match="experiment_id=mine is taken"):
        describe(taken, method(taken))

    data = {"_target_": "hpo.data.mnist.Mnist", "root": str(tmp_path), "fallback": "error", "val_fraction": None}
    with pytest.raises(DataError):
        describe(quadratic(data_config={**data, "seed": 1}), method(taken))
