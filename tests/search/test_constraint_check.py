from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from hpo.errors import ConfigError
from hpo.search.constraint_check import Constraints, read_constraints
from hpo.search.plan import Plan
from hpo.search.tree import SearchSpace

SPACE: dict[str, BaseDistribution] = {
    "task.x": FloatDistribution(-5.0, 5.0),
    "task.y": FloatDistribution(-5.0, 5.0),
}

Read = Callable[..., Constraints]


@pytest.fixture(scope="module")
def read(compose_run: Callable[..., DictConfig]) -> Read:
    """`read(["task.x < 1"], ["loss < 1"])`: the constraints of experiment=quadratic."""
    composed = compose_run("+experiment=quadratic", hydra=True)

    def of(
        hard: Iterable[Any] = (),
        soft: Iterable[Any] = (),
        space: Any = SPACE,
        planned: Iterable[Any] = (),
        is_all: bool = False,
    ) -> Constraints:
        config = composed.copy()
        with flag_override(config, ["struct", "readonly"], False):
            OmegaConf.update(config, "constraints", list(hard))
            OmegaConf.update(config, "soft_constraints", list(soft))
        return read_constraints(config, SearchSpace.of(space), Plan(list(planned), (), 10, is_all=is_all))

    return of


def test_constraints_that_can_be_kept_are_read(read: Read) -> None:
    constraints = read(["task.x + task.y < 0"], ["loss <= 3"])

    assert constraints.hard.broken({"task.x": 1.0, "task.y": 0.5}) == "task.x + task.y < 0"
    assert constraints.soft.violations({"loss": 5.0}, {"task.x": 0.0, "task.y": 0.0}) == {"loss <= 3": 2.0}


def test_without_constraints_there_is_nothing_to_keep(read: Read) -> None:
    constraints = read()

    assert (bool(constraints.hard), bool(constraints.soft)) == (False, False)
    assert constraints.hard.broken({"task.x": 1.0}) is None


def test_all_that_is_wrong_is_one_message(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(
            ["task.z < 0", "task.x < 0", "task.x <", "task.x + 1", "1 / (task.y - 5) < 1"],
            ["loss", "loss <= name"],
        )

    told = str(caught.value)
    assert "constraints[0]: task.z < 0\nneither the search space nor the configuration has a key task.z" in told
    assert "constraints[2]: the expression 'task.x <' cannot be read" in told
    assert "soft_constraints[0]: loss\nmust be one comparison" in told
    assert "constraints[1]" not in told.replace("soft_constraints[1]", "")


def test_what_raises_at_an_end_of_the_space_is_found(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(["task.x < 9", "1 / (task.y - 5) < 1", "task.x + 1"], ["loss <= name"])

    told = str(caught.value)
    assert "constraints[1]: 1 / (task.y - 5) < 1\ncannot be evaluated for task.y=5.0: ZeroDivisionError" in told
    assert "constraints[2]: task.x + 1\nmust be true or false, but is" in told
    assert "soft_constraints[0]: loss <= name\ncannot be evaluated for name='quadratic': TypeError" in told


def test_constraints_that_nothing_keeps_are_an_error_that_says_which_is_broken_how_often(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(["task.x > 6", "task.y <= 5"])

    assert str(caught.value).splitlines() == [
        "constraints: no trial could be run, since none of 1,000 planned and random proposals keeps them all",
        "constraints[0]: task.x > 6",
        "is broken by 1,000 of them",
        "constraints[1]: task.y <= 5",
        "is broken by 0 of them",
    ]


def test_what_is_planned_counts_as_what_can_be_run(read: Read) -> None:
    equal = ["task.x == task.y"]
    assert read(equal, planned=[{"task.x": 1.0, "task.y": 1.0}]).hard

    with pytest.raises(ConfigError, match="no trial could be run"):
        read(equal, planned=[{"task.x": 1.0, "task.y": 2.0}])


def test_where_everything_is_planned_that_alone_counts(read: Read) -> None:
    with pytest.raises(ConfigError, match="none of 2 planned proposals keeps them all"):
        read(["task.x < 1"], planned=[{"task.x": 1.0}, {"task.x": 2.0}], is_all=True)


def test_a_choice_that_holds_null_is_tried_with_null(read: Read) -> None:
    space: dict[str, BaseDistribution] = {"task.x": CategoricalDistribution([0.0, None, 1.0])}

    with pytest.raises(ConfigError, match=r"cannot be evaluated for task.x=None: TypeError: '<' not supported"):
        read(["task.x < 3"], space=space)
    assert read(["task.x == null or task.x < 3"], space=space).hard


def test_with_nothing_searched_the_configuration_is_held_against_them(read: Read) -> None:
    assert read(["task.x == 0"], space={}).hard
    with pytest.raises(ConfigError, match="no trial could be run"):
        read(["task.x == 1"], space={})


def test_the_constraints_are_nothing_that_a_trial_can_vary(compose_run: Callable[..., DictConfig]) -> None:
    assert OmegaConf.to_container(compose_run("+experiment=quadratic").constraints) == []
