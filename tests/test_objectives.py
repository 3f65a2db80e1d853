from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hpo.config import Direction, RunConfig
from hpo.errors import ObjectiveError
from hpo.objectives import Objective, objective_values, objectives


def of(**optim_metrics: str | None) -> tuple[Objective, ...]:
    config = OmegaConf.structured(RunConfig)
    config.optim_metrics = {name: Direction[way] if way else None for name, way in optim_metrics.items()}
    return objectives(config)


def test_objectives_keep_their_order_and_a_null_leaves_one_out() -> None:
    assert of(accuracy="max", val_loss=None, size="min") == (
        Objective("accuracy", Direction.max),
        Objective("size", Direction.min),
    )


def test_val_loss_is_minimized_when_nothing_is_named() -> None:
    assert of() == of(val_loss=None) == (Objective("val_loss", Direction.min),)


def test_better_is_lower_or_higher_as_the_direction_says_and_equal_is_not_better() -> None:
    low, high = of(a="min", b="max")

    assert low.is_better(1.0, 2.0)
    assert not low.is_better(2.0, 1.0)
    assert high.is_better(2.0, 1.0)
    assert not low.is_better(1.0, 1.0)
    assert not high.is_better(1.0, 1.0)


def test_a_missing_objective_is_an_error_that_names_it_and_what_there_is() -> None:
    with pytest.raises(
        ObjectiveError, match=r"names val_f1, which no evaluation produces; there are: accuracy, loss"
    ):
        objective_values(of(loss="min", val_f1="max"), {"loss": 1.0, "accuracy": 0.5})


def test_values_come_in_the_order_of_the_objectives() -> None:
    assert objective_values(of(b="min", a="max"), {"a": 1, "b": 2, "c": 3}) == (2.0, 1.0)
